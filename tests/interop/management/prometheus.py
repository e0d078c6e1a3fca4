#!/usr/bin/env python3
"""Debian's Prometheus scrapes a broker under a small load; every query of a Grafana dashboard, and every
alert rule, must find something to work on.

    prometheus.py --dashboard FILE... [--rules FILE] AMQP_URL METRICS

METRICS is host:port of the metrics. RabbitMQ's own dashboard is not part of this repository: it is
deps/rabbitmq_prometheus/docker/grafana/dashboards/RabbitMQ-Overview.json of rabbitmq/rabbitmq-server.
Needs pika: run it with the Python that `tests/interop/run --prepare` names. Prints query -> number of series.
"""

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import pika

SCRAPE = 1
# Of rates: long enough for two scrapes on a busy machine.
RATE = "20s"
RANGE = "1m"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Load(threading.Thread):
    """A bit of everything that is counted, over and over."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self._url, self._stop_now, self.error = url, threading.Event(), None

    def stop(self):
        self._stop_now.set()
        self.join(10)

    def run(self):
        try:
            steady = pika.BlockingConnection(pika.URLParameters(self._url))
            channel = steady.channel()
            channel.queue_declare("prometheus.kept", exclusive=True)
            channel.basic_publish("", "prometheus.kept", b"stays")
            consuming = steady.channel()
            consuming.queue_declare("prometheus.consumed", exclusive=True)
            consuming.basic_consume("prometheus.consumed", lambda *_: None, auto_ack=True)
            while not self._stop_now.is_set():
                self._round()
                channel.basic_publish("", "prometheus.consumed", b"c" * 2000)
                steady.process_data_events(0.05)
            steady.close()
        except Exception as error:
            self.error = error

    def _round(self):
        connection = pika.BlockingConnection(pika.URLParameters(self._url))
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for size in (10, 1000, 20_000):
            channel.basic_publish("", queue, b"x" * size)
        tag = channel.basic_get(queue)[0].delivery_tag
        channel.basic_nack(tag)
        channel.basic_ack(channel.basic_get(queue)[0].delivery_tag)
        channel.basic_get(queue, auto_ack=True)
        channel.basic_get(queue, auto_ack=True)
        channel.basic_get(queue, auto_ack=True)
        channel.basic_publish("", "prometheus.nowhere", b"dropped")
        try:
            channel.basic_publish("", "prometheus.nowhere", b"returned", mandatory=True)
        except pika.exceptions.UnroutableError:
            pass
        channel.basic_publish("", queue, b"for a consumer")
        for method, _, _ in channel.consume(queue, inactivity_timeout=5):
            channel.basic_ack(method.delivery_tag)
            break
        channel.cancel()
        channel.queue_delete(queue)
        connection.close()


class Prometheus:
    def __init__(self, folder, metrics, rules):
        self._address = f"127.0.0.1:{free_port()}"
        configuration = {
            "global": {"scrape_interval": f"{SCRAPE}s", "evaluation_interval": f"{SCRAPE}s"},
            "rule_files": [str(Path(rules).resolve())] if rules else [],
            "scrape_configs": [{"job_name": "broker", "static_configs": [{"targets": [metrics]}]}],
        }
        file = folder / "prometheus.yml"
        # JSON is YAML.
        file.write_text(json.dumps(configuration))
        self._log = open(folder / "log", "w+")
        self._process = subprocess.Popen(
            ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}",
             f"--web.listen-address={self._address}"],
            stdout=self._log, stderr=subprocess.STDOUT)  # fmt: skip

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def series(self, expression):
        return self.ask("query", query=expression)["result"]

    def wait_for_scrapes(self, count):
        until = time.monotonic() + 120
        while time.monotonic() < until:
            try:
                samples = self.series("count_over_time(up[5m])")
                if samples and int(samples[0]["value"][1]) >= count:
                    return
            except OSError:
                if self._process.poll() is not None:
                    break
            time.sleep(0.5)
        self._log.seek(0)
        sys.exit(f"no {count} scrapes; Prometheus says:\n{self._log.read()[-3000:]}")

    def stop(self):
        self._process.terminate()
        self._process.wait(20)


def queries(dashboard):
    def panels(rows):
        for panel in rows:
            yield panel
            yield from panels(panel.get("panels", []))

    for panel in panels(dashboard["panels"]):
        for target in panel.get("targets", []):
            yield panel.get("title") or "(untitled)", target["expr"]


def variables(prometheus):
    """What a user would choose at the top of the page, from what is there."""
    (identity, *_) = prometheus.series("rabbitmq_identity_info")
    labels = identity["metric"]
    return {
        "namespace": labels.get("namespace", ""),
        "rabbitmq_cluster": labels["rabbitmq_cluster"],
        "endpoint": labels.get("rabbitmq_endpoint", ""),
        "instance": labels["instance"],
        "__rate_interval": RATE,
        "__range": RANGE,
        "__interval": RATE,
    }


def filled(expression, chosen):
    for name, value in chosen.items():
        expression = expression.replace("${%s}" % name, value)
        expression = re.sub(r"\$%s\b" % name, value, expression)
    return expression


def check_dashboard(prometheus, file):
    print(f"== {Path(file).name}")
    chosen = variables(prometheus)
    without = 0
    for title, expression in queries(json.loads(Path(file).read_text())):
        found = prometheus.series(filled(expression, chosen))
        without += not found
        print(f"{len(found):4}  {title}: {' '.join(expression.split())[:110]}", flush=True)
    print(f"{without} without data")
    return without


def check_rules(prometheus):
    """A rule that fires needs a fault; that each one is evaluated and names what exists is shown here."""
    print("== rules")
    wrong = 0
    for group in prometheus.ask("rules")["groups"]:
        for rule in group["rules"]:
            names = sorted(set(re.findall(r"\b(?:rabbitmq|warren|process)_\w+", rule["query"])))
            missing = [name for name in names if not prometheus.series(name)]
            wrong += bool(missing) or rule["health"] != "ok"
            print(f"{rule['name']}: {rule['health']}, {rule['state']}, without data: {missing or 'none'}")
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dashboard", action="append", default=[], metavar="FILE")
    parser.add_argument("--rules", metavar="FILE")
    parser.add_argument("url")
    parser.add_argument("metrics")
    options = parser.parse_args()
    if not shutil.which("prometheus"):
        sys.exit("no prometheus: apt-get install prometheus")
    load = Load(options.url)
    load.start()
    with tempfile.TemporaryDirectory(prefix="warren-prometheus-") as folder:
        prometheus = Prometheus(Path(folder), options.metrics, options.rules)
        try:
            prometheus.wait_for_scrapes(15)
            wrong = sum(check_dashboard(prometheus, file) for file in options.dashboard)
            wrong += check_rules(prometheus) if options.rules else 0
        finally:
            load.stop()
            prometheus.stop()
    if load.error:
        sys.exit(f"the load ended: {load.error!r}")
    sys.exit(1 if wrong else 0)


main()
