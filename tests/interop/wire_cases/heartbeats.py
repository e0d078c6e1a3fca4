"""Heartbeats on the wire."""

import time

from harness import wire
from harness.cases import case, check, equal
from harness.wire import opened
from wire_cases.answers import declares_a_queue


@case
def heartbeats_come_twice_per_interval_and_silence_ends_it():
    with opened(heartbeat=1) as connection:
        begin = time.monotonic()
        beats = 0
        try:
            while True:
                kind, channel, payload = connection.frame()
                if kind == wire.METHOD:
                    # A broker may say goodbye before it drops the connection.
                    break
                equal((kind, channel, payload), (wire.HEARTBEAT, 0, b""), "frame")
                beats += 1
        except wire.Closed:
            pass
        took = time.monotonic() - begin
        check(1.5 <= took <= 5, f"a silent client was kept for {took:.1f} s at a heartbeat of 1 s")
        check(beats >= 2, f"{beats} heartbeats came in {took:.1f} s")


@case
def any_traffic_counts_as_a_heartbeat():
    with opened(heartbeat=1) as connection:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            # Only whole methods, no heartbeat frame among them.
            declares_a_queue(connection)
            time.sleep(0.3)
        connection.close()
