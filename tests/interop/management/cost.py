#!/usr/bin/env python3
"""What it costs a broker to be looked at: its processor time a message with one live event stream open and
metrics scraped every five seconds, against the same without.

    cost.py [--rounds 9] [--duration 12] [--at-most 1.03] [PRESETS]     presets of `warren perf`, A,C,E by default

Each turn has a Warren of its own (WARREN_BINARY, or target/release/warren), because a broker goes on taking
samples for a minute after somebody has looked; who begins changes with every round. Exit code 1 when the ratio
of the medians is above --at-most. Nothing else may run meanwhile: beside other work a message of C costs twice
as much in one turn as in the next, whoever looks.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from api import Api  # noqa: E402
from runner import warren  # noqa: E402

SCRAPE_EVERY = 5


class Watcher:
    """Whoever has a page open, and Prometheus."""

    def __init__(self, management, metrics):
        self._metrics = f"http://{metrics}/metrics"
        self._done = threading.Event()
        self.ticks = self.scrapes = 0
        self._stream = Api(management).stream("/warren/events")
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._scrape)]
        for thread in self._threads:
            thread.start()

    def _listen(self):
        while not self._done.is_set():
            self.ticks += self._stream.readline().startswith(b"event: tick")

    def _scrape(self):
        while True:
            with urllib.request.urlopen(self._metrics, timeout=30) as answer:
                answer.read()
            self.scrapes += 1
            if self._done.wait(SCRAPE_EVERY):
                return

    def stop(self):
        self._done.set()
        for thread in self._threads:
            thread.join(10)
        self._stream.close()


def turn(preset, duration, watched):
    """Microseconds of processor time a message, and who looked."""
    management, metrics = (f"127.0.0.1:{warren.free_port()}" for _ in range(2))
    broker = warren.start(f"management.listen={management}", f"prometheus.listen={metrics}")
    try:
        watcher = Watcher(management, metrics) if watched else None
        command = [broker.binary, "perf", "run", preset, "-d", f"{duration}s", "--json", "--uri", broker.url + "%2F"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=duration * 5 + 60, check=True)
        if watcher:
            watcher.stop()
            seen = (watcher.ticks, watcher.scrapes)
            if watcher.ticks < duration - 2 or watcher.scrapes <= duration // SCRAPE_EVERY - 1:
                raise SystemExit(f"nobody looked: {seen} ticks and scrapes in {duration} s")
    finally:
        broker.stop()
    (found,) = json.loads(done.stdout)["presets"]
    return found["brokers"][0]["cpu_us_per_message"]["median"]


def compared(preset, options):
    costs = {False: [], True: []}
    for number in range(options.rounds):
        for watched in (False, True) if number % 2 == 0 else (True, False):
            costs[watched].append(turn(preset, options.duration, watched))
        print(f"   {preset} {number + 1}: without {costs[False][-1]:.3f}, with {costs[True][-1]:.3f}", flush=True)
    without, with_it = (statistics.median(costs[watched]) for watched in (False, True))
    ratio = with_it / without
    of_rounds = statistics.median(b / a for a, b in zip(costs[False], costs[True]))
    spread = " ".join(f"[{min(costs[watched]):.3f}..{max(costs[watched]):.3f}]" for watched in (False, True))
    print(f"{preset}: {without:.3f} -> {with_it:.3f} us a message, {spread}; ratio of the medians {ratio:.3f}, "
          f"median of the {options.rounds} ratios {of_rounds:.3f}", flush=True)  # fmt: skip
    return ratio <= options.at_most


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--duration", type=int, default=12, metavar="SECONDS")
    parser.add_argument("--at-most", type=float, default=1.03)
    parser.add_argument("presets", nargs="?", default="A,C,E")
    options = parser.parse_args()
    within = [compared(preset, options) for preset in options.presets.split(",")]
    sys.exit(not all(within))


main()
