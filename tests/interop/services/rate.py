#!/usr/bin/env python3
"""How many messages a second a shovel moves, by turns between RabbitMQ and Warren: persistent, on-confirm.

    rate.py fill    R1_AMQP R1_HTTP R2_AMQP R2_HTTP W1_AMQP W1_HTTP W2_AMQP W2_HTTP [--rounds 5]
    rate.py measure (the same)

`fill` puts the messages of all rounds there, `measure` moves them and prints each round, medians and spreads. A rate
is taken between the tenth and the ninetieth part of the messages, as the destination counts them. Needs pika.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True

from peers import Peer, until  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]
WARREN = Path(os.environ.get("WARREN_BINARY") or REPOSITORY / "target/release/warren")
VHOST = "/"
# Source, destination, whose shovel, messages.
WAYS = {
    "R -> R by R": ("R1", "R2", "R1", 60_000),
    "W -> W by W": ("W1", "W2", "W1", 400_000),
    "W -> R by W": ("W1", "R2", "W1", 60_000),
    "W -> R by R": ("W1", "R2", "R2", 60_000),
    "R -> W by W": ("R1", "W2", "W2", 100_000),
    "R -> W by R": ("R1", "W2", "R1", 100_000),
}


def queue(way, number):
    return f"rate {way} {number}".replace(" ", "-").replace("->", "to")


def fill(peers, rounds, ways):
    for way in ways:
        source, destination, _, count = WAYS[way]
        for number in range(rounds):
            name = queue(way, number)
            for peer in (peers[source], peers[destination]):
                peer.channel(VHOST).queue_delete(name)
            subprocess.run(
                [WARREN, "perf", "--uri", peers[source].uri(VHOST), "-y", "0", "-c", "1000", "-s", "1024", "--persistent",
                 "--durable", "--keep", "-m", str(count), "-q", name], check=True, stdout=subprocess.DEVNULL)  # fmt: skip


def move(peers, way, number):
    """Messages a second."""
    source, destination, runner, count = WAYS[way]
    name = queue(way, number)
    channel = peers[destination].channel(VHOST)
    channel.queue_declare(name, durable=True)
    value = {"src-uri": peers[source].uri(VHOST), "src-queue": name, "dest-uri": peers[destination].uri(VHOST), "dest-queue": name}
    peers[runner].parameter(VHOST, "shovel", name, value)
    counts = lambda: channel.queue_declare(name, passive=True).method.message_count  # noqa: E731
    begin = end = None
    last = (time.monotonic(), 0)
    while end is None:
        time.sleep(0.01)
        now = (time.monotonic(), counts())
        if begin is None and now[1] >= count // 10:
            begin = now
        if now[1] >= count * 9 // 10:
            end = now
        if now[1] > last[1]:
            last = now
        assert now[0] - last[0] < 60, f"{way}: nothing moves any more at {now[1]}"
    until(lambda: counts() == count, "all of them")
    peers[runner].no_parameter(VHOST, "shovel", name)
    peers[destination].channel(VHOST).queue_delete(name)
    peers[source].channel(VHOST).queue_delete(name)
    return (end[1] - begin[1]) / (end[0] - begin[0])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("word", choices=("fill", "measure"))
    parser.add_argument("addresses", nargs=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", action="append", choices=WAYS)
    options = parser.parse_args()
    names = ("R1", "R2", "W1", "W2")
    peers = {name: Peer(name, *options.addresses[2 * at : 2 * at + 2]) for at, name in enumerate(names)}
    ways = options.way or list(WAYS)
    if options.word == "fill":
        fill(peers, options.rounds, ways)
        return
    found = {way: [] for way in ways}
    for number in range(options.rounds):
        for way in ways:
            found[way].append(move(peers, way, number))
        print(f"round {number + 1}: " + ", ".join(f"{way} {found[way][-1] / 1000:.1f} k" for way in ways), flush=True)
    middle = {way: median(rates) for way, rates in found.items()}
    for way in ways:
        print(f"{way}: median {middle[way] / 1000:.1f} k a second, from {min(found[way]) / 1000:.1f} k to {max(found[way]) / 1000:.1f} k")
    for way, yardsticks in (("W -> W by W", ["R -> R by R"]), ("W -> R by W", ["R -> R by R", "W -> R by R"]),
                            ("R -> W by W", ["R -> R by R", "R -> W by R"])):  # fmt: skip
        for yardstick in yardsticks:
            if way in middle and yardstick in middle:
                each = [mine / theirs for mine, theirs in zip(found[way], found[yardstick])]
                print(f"{way} to {yardstick}: {middle[way] / middle[yardstick]:.2f} x, by rounds {min(each):.2f} to {max(each):.2f}")


if __name__ == "__main__":
    main()
