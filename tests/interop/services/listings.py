#!/usr/bin/env python3
"""What the API and the command line tell of shovels, federation links and traces: the same set-up on a RabbitMQ
and on a Warren, keys and values side by side. What may differ is listed below, each with its reason.

    listings.py R_NODE R1_AMQP R1_HTTP R2_AMQP R2_HTTP W1_AMQP W1_HTTP W2_AMQP W2_HTTP

R_NODE is the Erlang name of the first RabbitMQ, for rabbitmqctl. Needs pika.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from peers import Peer, quoted, until  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[3]
WARREN = Path(os.environ.get("WARREN_BINARY") or REPOSITORY / "target/release/warren")
VHOST = "listings"

# Keys whose values are never the same on two brokers: only that they are there, and of one type, is compared.
ONE_OF_ITS_OWN = {
    "node": "the node's name",
    "timestamp": "when it was",
    "last_changed": "when it was",
    "id": "a hash, of other things",
    "local_connection": "an Erlang process there, the connection's name here",
    "name": "where the broker makes up the name of a queue",
}
# Keys of one broker only, and why.
ONLY_THERE = {
    "garbage_collection": "of an Erlang process",
    "reductions": "of an Erlang process",
    "reductions_details": "of an Erlang process",
    "idle_since": "RabbitMQ tells it of what does nothing at the moment",
    "queue": "a trace here is no consumer and has no queue",
    "message_stats": "RabbitMQ leaves it out before the first message",
}
# Whole answers.
SHAPES = {
    "GET /shovels/vhost/{vhost}/{name}": "a list of all of the virtual host in 3.10, an object here and in later releases",
}
ONLY_HERE = {
    "message_stats": "RabbitMQ leaves it out before the first message",
}
# Of the channel that a link publishes on.
CHANNEL_VALUES = {
    "confirm": "RabbitMQ tells what it has counted last",
    "user": "a direct connection of RabbitMQ has none; here it is who the broker connects as",
    "user_who_performed_action": "the same",
    "connection_details": "a direct connection of RabbitMQ has no peer",
}
# Texts that differ as wholes, and why.
REASON = {
    "reason": "an Erlang term there, a sentence here",
    "termination_reason": "an Erlang term there, a sentence here",
    "error": "an Erlang term there, a sentence here",
}


def kind(value):
    return type(value).__name__


def shape(key, value, within=""):
    """What of a value is compared."""
    if key == "local_channel":
        return {name: shape(name, one, key) for name, one in value.items() if name not in ONLY_THERE and name not in ONLY_HERE}
    if within == "local_channel" and key in CHANNEL_VALUES:
        return "..."
    if key in REASON:
        return bool(value)
    if key in ONE_OF_ITS_OWN and not (key == "name" and within == "row"):
        return kind(value)
    if isinstance(value, dict):
        return {name: shape(name, one, key) for name, one in value.items()}
    if isinstance(value, list):
        return [shape(key, one) for one in value]
    return value


def shapes(rows, order):
    """Rows of a list in one order, what both must have alike."""
    rows = [one for row in rows for one in (row if isinstance(row, list) else [row])]
    rows = [{key: shape(key, value, "row") for key, value in row.items() if key != "queue" or isinstance(value, str)}
            for row in rows]
    return sorted(rows, key=lambda row: [str(row.get(key, "")) for key in order])


SHOVELS = {
    "queues": {"src-queue": "from", "dest-queue": "to"},
    "exchanges": {"src-exchange": "amq.topic", "src-exchange-key": "a.#", "dest-exchange": "amq.direct", "dest-exchange-key": "k"},
    "to where it came from": {"src-exchange": "amq.fanout"},
    "adds": {"src-queue": "from2", "dest-queue": "to", "dest-add-forward-headers": True, "ack-mode": "on-publish",
             "src-prefetch-count": 7, "reconnect-delay": 1},
    "nobody there": {"src-queue": "from3", "dest-uri": "amqp://127.0.0.1:1", "reconnect-delay": 1},
}


def set_up(peer, other):
    peer.new_vhost(VHOST)
    other.new_vhost(VHOST)
    channel = peer.channel(VHOST)
    channel.exchange_declare("fx", "topic", durable=True)
    channel.queue_declare("fq", durable=True)
    for name, definition in SHOVELS.items():
        value = {"src-uri": peer.uri(VHOST), "dest-uri": other.uri(VHOST), **definition}
        peer.parameter(VHOST, "shovel", name, value)
    peer.parameter(VHOST, "federation-upstream", "up", {"uri": other.uri(VHOST)})
    peer.parameter(VHOST, "federation-upstream", "away", {"uri": "amqp://127.0.0.1:1", "reconnect-delay": 1})
    peer.policy(VHOST, "^f[xq]$", {"federation-upstream-set": "all"})
    for name, value in (("t1", {"format": "json", "pattern": "#"}), ("t2", {"format": "text", "pattern": "deliver.#", "max_payload_bytes": 9})):
        peer.api("PUT", f"/traces/{VHOST}/{name}", value)
    path = f"/shovels/{VHOST}"
    states = lambda: sorted(row["state"] for row in peer.api("GET", path))  # noqa: E731
    until(lambda: states().count("running") == 4, "four shovels run")

    def links():
        rows = peer.links(VHOST)
        running = [row for row in rows if row["status"] == "running"]
        failing = [row for row in rows if row["status"] == "error"]
        # RabbitMQ finds the channel once it has counted something.
        return len(running) == 2 and len(failing) == 2 and all("local_channel" in row for row in running)
    until(links, "two links run, two cannot")


def tear_down(peer, other):
    for name in ("t1", "t2"):
        peer.api("DELETE", f"/traces/{VHOST}/{name}")
        peer.api("DELETE", f"/trace-files/{name}.log")
    peer.drop_vhost(VHOST)
    other.drop_vhost(VHOST)


def without_states(rows):
    """A shovel that cannot connect is starting or terminated for moments, by turns."""
    return [{key: value for key, value in row.items() if key not in ("state", "reason", "termination_reason", "timestamp",
             "last_changed")} if row["name"] == "nobody there" else row for row in rows]


def trace_files(peer):
    return len([row for row in peer.api("GET", "/trace-files") if row["name"] in ("t1.log", "t2.log")]) == 2


def runs_again(peer):
    """What was restarted."""
    def running():
        row = [row for row in peer.api("GET", f"/shovels/{VHOST}") if row["name"] == "queues"]
        return row and row[0]["state"] == "running"
    until(running, "the shovel that was restarted")


def the_api(peer):
    get = lambda path: peer.api("GET", path)  # noqa: E731
    ours = lambda rows: [row for row in rows if row.get("vhost") == VHOST]  # noqa: E731
    by_link = ("type", "upstream")
    # RabbitMQ leaves the channel of a link that has failed for a while.
    links = lambda path: [{key: value for key, value in row.items() if row["status"] == "running" or not key.startswith("local")}  # noqa: E731
                          for row in ours(get(path))]
    return {
        "GET /shovels": shapes(without_states(ours(get("/shovels"))), ["name"]),
        "GET /shovels/{vhost}": shapes(without_states(get(f"/shovels/{VHOST}")), ["name"]),
        "GET /shovels/vhost/{vhost}/{name}": [row for row in shapes([get(f"/shovels/vhost/{VHOST}/queues")], ["name"]) if row["name"] == "queues"],
        "GET /shovels/vhost/{vhost}/{missing}": peer.api.answer("GET", f"/shovels/vhost/{VHOST}/missing")[0],
        "GET /shovels/{missing}": peer.api.answer("GET", "/shovels/missing")[0],
        "GET /federation-links": shapes(links("/federation-links"), by_link),
        "GET /federation-links/{vhost}": shapes(links(f"/federation-links/{VHOST}"), by_link),
        "GET /federation-links/{missing}": peer.api.answer("GET", "/federation-links/missing")[0],
        "GET /traces": shapes(ours(get("/traces")), ["name"]),
        "GET /traces/{vhost}": shapes(get(f"/traces/{VHOST}"), ["name"]),
        "GET /traces/{vhost}/{name}": shapes([get(f"/traces/{VHOST}/t2")], ["name"]),
        "GET /traces/node/{node}": shapes(ours(get("/traces/node/NODE")), ["name"]),
        "GET /traces/{vhost}/{missing}": peer.api.answer("GET", f"/traces/{VHOST}/missing")[0],
        "GET /trace-files": until(lambda: trace_files(peer), "the files") and sorted(row["name"] for row in get("/trace-files") if row["name"] in ("t1.log", "t2.log")),
        "keys of /trace-files": sorted({key for row in get("/trace-files") for key in row}),
        "PUT /traces (again)": list(peer.api.answer("PUT", f"/traces/{VHOST}/t1", b'{"format":"json","pattern":"#"}'))[:1],
        "DELETE /shovels (missing)": peer.api.answer("DELETE", f"/shovels/vhost/{VHOST}/missing")[0],
        "DELETE /shovels restart": peer.api.answer("DELETE", f"/shovels/vhost/{VHOST}/queues/restart")[0],
        "DELETE /shovels restart (missing)": peer.api.answer("DELETE", f"/shovels/vhost/{VHOST}/missing/restart")[0],
        "DELETE /traces (missing)": peer.api.answer("DELETE", f"/traces/{VHOST}/missing")[0],
    }


def rabbitmqctl(node):
    folder = Path(os.environ.get("TMPDIR") or "/tmp") / f"rabbitmq-interop-{node.split('@')[0].split('-')[1]}"
    environment = dict(os.environ, RABBITMQ_ENABLED_PLUGINS_FILE=str(folder / "enabled_plugins"))
    return ["rabbitmqctl", "-q", "-n", node], ["--formatter", "json"], environment


def warrenctl(peer):
    return [str(WARREN), "ctl", "--address", peer.api.address, "-q"], ["--json"], dict(os.environ)


def the_command_line(peer, command, as_json, environment):
    def run(*words):
        done = subprocess.run([*command, *words], env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout

    def rows(verb):
        code, text = run(verb, *as_json)
        listed = json.loads(text) if code == 0 and text.strip() else [{"failed": text}]
        # Columns without a value are left out by the one and empty with the other.
        return [{key: value for key, value in row.items() if value not in ("", None)} for row in listed if row.get("vhost") == VHOST]

    runs_again(peer)
    shovels, links = rows("shovel_status"), rows("federation_status")
    # RabbitMQ's commands crash while some shovel is only starting.
    peer.no_parameter(VHOST, "shovel", "nobody there")
    until(lambda: len(peer.api("GET", f"/shovels/{VHOST}")) == len(SHOVELS) - 1, "it is gone")
    link = next((row["id"] for row in links if row["status"] == "running"), "none")
    return {
        "shovel_status": shapes(without_states(shovels), ["name"]),
        "federation_status": shapes(links, ("type", "upstream")),
        "restart_shovel": run("restart_shovel", "-p", VHOST, "queues")[0],
        "restart_shovel (missing)": run("restart_shovel", "-p", VHOST, "missing")[0] != 0,
        "restart_federation_link": run("restart_federation_link", "-p", VHOST, link)[0] if "rabbitmqctl" not in command[0]
        else run("restart_federation_link", link)[0],
        "then it runs again": runs_again(peer),
        "delete_shovel": run("delete_shovel", "-p", VHOST, "adds")[0],
        "delete_shovel (missing)": run("delete_shovel", "-p", VHOST, "missing")[0] != 0,
        "trace_on": run("trace_on", "-p", VHOST)[0],
        "trace_off": run("trace_off", "-p", VHOST)[0],
    }


def compare(theirs, ours):
    passed = []
    for name, expected in theirs.items():
        one, other = (json.dumps(value, indent=1, sort_keys=True) for value in (expected, ours[name]))
        passed.append(one == other)
        print(f"{'ok' if one == other else 'FAIL'} listings/{name}", flush=True)
        if one != other:
            import difflib
            print("\n".join(difflib.unified_diff(one.splitlines(), other.splitlines(), "RabbitMQ", "Warren", "", "", 3, "")))
    return passed


def main():
    node, addresses = sys.argv[1], sys.argv[2:10]
    r1, r2, w1, w2 = (Peer(name, *addresses[2 * at : 2 * at + 2]) for at, name in enumerate(("R1", "R2", "W1", "W2")))
    told = []
    for peer, other, command in ((r1, r2, rabbitmqctl(node)), (w1, w2, warrenctl(w1))):
        try:
            set_up(peer, other)
            text = json.dumps([the_api(peer), the_command_line(peer, *command)])
        finally:
            tear_down(peer, other)
        told.append(json.loads(text.replace(peer.amqp, "HERE").replace(other.amqp, "THERE")))
    passed = [one for theirs, ours in zip(*told) for one in compare(theirs, ours)]
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    print("may differ:")
    for reasons in (SHAPES, ONE_OF_ITS_OWN, ONLY_THERE, ONLY_HERE, CHANNEL_VALUES, REASON):
        for key, reason in reasons.items():
            print(f"  {key}: {reason}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
