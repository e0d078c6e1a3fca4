#!/usr/bin/env python3
"""What tracing costs a broker: processor time a message of a Warren whose tracers are not loaded, against one where
tracing was on and is off again; and the rate, with what was dropped, of one where it is on.

    trace_cost.py [--rounds 15] [--duration 3] [--at-most 1.03] [PRESETS]     presets of `warren perf`, C by default

The brokers run side by side and are put under load by turns; who begins changes with every round. Exit code 1 when
the median of the ratios is above --at-most. Nothing else may run meanwhile.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in (".", "management")]

from api import Api, until  # noqa: E402
from runner import warren  # noqa: E402


class Traced:
    """A broker, and what its tracing has come to."""

    def __init__(self, *settings):
        address = f"127.0.0.1:{warren.free_port()}"
        self.broker = warren.start(f"management.listen={address}", "prometheus.listen=[]", *settings)
        self.api = Api(address)

    def switch(self, on):
        self.api("PUT", "/vhosts/%2F", {"tracing": on})

    def plugin(self):
        return self.api("GET", "/warren/plugins/tracing") or {}

    def load(self, preset, duration):
        command = [self.broker.binary, "perf", "run", preset, "-d", f"{duration}s", "--json", "--uri", self.broker.url + "%2F"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=duration * 5 + 60, check=True)
        (found,) = json.loads(done.stdout)["presets"]
        return found["brokers"][0]


def off_against_none(none, off, preset, options):
    costs = {none: [], off: []}
    for number in range(options.rounds):
        for one in (none, off) if number % 2 == 0 else (off, none):
            costs[one].append(one.load(preset, options.duration)["cpu_us_per_message"]["median"])
    ratios = sorted(b / a for a, b in zip(costs[none], costs[off]))
    spread = " ".join(f"[{min(costs[one]):.3f}..{max(costs[one]):.3f}]" for one in (none, off))
    without, with_it = (statistics.median(costs[one]) for one in (none, off))
    print(f"{preset}, off: {without:.3f} -> {with_it:.3f} us a message {spread}; ratio of the medians {with_it / without:.3f}, "
          f"median of the {options.rounds} ratios {statistics.median(ratios):.3f}, half of them within "
          f"{ratios[len(ratios) // 4]:.3f} to {ratios[-1 - len(ratios) // 4]:.3f}", flush=True)  # fmt: skip
    return statistics.median(ratios) <= options.at_most


def on(none, traced, preset, options):
    traced.switch(True)
    until(lambda: traced.plugin().get("state") == "ready" or traced.plugin().get("events") is not None, "tracing is on")
    before = traced.plugin()
    rates = {none: [], traced: []}
    for _ in range(3):
        for one in (none, traced):
            rates[one].append(one.load(preset, options.duration)["rate"]["median"])
    until(lambda: traced.plugin()["events_waiting"] == 0, "all are told")
    after = traced.plugin()
    taken, dropped = (after[key] - before[key] for key in ("events", "events_dropped"))
    traced.switch(False)
    quiet, loud = (statistics.median(rates[one]) for one in (none, traced))
    print(f"{preset}, on: {loud / 1000:.1f} k messages a second with tracing, {quiet / 1000:.1f} k without; "
          f"{taken} events taken, {dropped} dropped and counted ({dropped / max(1, taken + dropped):.0%})", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--duration", type=int, default=3, metavar="SECONDS")
    parser.add_argument("--at-most", type=float, default=1.03)
    parser.add_argument("presets", nargs="?", default="C")
    options = parser.parse_args()
    none, traced = Traced("plugins.tracing.enabled=false"), Traced()
    try:
        traced.switch(True)
        traced.switch(False)
        presets = options.presets.split(",")
        within = [off_against_none(none, traced, preset, options) for preset in presets]
        for preset in presets:
            on(none, traced, preset, options)
    finally:
        none.broker.stop()
        traced.broker.stop()
    sys.exit(not all(within))


main()
