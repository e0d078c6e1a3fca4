"""The suites: which version, where from, and how each is told where the broker is."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness import obtain, results

SUITES = Path(__file__).resolve().parent.parent


@dataclass
class Job:
    """One command, where it runs, and the reader of its report."""

    command: list
    folder: Path
    read: object
    report: Path
    environment: dict = field(default_factory=dict)
    report_is_stdout: bool = False


@dataclass
class Suite:
    name: str
    version: str
    prepare: object
    knows_only_5672: bool = False


def _pytest(python, folder, report, *chosen, **environment):
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60", f"--junitxml={report}", *chosen]
    return Job(command, folder, results.pytest, report, environment)


def _pinned(place, name):
    return obtain.virtual_environment(place / "venv", SUITES / "pins" / f"{name}.txt")


def _pika(place, checkouts, _url, report):
    python = _pinned(place, "pika")
    source = obtain.repository(place / "source", checkouts, "pika/pika", "1.4.4", "tests")
    return _pytest(python, source, report, "-o", "python_files=*_test.py *_tests.py", "tests/acceptance")


def _py_amqp(place, _checkouts, url, report):
    python = _pinned(place, "py-amqp")
    source = obtain.sdist(place / "source", python, "amqp==5.4.2")
    broker = urlsplit(url)
    return _pytest(python, source, report, "-o", "python_classes=test_*", "-k", "not tls", "t/integration",
                   RABBITMQ_HOST=broker.hostname, RABBITMQ_5672_TCP=str(broker.port))  # fmt: skip


def _kombu(place, _checkouts, url, report):
    python = _pinned(place, "kombu")
    source = obtain.sdist(place / "source", python, "kombu==5.7.0")
    broker = urlsplit(url)
    return _pytest(python, source, report, "-o", "python_classes=test_*", "t/integration/test_py_amqp.py",
                   RABBITMQ_HOST=broker.hostname, RABBITMQ_5672_TCP=str(broker.port))  # fmt: skip


def _aio_pika(place, _checkouts, url, report):
    python = _pinned(place, "aio-pika")
    source = obtain.sdist(place / "source", python, "aio-pika==10.2.1")
    return _pytest(python, source, report, "-p", "running_broker", "-k", "not stairway",
                   "--ignore=tests/test_amqps.py", "tests",
                   SUITES_AMQP_URL=url, PYTHONPATH=f"{SUITES / 'plugins'}:{source}")  # fmt: skip


def _aiormq(place, _checkouts, url, report):
    python = _pinned(place, "aiormq")
    source = obtain.sdist(place / "source", python, "aiormq==7.2.4")
    return _pytest(python, source, report, "-p", "running_broker", "-k", "not amqps", "tests",
                   SUITES_AMQP_URL=url, PYTHONPATH=f"{SUITES / 'plugins'}:{source}")  # fmt: skip


def _amqplib(place, checkouts, url, report):
    source = obtain.repository(place / "tests", checkouts, "amqp-node/amqplib", "v2.0.1", "test")
    package = obtain.npm(place / "package", "amqplib@2.0.1")
    if not (package / "test").exists():
        shutil.copytree(source / "test", package / "test")
    # The others are about the codec and need packages for developers.
    files = ["callback_api", "channel_api", "connect", "recovery"]
    # Its own time limit of a second is one of an idle machine.
    command = ["node", "--test", "--test-timeout=30000", "--test-concurrency=1", "--test-reporter=junit",
               f"--test-reporter-destination={report}", *[f"test/{file}.test.js" for file in files]]  # fmt: skip
    return Job(command, package, results.node, report, {"URL": url})


def _amqp091_go(place, _checkouts, url, report):
    package = obtain.debian(place / "package", "golang-github-rabbitmq-amqp091-go-dev=1.5.0-2")
    leaks = obtain.debian(place / "goleak", "golang-uber-goleak-dev")
    workspace = package / "usr/share/gocode"
    path = f"{workspace}:{leaks / 'usr/share/gocode'}"
    command = ["go", "test", "-json", "-count=1", "-timeout=300s", "-tags=integration", "."]
    return Job(command, workspace / "src/github.com/rabbitmq/amqp091-go", results.go, report,
               {"AMQP_URL": url, "GOPATH": path, "GO111MODULE": "off", "GOCACHE": str(place / "cache")},
               report_is_stdout=True)  # fmt: skip


def _lapin(place, _checkouts, url, report):
    source = obtain.crate(place / "source", "lapin", "4.12.3")
    # Without the default features, which bring TLS.
    command = ["cargo", "test", "--locked", "--no-fail-fast", "--no-default-features", "--features", "tokio,smol",
               "--test", "*"]  # fmt: skip
    # Cargo names the file on the one stream and the test on the other.
    return Job(["sh", "-c", 'exec "$@" 2>&1', "sh", *command], source, results.libtest, report,
               {"AMQP_ADDR": f"{url.rstrip('/')}/%2f", "CARGO_TARGET_DIR": str(place / "target")},
               report_is_stdout=True)  # fmt: skip


ALL = [
    Suite("pika", "1.4.4", _pika, knows_only_5672=True),
    Suite("py-amqp", "5.4.2", _py_amqp),
    Suite("kombu", "5.7.0", _kombu),
    Suite("aio-pika", "10.2.1", _aio_pika),
    Suite("aiormq", "7.2.4", _aiormq),
    Suite("amqplib", "2.0.1", _amqplib, knows_only_5672=True),
    Suite("amqp091-go", "1.5.0", _amqp091_go),
    Suite("lapin", "4.12.3", _lapin),
]


def choose(names):
    unknown = set(names) - {suite.name for suite in ALL}
    if unknown:
        sys.exit(f"no such suite: {', '.join(sorted(unknown))}; --list shows them")
    return [suite for suite in ALL if not names or suite.name in names]


def _end(process):
    # The whole group: a suite may have programs of its own running.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(suite, folder, checkouts, url, broker, limit):
    place = folder / suite.name
    place.mkdir(parents=True, exist_ok=True)
    report = place / f"{broker}.report"
    report.unlink(missing_ok=True)
    job = suite.prepare(place, checkouts, url, report)
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", **job.environment)
    with open(place / f"{broker}.log", "wb") as log:
        output = open(report, "wb") if job.report_is_stdout else log
        process = subprocess.Popen([str(part) for part in job.command], cwd=job.folder, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                                   start_new_session=True)  # fmt: skip
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            return {"(suite)": ("failed", f"over its time limit of {limit} s")}
        finally:
            _end(process)
    if not report.exists():
        return {"(suite)": ("failed", f"ended with code {process.returncode} and without a report; see {log.name}")}
    return job.read(report) or {"(suite)": ("failed", f"ran no test; see {log.name}")}
