"""Finds the scenario programs, runs them one after the other and reads their reports."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

INTEROP = Path(__file__).resolve().parent.parent

# A program that says nothing for this long has hung before its first case.
START_LIMIT = 30


@dataclass
class Scenario:
    name: str
    path: Path
    cases: list = field(default_factory=list)
    options: list = field(default_factory=list)


def _all(custom_types):
    for path in sorted([*INTEROP.glob("scenarios/*/*.py"), *INTEROP.glob("scenarios/*/*.js")]):
        yield Scenario(f"{path.parent.name}/{path.stem}", path)
    for path in sorted([*INTEROP.glob("jobs/check_*.py"), *INTEROP.glob("jobs/check_*.js")]):
        yield Scenario(f"jobs/{path.stem.removeprefix('check_')}", path)
    yield Scenario("tls", INTEROP / "tls/check_tls.py")
    yield Scenario("tutorials", INTEROP / "tutorials/check_tutorials.py")
    yield Scenario("wire_errors", INTEROP / "wire_errors.py")
    custom = INTEROP / "custom_exchange.py"
    refused = ["--type", "x-interop-nobody-has-this", "--expect-refused"]
    yield Scenario("custom_exchange/refused", custom, options=refused)
    for kind in custom_types:
        yield Scenario(f"custom_exchange/{kind}", custom, options=["--type", kind])


def choose(names, custom_types):
    everything = [scenario for scenario in _all(custom_types) if scenario.path.exists()]
    if not names:
        return everything
    chosen = {}
    for name in names:
        file, _, case = name.partition(":")
        found = [scenario for scenario in everything if file in scenario.name]
        if not found:
            sys.exit(f"no scenario is called {file}; --list shows them")
        for scenario in found:
            chosen[scenario.name] = scenario
            if case:
                scenario.cases.append(case)
    return list(chosen.values())


def pending():
    """The cases that Warren is known to fail, each with what it lacks."""
    lines = (INTEROP / "pending.txt").read_text().splitlines()
    return dict(line.split(None, 1) for line in lines if line.strip() and not line.startswith("#"))


def judge(outcome, line, pending):
    """A pending case may fail; one that passes must leave the list, or the list would rot."""
    case = ":".join(line.split()[1].rstrip(":").split(":")[:2])
    if case not in pending:
        return outcome, line
    if outcome == "FAIL":
        return "skip", f"skip {case}: pending, {pending[case]}"
    if outcome == "ok":
        return "FAIL", f"FAIL {case}: passes now, take it out of pending.txt"
    return outcome, line


def _read(stream, lines):
    for line in stream:
        lines.put(line.rstrip("\n"))
    lines.put(None)


def _kill(process):
    # The whole group: a tutorial has programs of its own running.
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def _run_once(scenario, arguments, installed, environment, limit):
    """Yields what the program reports; returns the case it had to be killed in, if any."""
    interpreter = "node" if scenario.path.suffix == ".js" else installed.python
    process = subprocess.Popen(
        [interpreter, scenario.path, *scenario.options, *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    lines = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    current = None
    reported = False
    deadline = time.monotonic() + START_LIMIT
    try:
        while True:
            try:
                line = lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                label = f"{scenario.name}:{current}" if current else scenario.name
                yield "FAIL", f"FAIL {label}: over its time limit"
                return current
            if line is None:
                break
            word, _, rest = line.partition(" ")
            if word == "start":
                current = rest
                deadline = time.monotonic() + limit
            elif word in ("ok", "FAIL", "skip"):
                current = None
                reported = True
                deadline = time.monotonic() + START_LIMIT
                yield word, f"{word} {scenario.name}:{rest}"
        code = process.wait()
        if current:
            yield "FAIL", f"FAIL {scenario.name}:{current}: the program ended in it with code {code}"
            return current
        if not reported and not (arguments[:1] == ["--after"] and code == 0):
            yield "FAIL", f"FAIL {scenario.name}: reported no case, exit code {code}"
        return None
    finally:
        _kill(process)


def run(scenario, installed, environment, limit):
    """Yields (outcome, line) for each case, and goes on behind one that hangs or crashes."""
    arguments = scenario.cases
    while True:
        stuck = yield from _run_once(scenario, arguments, installed, environment, limit)
        if not stuck or scenario.cases:
            return
        arguments = ["--after", stuck]
