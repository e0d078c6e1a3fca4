"""The x-delayed-message exchange, with pika."""

import time

import pika

from harness.cases import case, check, equal, fresh, main, needs_delayed
from harness.pika_client import channel_error, confirming, connected, drain, temporary_queue, wait_until

# How late a delivery may come on a busy machine. Too early is never allowed.
LATENESS_MS = 2000


def _delayed_exchange(channel, inner="direct"):
    exchange = fresh("delayed")
    channel.exchange_declare(
        exchange, "x-delayed-message", auto_delete=True, arguments={"x-delayed-type": inner}
    )
    return exchange


def _publish(channel, exchange, key, body, delay=None):
    headers = {} if delay is None else {"x-delay": delay}
    sent = time.monotonic()
    channel.basic_publish(exchange, key, body, pika.BasicProperties(headers=headers))
    return sent


def _arrivals(channel, queue, count):
    """(body, headers, when) of each delivery, noted when it came."""
    got = []
    channel.basic_consume(
        queue,
        lambda _, __, properties, body: got.append((body, properties.headers, time.monotonic())),
        auto_ack=True,
    )
    wait_until(channel.connection, lambda: len(got) >= count, f"{count} deliveries")
    return got


@needs_delayed
@case
def messages_come_by_due_time_and_not_early():
    delays = {b"900": 900, b"300": 300, b"600": 600, b"450": 450}
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        # Without waiting for confirms, so that slow ones do not change the order of due times.
        publisher = channel.connection.channel()
        sent = {body: _publish(publisher, exchange, "k", body, delay) for body, delay in delays.items()}
        got = _arrivals(channel, queue, len(delays))
        equal([body for body, _, _ in got], [b"300", b"450", b"600", b"900"], "order")
        for body, headers, when in got:
            waited = (when - sent[body]) * 1000
            # Clocks of broker and client are cut to milliseconds, which may cost one.
            check(delays[body] - 1 <= waited <= delays[body] + LATENESS_MS, f"{body} came after {waited:.0f} ms")
            equal(headers["x-delay"], -delays[body], "the delivered header is negative")


@needs_delayed
@case
def equal_delays_keep_the_order_of_publishing():
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        bodies = [str(number).encode() for number in range(50)]
        for body in bodies:
            _publish(channel, exchange, "k", body, 500)
        equal([body for body, _, _ in _arrivals(channel, queue, 50)], bodies, "order")


@needs_delayed
@case
def without_a_positive_delay_routing_is_immediate():
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        for body, delay in ((b"no header", None), (b"zero", 0), (b"negative", -300)):
            _publish(channel, exchange, "k", body, delay)
            # Confirmed means routed, so it must be there already.
            equal(drain(channel, queue), [body], f"right after the confirm of {body}")


@needs_delayed
@case
def delivered_header_does_not_delay_again():
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        _publish(channel, exchange, "k", b"once", 300)
        ((body, headers, _),) = _arrivals(channel, queue, 1)
        again = temporary_queue(channel)
        channel.queue_bind(again, exchange, "again")
        channel.basic_publish(exchange, "again", body, pika.BasicProperties(headers=headers))
        equal(drain(channel, again), [b"once"], "published on as it came")


@needs_delayed
@case
def routing_is_that_of_the_inner_type():
    with confirming() as channel:
        exchange = _delayed_exchange(channel, "topic")
        matching, other = temporary_queue(channel), temporary_queue(channel)
        channel.queue_bind(matching, exchange, "order.*")
        channel.queue_bind(other, exchange, "invoice.*")
        _publish(channel, exchange, "order.created", b"later", 300)
        equal([body for body, _, _ in _arrivals(channel, matching, 1)], [b"later"], "matching queue")
        equal(drain(channel, other), [], "other queue")


@needs_delayed
@case
def delay_as_a_number_in_a_string_counts():
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        sent = _publish(channel, exchange, "k", b"x", "400")
        ((_, _, when),) = _arrivals(channel, queue, 1)
        check((when - sent) * 1000 >= 399, f"came after {(when - sent) * 1000:.0f} ms")


@needs_delayed
@case
def body_and_properties_survive_the_wait():
    body = bytes(n % 247 for n in range(300_000))
    with confirming() as channel:
        exchange = _delayed_exchange(channel)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        sent = pika.BasicProperties(
            headers={"x-delay": 300, "kept": [1, {"a": True}]}, message_id="m", delivery_mode=2, priority=3
        )
        channel.basic_publish(exchange, "k", body, sent)
        got = []
        channel.basic_consume(queue, lambda _, m, p, b: got.append((m, p, b)), auto_ack=True)
        wait_until(channel.connection, lambda: got, "the delivery")
        ((method, properties, delivered),) = got
        check(delivered == body, "body differs")
        equal((method.exchange, method.routing_key), (exchange, "k"), "where it was published")
        equal(properties.headers["kept"], [1, {"a": True}], "other header")
        equal((properties.message_id, properties.delivery_mode, properties.priority), ("m", 2, 3), "properties")


@needs_delayed
@case
def inner_type_is_required_and_checked():
    with connected() as connection:

        def declared(**arguments):
            arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
            return channel_error(
                connection, lambda c: c.exchange_declare(fresh("bad"), "x-delayed-message", arguments=arguments)
            )

        start = "PRECONDITION_FAILED - "
        missing = f"{start}Invalid argument, 'x-delayed-type' must be an existing exchange type"
        equal(declared(), (406, missing), "no inner type")
        equal(declared(x_delayed_type=1), (406, missing), "inner type that is no string")
        equal(
            declared(x_delayed_type="x-delayed-message"),
            (406, f"{start}Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"),
            "itself as inner type",
        )
        equal(
            declared(x_delayed_type="x-nobody"), (406, f"{start}unknown exchange type 'x-nobody'"), "unknown inner type"
        )


if __name__ == "__main__":
    main()
