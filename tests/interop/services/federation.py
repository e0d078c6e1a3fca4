#!/usr/bin/env python3
"""Federation with RabbitMQ upstream and downstream: what it makes upstream, what becomes of bindings, messages
and headers, what is left when it goes. Each pair of brokers does the same as two RabbitMQs do.

    federation.py R1_AMQP R1_HTTP R2_AMQP R2_HTTP W1_AMQP W1_HTTP W2_AMQP W2_HTTP      host:port each, guest/guest

Needs pika: run it with the Python that `tests/interop/run --prepare` names.
"""

import json
import sys

import pika

sys.dont_write_bytecode = True

from peers import Peer, plain, quoted, settled, until  # noqa: E402

UP, DOWN = "federation-up", "federation-down"


def made_upstream(up):
    """Exchanges, queues and bindings that federation has there, as far as both brokers tell of them."""
    def ours(row, *names):
        return any("federation: " in str(row.get(name, "")) for name in names)

    exchanges = [
        {key: row[key] for key in ("name", "type", "durable", "auto_delete", "internal", "arguments")}
        for row in up.api("GET", f"/exchanges/{UP}") if ours(row, "name")
    ]
    queues = [
        {key: row[key] for key in ("name", "durable", "auto_delete", "exclusive", "arguments")}
        for row in up.api("GET", f"/queues/{UP}") if ours(row, "name")
    ]
    bindings = [
        {key: row[key] for key in ("source", "destination", "destination_type", "routing_key", "arguments")}
        for row in up.api("GET", f"/bindings/{UP}") if ours(row, "source", "destination") and row["source"]
    ]
    order = lambda row: json.dumps(row, sort_keys=True)  # noqa: E731
    return {"exchanges": exchanges, "queues": queues, "bindings": sorted(bindings, key=order)}


def keys_upstream(up, exchange="x"):
    rows = up.api("GET", f"/exchanges/{UP}/{exchange}/bindings/source") or []
    return sorted(row["routing_key"] for row in rows)


def left_upstream(up, tell):
    """What is there of federation once nothing changes any more."""
    def names():
        return {kind: [row.get("name") or row["source"] for row in rows] for kind, rows in made_upstream(up).items()}
    tell("left upstream", settled(names))


def taken(channel, queue):
    """The next message, as everything that can be told of it."""
    found = []

    def ask():
        got = channel.basic_get(queue, auto_ack=True)
        if got[0]:
            found.append(got)
        return found
    until(ask, f"a message in {queue}")
    method, properties, body = found[0]
    told = {name: plain(value) for name, value in vars(properties).items() if value is not None}
    return {"exchange": method.exchange, "routing_key": method.routing_key, "redelivered": method.redelivered,
            "properties": told, "body": body.decode()}


def exchange(up, down, tell):
    """An exchange, its bindings, one message, and all that takes a link away."""
    there, here = up.channel(UP), down.channel(DOWN)
    for channel in (there, here):
        channel.exchange_declare("x", "topic", durable=True)
    here.queue_declare("q", durable=True)
    here.queue_bind("q", "x", "before")
    upstream = {"uri": up.uri(UP), "expires": 3_600_000, "message-ttl": 60_000, "max-hops": 2}
    down.parameter(DOWN, "federation-upstream", "up", upstream)
    down.policy(DOWN, "^x$", {"federation-upstream": "up"}, to="exchanges")
    down.linked(DOWN)
    until(lambda: keys_upstream(up) == ["before"], "the binding that was there")
    here.queue_bind("q", "x", "key.#", {"a": 1})
    here.exchange_declare("y", "fanout", durable=True)
    here.exchange_bind("y", "x", "of an exchange")
    until(lambda: keys_upstream(up) == ["before", "key.#", "of an exchange"], "bindings that came")
    tell("made upstream", made_upstream(up))
    there.basic_publish("x", "other", b"no")
    properties = pika.BasicProperties(
        content_type="text/x", content_encoding="none", headers={"h": "v", "n": 7}, delivery_mode=2, priority=3,
        correlation_id="c", reply_to="r", expiration="100000", message_id="m", timestamp=1_700_000_000, type="t",
        user_id="guest", app_id="a")  # fmt: skip
    there.basic_publish("x", "key.1", b"yes", properties)
    tell("message", taken(here, "q"))
    here.queue_bind("q", "x", "of the queue")
    until(lambda: "of the queue" in keys_upstream(up), "one more binding")
    here.queue_unbind("q", "x", "key.#", {"a": 1})
    until(lambda: "key.#" not in keys_upstream(up), "the binding is gone")
    here.exchange_unbind("y", "x", "of an exchange")
    until(lambda: "of an exchange" not in keys_upstream(up), "the exchange's binding is gone")
    here.queue_delete("q")
    until(lambda: keys_upstream(up) == [], "the queue's bindings are gone")


def with_link(up, down):
    """A federated exchange with a binding, afresh."""
    for channel, peer in ((up.channel(UP), up), (down.channel(DOWN), down)):
        channel.exchange_declare("x", "topic", durable=True)
        if peer is down:
            channel.queue_declare("q", durable=True)
            channel.queue_bind("q", "x", "k")
    down.parameter(DOWN, "federation-upstream", "up", {"uri": up.uri(UP)})
    down.policy(DOWN, "^x$", {"federation-upstream": "up"}, to="exchanges")
    down.linked(DOWN)
    until(lambda: keys_upstream(up) == ["k"], "the binding")


def the_policy_goes(up, down, tell):
    with_link(up, down)
    down.no_policy(DOWN)
    down.unlinked(DOWN)
    left_upstream(up, tell)


def the_upstream_goes(up, down, tell):
    with_link(up, down)
    down.no_parameter(DOWN, "federation-upstream", "up")
    down.unlinked(DOWN)
    left_upstream(up, tell)


def the_exchange_goes(up, down, tell):
    with_link(up, down)
    down.channel(DOWN).exchange_delete("x")
    down.unlinked(DOWN)
    left_upstream(up, tell)


def nothing_is_to_be_cleaned_up(up, down, tell):
    with_link(up, down)
    down.parameter(DOWN, "federation-upstream", "up", {"uri": up.uri(UP), "resource-cleanup-mode": "never"})
    # Either broker restarts the link, and tells of it only in between.
    settled(lambda: down.links(DOWN))
    down.linked(DOWN)
    down.no_policy(DOWN)
    down.unlinked(DOWN)
    left_upstream(up, tell)


def the_upstream_changes(up, down, tell):
    """Another name upstream: what belonged to the first one goes."""
    with_link(up, down)
    up.channel(UP).exchange_declare("z", "topic", durable=True)
    down.parameter(DOWN, "federation-upstream", "up", {"uri": up.uri(UP), "exchange": "z"})
    until(lambda: keys_upstream(up, "z") == ["k"], "the binding at the other exchange")
    left_upstream(up, tell)


def the_exchange_upstream_is_made(up, down, tell):
    """Where it is missing."""
    channel = down.channel(DOWN)
    channel.exchange_declare("x", "headers", durable=False, auto_delete=False, arguments={"my": "own"})
    down.parameter(DOWN, "federation-upstream", "up", {"uri": up.uri(UP), "exchange": "theirs"})
    down.policy(DOWN, "^x$", {"federation-upstream": "up"}, to="exchanges")
    down.linked(DOWN)
    row = up.api("GET", f"/exchanges/{UP}/theirs")
    tell("exchange", {key: row[key] for key in ("type", "durable", "auto_delete", "internal", "arguments")})
    tell("made upstream", made_upstream(up))


def by_pattern(up, down, tell):
    """federation-upstream-pattern takes all whose names fit."""
    down.channel(DOWN).exchange_declare("x", "topic", durable=True)
    for name in ("up-a", "up-b", "other"):
        down.parameter(DOWN, "federation-upstream", name, {"uri": up.uri(UP), "exchange": name})
    down.policy(DOWN, "^x$", {"federation-upstream-pattern": "^up-"}, to="exchanges")
    tell("upstreams", sorted(row["upstream"] for row in down.linked(DOWN, 2)))
    down.parameter(DOWN, "federation-upstream", "up-c", {"uri": up.uri(UP), "exchange": "up-c"})
    tell("with a new one", sorted(row["upstream"] for row in down.linked(DOWN, 3)))
    for definition in (
        {"federation-upstream-pattern": 5},
        {"federation-upstream-pattern": "^up("},
        {"federation-upstream-pattern": "a", "federation-upstream": "b"},
        {"federation-upstream-set": "a", "federation-upstream": "b"},
        {"federation-upstream": 5},
        {"federation-upstream-set": 5},
    ):
        value = json.dumps({"pattern": "^x$", "definition": definition, "apply-to": "exchanges"}).encode()
        status, text = down.api.answer("PUT", f"/policies/{DOWN}/refused", value)
        # What is wrong with an expression is said in the words of each one's library.
        tell(f"refused {json.dumps(definition)}", [status, text.decode().split("Error: ")[0]])


def queue(up, down, tell):
    """A queue: messages stay until somebody consumes, then come with where they were."""
    there, here = up.channel(UP), down.channel(DOWN)
    for channel in (there, here):
        channel.queue_declare("q", durable=True, arguments={"x-max-length": 1000})
    there.exchange_declare("x", "direct", durable=True)
    there.queue_bind("q", "x", "k")
    there.basic_publish("x", "k", b"first", pika.BasicProperties(delivery_mode=2, headers={"h": 1}, user_id="guest"))
    there.basic_publish("", "q", b"second")
    down.parameter(DOWN, "federation-upstream", "up", {"uri": up.uri(UP)})
    down.policy(DOWN, "^q$", {"federation-upstream": "up"}, to="queues")
    down.linked(DOWN)
    tell("made upstream", made_upstream(up))
    tell("nobody wants them", there.queue_declare("q", passive=True).method.message_count)
    got = []
    for method, properties, body in here.consume("q", auto_ack=True, inactivity_timeout=30):
        told = {name: plain(value) for name, value in vars(properties).items() if value is not None}
        got.append([method.exchange, method.routing_key, method.redelivered, told, body.decode()])
        if len(got) == 2:
            break
    tell("messages", got)
    here.cancel()
    until(lambda: there.queue_declare("q", passive=True).method.consumer_count == 0, "nobody consumes upstream")
    there.basic_publish("", "q", b"third")
    tell("stays", there.queue_declare("q", passive=True).method.message_count)
    down.no_policy(DOWN)
    down.unlinked(DOWN)
    tell("queue upstream stays", there.queue_declare("q", passive=True).method.message_count)


def comes_back(up, down, tell):
    """The link's connection upstream is closed: it comes again, and nothing is lost."""
    with_link(up, down)
    there = up.channel(UP)
    there.basic_publish("x", "k", b"one", pika.BasicProperties(delivery_mode=2))
    rows = until(lambda: [row for row in up.api("GET", f"/vhosts/{UP}/connections")
                          if "Federation" in str(row.get("client_properties", {}).get("connection_name"))
                          or "ederation" in str(row.get("user_provided_name"))], "the link's connection")
    up.api("DELETE", f"/connections/{quoted(rows[0]['name'])}")
    there.basic_publish("x", "k", b"two", pika.BasicProperties(delivery_mode=2))
    here = down.channel(DOWN)
    until(lambda: here.queue_declare("q", passive=True).method.message_count == 2, "both messages")
    down.linked(DOWN)
    until(lambda: keys_upstream(up) == ["k"], "the binding")
    tell("messages", [taken(here, "q")["body"] for _ in range(2)])
    made = made_upstream(up)
    tell("one of each", [len(made["exchanges"]), len(made["queues"])])


PAIRS = [exchange, the_policy_goes, the_upstream_goes, the_exchange_goes, nothing_is_to_be_cleaned_up,
         the_upstream_changes, the_exchange_upstream_is_made, by_pattern, queue, comes_back]


def pair(case, up, down):
    up.named("the upstream")
    down.named("the downstream")
    up.new_vhost(UP)
    down.new_vhost(DOWN)
    told = {}
    try:
        case(up, down, told.__setitem__)
    finally:
        down.drop_vhost(DOWN)
        up.drop_vhost(UP)
    text = json.dumps(told, indent=1, sort_keys=True)
    return text.replace(up.amqp, "UP").replace(down.amqp, "DOWN")


def three(peers, hops):
    """From the first over the second to the third: what arrives where, and how it says it came."""
    vhosts = ["hops-a", "hops-b", "hops-c"]
    channels = []
    for place, (peer, vhost) in enumerate(zip(peers, vhosts)):
        peer.named(f"cluster of {peer.name}")
        peer.new_vhost(vhost)
        channel = peer.channel(vhost)
        channel.exchange_declare("x", "topic", durable=True)
        if place:
            channel.queue_declare("q", durable=True)
            channel.queue_bind("q", "x", "k")
        channels.append(channel)
    try:
        for place in (1, 2):
            upstream = {"uri": peers[place - 1].uri(vhosts[place - 1]), "max-hops": hops}
            peers[place].parameter(vhosts[place], "federation-upstream", "up", upstream)
            peers[place].policy(vhosts[place], "^x$", {"federation-upstream": "up"}, to="exchanges")
        for place in (1, 2):
            peers[place].linked(vhosts[place])

        def bound(place):
            return len(peers[place].api("GET", f"/exchanges/{vhosts[place]}/x/bindings/source"))
        until(lambda: bound(0) >= 1 and bound(1) >= 2, "the bindings")
        bindings = settled(lambda: [bound(0), bound(1)])
        channels[0].basic_publish("x", "k", b"from a")
        at_b = taken(channels[1], "q")
        channels[1].basic_publish("x", "k", b"from b")
        at_c = [taken(channels[2], "q")]
        if at_c[0]["body"] == "from a":
            at_c.append(taken(channels[2], "q"))
        came = [row.get("properties", {}).get("headers", {}).get("x-received-from") for row in (at_b, *at_c)]
        text = json.dumps({"bindings": bindings, "at c": [row["body"] for row in at_c], "came": came}, indent=1)
        for peer, letter in zip(peers, "ABC"):
            text = text.replace(f"cluster of {peer.name}\"", f"cluster of {letter}\"").replace(peer.amqp, letter)
        return text
    finally:
        for peer, vhost in zip(peers, vhosts):
            peer.drop_vhost(vhost)


def circle(one, two):
    """Each is the other's upstream: every message is once at each."""
    sides = [(one, two, "circle-1"), (two, one, "circle-2")]
    vhost_of = {one.name: "circle-1", two.name: "circle-2"}
    channels = []
    for peer, _, vhost in sides:
        peer.named(f"cluster {vhost}")
        peer.new_vhost(vhost)
        channel = peer.channel(vhost)
        channel.exchange_declare("x", "topic", durable=True)
        channel.queue_declare("q", durable=True)
        channel.queue_bind("q", "x", "#")
        channels.append(channel)
    try:
        for peer, other, vhost in sides:
            peer.parameter(vhost, "federation-upstream", "up", {"uri": other.uri(vhost_of[other.name]), "max-hops": 5})
            peer.policy(vhost, "^x$", {"federation-upstream": "up"}, to="exchanges")
        for peer, _, vhost in sides:
            peer.linked(vhost)
            until(lambda: len(peer.api("GET", f"/exchanges/{vhost}/x/bindings/source")) >= 2, "the other's binding")
        for number in range(50):
            channels[number % 2].basic_publish("x", "k", str(number).encode())
        counts = lambda: [channel.queue_declare("q", passive=True).method.message_count for channel in channels]  # noqa: E731
        until(lambda: min(counts()) >= 50, "all messages at both")
        # What goes round would come now: a last message each way passes behind it.
        channels[0].basic_publish("x", "k", b"last")
        until(lambda: min(counts()) >= 51, "the last one")
        return str(settled(counts))
    finally:
        for peer, _, vhost in sides:
            peer.drop_vhost(vhost)


def say(name, wrong):
    print(f"{'FAIL' if wrong else 'ok'} federation/{name}", flush=True)
    if wrong:
        print(wrong, flush=True)
    return not wrong


def difference(expected, found):
    import difflib
    lines = difflib.unified_diff(expected.splitlines(), found.splitlines(), "two RabbitMQs", "here", "", "", 2, "")
    return "\n".join(lines)


def attempt(work, *arguments):
    try:
        return work(*arguments)
    except Exception as error:  # noqa: BLE001
        return f"failed: {type(error).__name__}: {error}"


def main():
    addresses = sys.argv[1:9]
    wanted = sys.argv[9:]
    r1, r2, w1, w2 = (Peer(name, *addresses[2 * at : 2 * at + 2]) for at, name in enumerate(("R1", "R2", "W1", "W2")))
    passed = []
    for case in PAIRS:
        if wanted and case.__name__ not in wanted:
            continue
        expected = attempt(pair, case, r1, r2)
        if "--show" in wanted:
            print(expected)
        for up, down in ((w1, r1), (r1, w1), (w1, w2)):
            wrong = difference(expected, attempt(pair, case, up, down))
            name = f"{case.__name__} from {up.name} to {down.name}"
            passed.append(say(name, wrong))
    for hops in (1, 2):
        if wanted and "hops" not in wanted:
            continue
        expected = attempt(three, (r1, r2, r1), hops)
        if "--show" in wanted:
            print(expected)
        for peers in ((r1, w1, r2), (w1, r1, w2), (w1, r1, r2), (r1, r2, w1)):
            wrong = difference(expected.replace("cluster of C", "cluster of A"), attempt(three, peers, hops).replace("cluster of C", "cluster of A"))
            passed.append(say(f"{hops} hops over {', '.join(peer.name for peer in peers)}", wrong))
    if not wanted or "circle" in wanted:
        for one, two in ((r1, r2), (w1, r1), (w1, w2)):
            found = attempt(circle, one, two)
            passed.append(say(f"circle of {one.name} and {two.name}", "" if found == "[51, 51]" else found))
    print(f"{passed.count(True)} passed, {passed.count(False)} failed")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
