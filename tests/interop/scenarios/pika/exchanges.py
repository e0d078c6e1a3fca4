"""Routing through each kind of exchange, with pika."""

import pika

from harness.cases import case, check, equal, fresh, main
from harness.pika_client import channel_error, confirming, connected, drain, temporary_queue


def _exchange(channel, kind, **arguments):
    name = fresh(kind)
    channel.exchange_declare(name, kind, auto_delete=True, **arguments)
    return name


def _bound(channel, exchange, *keys, arguments=None):
    queue = temporary_queue(channel)
    for key in keys:
        channel.queue_bind(queue, exchange, key, arguments)
    return queue


@case
def default_exchange_routes_to_the_queue_of_that_name():
    with confirming() as channel:
        queue = temporary_queue(channel)
        other = temporary_queue(channel)
        channel.basic_publish("", queue, b"for you")
        equal(drain(channel, queue), [b"for you"], "named queue")
        equal(drain(channel, other), [], "other queue")


@case
def direct_routes_by_exact_key():
    with confirming() as channel:
        exchange = _exchange(channel, "direct")
        red = _bound(channel, exchange, "red")
        both = _bound(channel, exchange, "red", "blue")
        for key in ("red", "blue", "Red", "red.blue", ""):
            channel.basic_publish(exchange, key, key.encode())
        equal(drain(channel, red), [b"red"], "queue bound with red")
        equal(drain(channel, both), [b"red", b"blue"], "queue bound with red and blue")


@case
def fanout_ignores_the_key():
    with confirming() as channel:
        exchange = _exchange(channel, "fanout")
        queues = [_bound(channel, exchange, key) for key in ("", "a", "b")]
        unbound = temporary_queue(channel)
        channel.basic_publish(exchange, "whatever", b"1")
        channel.basic_publish(exchange, "", b"2")
        for queue in queues:
            equal(drain(channel, queue), [b"1", b"2"], "bound queue")
        equal(drain(channel, unbound), [], "unbound queue")


@case
def topic_matches_words_and_wildcards():
    patterns = {
        "*.orange.*": ["quick.orange.rabbit", "lazy.orange.elephant", ".orange."],
        "lazy.#": ["lazy", "lazy.orange.elephant", "lazy.brown.fox.jumps"],
        "#": None,
        # The empty key has no word at all, so one word is too much for it.
        "*": ["lazy", "orange", "fox"],
        "#.fox.#": ["lazy.brown.fox.jumps", "fox"],
        "a.#.b": ["a.b", "a.x.b", "a.x.y.b"],
        "lazy": ["lazy"],
    }
    keys = [
        "quick.orange.rabbit", "lazy.orange.elephant", "lazy", "lazy.brown.fox.jumps", "orange",
        "fox", "a.b", "a.x.b", "a.x.y.b", "a.x.y", ".orange.", "", "Lazy.x",
    ]  # fmt: skip
    with confirming() as channel:
        exchange = _exchange(channel, "topic")
        queues = {pattern: _bound(channel, exchange, pattern) for pattern in patterns}
        for key in keys:
            channel.basic_publish(exchange, key, key.encode())
        for pattern, expected in patterns.items():
            expected = keys if expected is None else expected
            got = sorted(body.decode() for body in drain(channel, queues[pattern]))
            equal(got, sorted(expected), f"keys matched by {pattern!r}")


@case
def two_matching_bindings_give_one_copy():
    with confirming() as channel:
        exchange = _exchange(channel, "topic")
        queue = _bound(channel, exchange, "a.*", "*.b", "#")
        channel.basic_publish(exchange, "a.b", b"once")
        equal(drain(channel, queue), [b"once"], "copies")


def _headers_case(x_match, expected):
    messages = {
        "both": {"format": "pdf", "pages": 3, "extra": True},
        "one": {"format": "pdf", "pages": 4},
        "wrong type": {"format": "pdf", "pages": "3"},
        "none": {"format": "zip"},
        "empty": {},
    }
    arguments = {"format": "pdf", "pages": 3}
    if x_match:
        arguments["x-match"] = x_match
    with confirming() as channel:
        exchange = _exchange(channel, "headers")
        queue = _bound(channel, exchange, "ignored", arguments=arguments)
        for name, headers in messages.items():
            channel.basic_publish(exchange, "any key", name.encode(), pika.BasicProperties(headers=headers))
        channel.basic_publish(exchange, "", b"without headers")
        equal([body.decode() for body in drain(channel, queue)], expected, f"x-match {x_match}")


@case
def headers_all_wants_every_pair():
    _headers_case("all", ["both"])


@case
def headers_without_x_match_means_all():
    _headers_case(None, ["both"])


@case
def headers_any_wants_one_pair():
    _headers_case("any", ["both", "one", "wrong type"])


@case
def exchange_to_exchange_binding_and_unbinding():
    with confirming() as channel:
        source = _exchange(channel, "topic")
        target = fresh("fanout")
        channel.exchange_declare(target, "fanout")
        queue = _bound(channel, target, "")
        # A second way to the same queue must not make a second copy.
        channel.queue_bind(queue, source, "logs.error")
        channel.exchange_bind(target, source, "logs.*")
        channel.basic_publish(source, "logs.info", b"info")
        channel.basic_publish(source, "logs.error", b"error")
        channel.basic_publish(source, "audit", b"not bound")
        equal(drain(channel, queue), [b"info", b"error"], "through both exchanges")
        channel.exchange_unbind(target, source, "logs.*")
        channel.basic_publish(source, "logs.info", b"late")
        equal(drain(channel, queue), [], "after unbinding")
        channel.exchange_delete(target)


@case
def alternate_exchange_takes_what_nothing_else_takes():
    with confirming() as channel:
        alternate = _exchange(channel, "fanout")
        unrouted = _bound(channel, alternate, "")
        exchange = _exchange(channel, "direct", arguments={"alternate-exchange": alternate})
        known = _bound(channel, exchange, "known")
        channel.basic_publish(exchange, "known", b"1")
        # Routed by the alternate counts as routed: pika raises UnroutableError otherwise.
        channel.basic_publish(exchange, "unknown", b"2", pika.BasicProperties(), mandatory=True)
        equal(drain(channel, known), [b"1"], "bound queue")
        equal(drain(channel, unrouted), [b"2"], "queue of the alternate exchange")


@case
def cc_and_bcc_are_further_keys():
    with confirming() as channel:
        exchange = _exchange(channel, "direct")
        queues = {key: _bound(channel, exchange, key) for key in ("to", "cc", "bcc", "other")}
        headers = {"CC": ["cc", "to"], "BCC": ["bcc"]}
        channel.basic_publish(exchange, "to", b"x", pika.BasicProperties(headers=headers))
        for key in ("to", "cc", "bcc"):
            method, properties, _ = channel.basic_get(queues[key], auto_ack=True)
            equal(method.routing_key, "to", f"routing key of the copy for {key}")
            equal(properties.headers, {"CC": ["cc", "to"]}, f"headers of the copy for {key}, without BCC")
            equal(drain(channel, queues[key]), [], f"further copies for {key}")
        equal(drain(channel, queues["other"]), [], "key not named")


@case
def auto_delete_exchange_goes_with_its_last_binding():
    with connected() as connection:
        channel = connection.channel()
        exchange = _exchange(channel, "direct")
        queue = temporary_queue(channel)
        channel.exchange_declare(exchange, passive=True)
        channel.queue_bind(queue, exchange, "a")
        channel.queue_bind(queue, exchange, "b")
        channel.queue_unbind(queue, exchange, "a")
        channel.exchange_declare(exchange, passive=True)
        channel.queue_unbind(queue, exchange, "b")
        code, text = channel_error(connection, lambda c: c.exchange_declare(exchange, passive=True))
        equal(code, 404, "code")
        check(exchange in text, f"text names the exchange: {text}")


@case
def predeclared_exchanges_exist():
    with confirming() as channel:
        for name, kind in {
            "amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic",
            "amq.headers": "headers", "amq.match": "headers",
        }.items():  # fmt: skip
            # An equal redeclaration of a reserved name is allowed.
            channel.exchange_declare(name, kind, durable=True)
        queue = _bound(channel, "amq.topic", "interop.#")
        channel.basic_publish("amq.topic", "interop.x", b"x")
        equal(drain(channel, queue), [b"x"], "through amq.topic")


if __name__ == "__main__":
    main()
