#!/usr/bin/env python3
"""What tracing and the event exchange tell of the same traffic on a RabbitMQ and on a Warren: the messages of the
firehose, trace files in both formats, events. What may differ is listed below, each with its reason.

    traces.py R1_AMQP R1_HTTP W1_AMQP W1_HTTP      host:port each, guest/guest

Both brokers need their event exchange (rabbitmq_event_exchange; plugins.event-exchange.enabled). Needs pika.
"""

import difflib
import json
import re
import sys

import pika

sys.dont_write_bytecode = True

from peers import Peer, plain, quoted, settled, until  # noqa: E402

VHOST = "traces"

# What may differ, and why.
DIFFERENT = {
    "deliver, routing_keys": "BCC is no header of a message that is kept, so that a delivery does not name its keys",
    "user_who_performed_action": "told here of connections, channels and consumers only",
    "exchange.*, permission.*": "RabbitMQ tells of what a virtual host begins and ends with, too",
    "parameter.* of exchange-delete-in-progress": "how RabbitMQ deletes an exchange",
    "parameter.* of vhost-limits": "they are limits here, with events of their own",
    "vhost.limits.*": "RabbitMQ tells the values, and not of which virtual host",
    "connection.closed": "RabbitMQ tells of those, too, that were never open",
    "vhost.down": "of an Erlang process",
    "vhost.created": "RabbitMQ tells more: cluster_state, default_queue_type, metadata",
}


def traffic(peer):
    """A bit of everything that a trace tells of."""
    channel = peer.channel(VHOST)
    channel.queue_declare("q1", durable=True)
    channel.queue_declare("q2", durable=True)
    channel.exchange_declare("x", "topic", durable=True)
    channel.queue_bind("q1", "x", "a.#")
    channel.queue_bind("q2", "x", "a.b")
    everything = pika.BasicProperties(
        content_type="text/x", content_encoding="none", delivery_mode=2, priority=3, correlation_id="c", reply_to="r",
        expiration="100000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest", app_id="a",
        headers={"text": "v", "n": 7, "large": 2**40, "negative": -3, "yes": True, "none": None, "list": [1, "two", {"three": 3}],
                 "table": {"in": {"it": 1}}, "bytes": b"\xff\xfe", "utf8": "h\u00e9llo"})  # fmt: skip
    channel.basic_publish("x", "a.b", b"to both", everything)
    channel.basic_publish("x", "a.c", b"", pika.BasicProperties())
    channel.basic_publish("x", "nowhere", b"dropped")
    channel.basic_publish("", "q1", b"by name", pika.BasicProperties(headers={"CC": ["q2"]}))
    channel.basic_publish("", "q1", b"blind", pika.BasicProperties(headers={"BCC": ["q2"], "kept": 1}))
    channel.basic_publish("x", "a.long." + "k" * 100, b"\x00\xff binary \n", pika.BasicProperties(content_type="application/octet-stream"))
    method, _, _ = channel.basic_get("q1")
    channel.basic_nack(method.delivery_tag)
    for queue, count in (("q1", 5), ("q2", 3)):
        got = 0
        for method, _, _ in channel.consume(queue, inactivity_timeout=20):
            channel.basic_ack(method.delivery_tag)
            got += 1
            if got == count:
                break
        channel.cancel()
    return channel


def hidden(text, peer):
    text = text.replace(peer.api.node, "NODE")
    text = re.sub(r"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+", "CONNECTION", text)
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00|\d{4}-\d\d-\d\d \d+:\d\d:\d\d:\d+", "TIME", text)


def firehose(peer):
    peer.new_vhost(VHOST)
    watcher = peer.connect(VHOST).channel()
    watcher.queue_declare("firehose")
    watcher.queue_bind("firehose", "amq.rabbitmq.trace", "#")
    peer.api("PUT", f"/vhosts/{VHOST}", {"tracing": True})
    traffic(peer)
    settled(lambda: watcher.queue_declare("firehose", passive=True).method.message_count)
    peer.api("PUT", f"/vhosts/{VHOST}", {"tracing": False})
    told = []
    while (got := watcher.basic_get("firehose", auto_ack=True))[0]:
        method, properties, body = got
        headers = {name: plain(value) for name, value in properties.headers.items()}
        others = {name: plain(value) for name, value in vars(properties).items() if value is not None and name != "headers"}
        if "routed_queues" in headers:
            headers["routed_queues"].sort()
        if body == b"blind" and method.routing_key.startswith("deliver."):
            headers["routing_keys"] = headers["routing_keys"][:1]
        told.append([method.routing_key, headers, list(properties.headers), others, body.decode("latin1")])
    # Deliveries of two consumers have no order between them.
    published = [row for row in told if row[0].startswith("publish.")]
    delivered = sorted((row for row in told if row[0].startswith("deliver.")), key=lambda row: row[0])
    return hidden(json.dumps({"published": published, "delivered": delivered}, indent=1, sort_keys=True), peer)


def record_lines(record):
    lines = record.split("\n")
    for place, line in enumerate(lines):
        if line.startswith("Routed queues:"):
            lines[place] = "Routed queues: " + ",".join(sorted(re.findall(r"<<.*?>>", line)))
        if line.startswith("Routing keys:") and lines[-1] == "blind" and " received" in record:
            lines[place] = line.split(",")[0].rstrip("]") + "]"
    return lines


def files(peer):
    peer.new_vhost(VHOST)
    traces = {"tt": {"format": "text", "pattern": "#"}, "tj": {"format": "json", "pattern": "#"},
              "short": {"format": "json", "pattern": "publish.#", "max_payload_bytes": 3}, "some": {"format": "text", "pattern": "deliver.q2"}}
    for name, value in traces.items():
        peer.api("DELETE", f"/trace-files/{name}.log")
        peer.api("PUT", f"/traces/{VHOST}/{name}", value)
    traffic(peer)
    read = lambda name: peer.api.answer("GET", f"/trace-files/{name}.log")[1]  # noqa: E731
    settled(lambda: sum(len(read(name)) for name in traces))
    told = {}
    for name in traces:
        text = hidden(read(name).decode("latin1"), peer)
        if name in ("tj", "short"):
            rows = [json.loads(line) for line in text.splitlines()]
            for row in rows:
                if row["payload"] == "YmxpbmQ=" and row["type"] == "received":
                    row["routing_keys"] = row["routing_keys"][:1]
                if isinstance(row["routed_queues"], list):
                    row["routed_queues"].sort()
            keys = [list(json.loads(line)) for line in text.splitlines()][:1]
            told[name] = {"keys in order": keys, "rows": sorted(rows, key=lambda row: (row["type"], row["queue"]))}
        else:
            records = [record.strip("\n") for record in text.split("=" * 80) if record.strip()]
            told[name] = [record_lines(record) for record in sorted(records, key=lambda one: ("received" in one.split("\n")[0], re.findall(r"Queue: .*", one)))]
    for name in traces:
        peer.api("DELETE", f"/traces/{VHOST}/{name}")
        peer.api("DELETE", f"/trace-files/{name}.log")
    return json.dumps(told, indent=1, sort_keys=True)


# Of events: what is never the same, and what only RabbitMQ tells, each with its reason.
EVENT_VALUES = {
    "timestamp_in_ms": "when it was",
    "pid": "an Erlang process there, a name here",
    "connection": "an Erlang process there, a name here",
    "channel": "an Erlang process there, a name here",
    "connection_pid": "an Erlang process there",
    "owner_pid": "an Erlang process there",
    "connected_at": "when it was",
    "peer_port": "a port of the client's",
    "name": "has the client's port in it",
    "connection_name": "has the client's port in it",
    "password_hash": "salted",
    "port": "of the broker",
    "hashing_algorithm": "of a password",
    "slave_nodes": "mirrors",
    "node": "the node's name",
}
WANTED = ("queue.", "exchange.", "binding.", "connection.", "channel.", "consumer.", "user.", "permission.", "topic.permission.",
          "vhost.", "policy.", "parameter.", "alarm.")


def changes(peer):
    """A bit of everything that there are events of."""
    api, inside = peer.api, "events"
    peer.new_vhost(inside)
    connection = peer.connect(inside, client_properties={"connection_name": "told of"})
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-max-length": 7, "x-overflow": "reject-publish"})
    channel.queue_declare("temporary", exclusive=True)
    channel.exchange_declare("x", "topic", durable=True, arguments={"alternate-exchange": "y"})
    channel.exchange_declare("e", "fanout", auto_delete=True)
    channel.queue_bind("q", "x", "a.#", {"n": 1})
    channel.exchange_bind("e", "x", "k")
    channel.basic_qos(prefetch_count=5)
    tag = channel.basic_consume("q", lambda *_: None, consumer_tag="tag", arguments={"x-priority": 2})
    channel.basic_cancel(tag)
    channel.queue_unbind("q", "x", "a.#", {"n": 1})
    channel.exchange_unbind("e", "x", "k")
    channel.queue_delete("q")
    channel.exchange_delete("x")
    # `e` goes with the virtual host.
    channel.close()
    connection.close()
    api("PUT", "/users/evan", {"password": "first", "tags": "management"})
    api("PUT", "/users/evan", {"password": "second", "tags": "monitoring"})
    api("PUT", f"/permissions/{inside}/evan", {"configure": "a", "write": "b", "read": "c"})
    api("PUT", f"/topic-permissions/{inside}/evan", {"exchange": "amq.topic", "write": "b", "read": "c"})
    api("DELETE", f"/topic-permissions/{inside}/evan")
    api("DELETE", f"/permissions/{inside}/evan")
    try:
        pika.BlockingConnection(pika.ConnectionParameters(*peer.amqp.split(":"), inside, pika.PlainCredentials("evan", "wrong")))
    except pika.exceptions.AMQPError:
        pass
    peer.policy(inside, "^z$", {"max-length": 3}, name="p", to="queues")
    peer.no_policy(inside, "p")
    peer.parameter(inside, "federation-upstream", "up", {"uri": "amqp://127.0.0.1:1"})
    peer.no_parameter(inside, "federation-upstream", "up")
    api("PUT", f"/vhost-limits/{inside}/max-queues", {"value": 10})
    api("DELETE", f"/vhost-limits/{inside}/max-queues")
    api("DELETE", "/users/evan")
    peer.drop_vhost(inside)


def is_left_out(key, headers):
    """See DIFFERENT."""
    its_own = key.startswith("exchange.") and (headers["name"] in ("", "e") or headers["name"].startswith("amq."))
    never_open = key == "connection.closed" and "user_provided_name" not in headers
    of_the_end = key == "permission.deleted" and headers["user"] == "guest"
    inner = key.startswith("parameter.") and headers["component"] in ("exchange-delete-in-progress", "vhost-limits")
    return its_own or never_open or of_the_end or inner or key == "vhost.down" or key.startswith("vhost.limits.")


def typed(value):
    if isinstance(value, (list, tuple)):
        return [typed(one) for one in value]
    if isinstance(value, dict):
        return {name: typed(one) for name, one in value.items()}
    return plain(value) if not isinstance(value, bytes) else value.decode("latin1")


def events(peer):
    channel = peer.connect("/").channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "amq.rabbitmq.event", "#")
    changes(peer)
    settled(lambda: channel.queue_declare(queue, passive=True).method.message_count)
    told = []
    while (got := channel.basic_get(queue, auto_ack=True))[0]:
        method, properties, body = got
        if not method.routing_key.startswith(WANTED):
            continue
        headers = {}
        for name, value in (properties.headers or {}).items():
            is_own = name in EVENT_VALUES and not (name == "name" and not method.routing_key.startswith(("connection", "channel")))
            headers[name] = f"a {type(value).__name__}" if is_own else typed(value)
        others = sorted(name for name, value in vars(properties).items() if value is not None)
        key = method.routing_key
        if not key.startswith(("connection.", "channel.", "consumer.")):
            headers.pop("user_who_performed_action", None)
        for name in ("cluster_state", "default_queue_type", "metadata") if key == "vhost.created" else ():
            headers.pop(name, None)
        if "client_properties" in headers:
            headers["client_properties"].sort()
        told.append([key, headers, others, body.decode()])
    # The watcher's own queue, and logins to the API, which both tell of as often as they like.
    return [row for row in told if queue not in json.dumps(row) and not is_left_out(*row[:2])]


def by_key(rows):
    keys = {}
    for row in rows:
        keys.setdefault(row[0], []).append(row[1:])
    return keys


def say(name, theirs, ours):
    same = theirs == ours
    print(f"{'ok' if same else 'FAIL'} traces/{name}", flush=True)
    if not same:
        lines = difflib.unified_diff(theirs.splitlines(), ours.splitlines(), "RabbitMQ", "Warren", "", "", 3, "")
        print("\n".join(lines))
    return same


def main():
    r1, w1 = (Peer(name, *sys.argv[1 + 2 * at : 3 + 2 * at]) for at, name in enumerate(("R1", "W1")))
    passed = []
    for work in (firehose, files):
        theirs, ours = work(r1), work(w1)
        passed.append(say(work.__name__, theirs, ours))
        for peer in (r1, w1):
            peer.drop_vhost(VHOST)
    theirs, ours = by_key(events(r1)), by_key(events(w1))
    for key in sorted(set(theirs) | set(ours)):
        one, other = (json.dumps(rows.get(key), indent=1, sort_keys=True) for rows in (theirs, ours))
        passed.append(say(f"events/{key}", one, other))
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    print("may differ:", *(f"  {what}: {reason}" for what, reason in DIFFERENT.items()), sep="\n")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
