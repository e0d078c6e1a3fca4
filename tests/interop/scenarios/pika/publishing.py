"""What a publisher is told and what arrives of its message, with pika."""

import hashlib

import pika
from pika import exceptions

from harness.cases import case, check, equal, fresh, main
from harness.pika_client import collect, confirming, connected, drain, parameters, temporary_queue


@case
def hundred_persistent_messages_are_confirmed_and_kept_in_order():
    with confirming() as channel:
        queue = fresh("confirms")
        channel.queue_declare(queue, durable=True)
        persistent = pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent.value)
        for number in range(100):
            channel.basic_publish("", queue, str(number).encode(), persistent)
        equal(channel.queue_declare(queue, passive=True).method.message_count, 100, "ready messages")
        equal(drain(channel, queue), [str(n).encode() for n in range(100)], "order")
        channel.queue_delete(queue)


@case
def confirms_number_the_publishes_of_a_channel():
    """Without waiting for each: every delivery tag is confirmed exactly once, `multiple` counted in."""
    count = 500
    confirmed = []

    def on_open(connection):
        connection.channel(on_open_callback=on_channel)

    def on_channel(channel):
        channel.confirm_delivery(on_confirm, callback=lambda _: publish(channel))

    def publish(channel):
        # To no queue: unroutable and not mandatory is confirmed as well.
        key = fresh("nobody")
        for number in range(count):
            channel.basic_publish("", key, str(number).encode())

    def on_confirm(frame):
        method = frame.method
        check(isinstance(method, pika.spec.Basic.Ack), f"expected an ack, got {method}")
        first = (max(confirmed) if confirmed else 0) + 1 if method.multiple else method.delivery_tag
        confirmed.extend(range(first, method.delivery_tag + 1))
        if len(confirmed) >= count:
            connection.close()

    connection = pika.SelectConnection(
        parameters(),
        on_open_callback=on_open,
        on_close_callback=lambda c, _: c.ioloop.stop(),
        on_open_error_callback=lambda c, _: c.ioloop.stop(),
    )
    connection.ioloop.start()
    equal(sorted(confirmed), list(range(1, count + 1)), "confirmed delivery tags")


@case
def unroutable_mandatory_message_comes_back_before_its_confirm():
    with confirming() as channel:
        key = fresh("nobody")
        try:
            channel.basic_publish(
                "amq.direct", key, b"come back", pika.BasicProperties(message_id="m1"), mandatory=True
            )
        except exceptions.UnroutableError as error:
            (returned,) = error.messages
        else:
            # pika raises only when the return was there before the confirm.
            raise AssertionError("the message was confirmed without having been returned")
        equal(returned.method.reply_code, 312, "code")
        equal(returned.method.reply_text, "NO_ROUTE", "text")
        equal(returned.method.exchange, "amq.direct", "exchange")
        equal(returned.method.routing_key, key, "routing key")
        equal(returned.properties.message_id, "m1", "message id")
        equal(returned.body, b"come back", "body")


@case
def routable_mandatory_message_does_not_come_back():
    with confirming() as channel:
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, b"stay", mandatory=True)
        equal(drain(channel, queue), [b"stay"], "queue")


@case
def five_mebibytes_arrive_unchanged():
    # A period that no power of two divides, so that swapped or repeated frames show.
    body = (b"".join(hashlib.sha256(bytes([n])).digest() for n in range(251)) * 700)[: 5 * 1024 * 1024]
    equal(len(body), 5 * 1024 * 1024, "length of the test body")
    with confirming() as channel:
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, body)
        ((_, _, delivered),) = collect(channel, queue, 1, limit=30, auto_ack=True)
        check(delivered == body, f"delivered body differs; {len(delivered)} bytes came")
        channel.basic_publish("", queue, body)
        (got,) = drain(channel, queue)
        check(got == body, f"body of basic.get differs; {len(got)} bytes came")


@case
def empty_body_arrives_empty():
    with confirming() as channel:
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, b"")
        channel.basic_publish("", queue, b"next")
        equal(drain(channel, queue), [b"", b"next"], "bodies")


@case
def bodies_around_the_frame_size_arrive_unchanged():
    with connected() as connection:
        frame_max = connection._impl.params.frame_max
        channel = connection.channel()
        channel.confirm_delivery()
        queue = temporary_queue(channel)
        sizes = [frame_max - 9, frame_max - 8, frame_max - 7, 2 * (frame_max - 8), frame_max, 2 * frame_max]
        bodies = [bytes(n % 253 for n in range(size)) for size in sizes]
        for body in bodies:
            channel.basic_publish("", queue, body)
        got = drain(channel, queue)
        equal([len(body) for body in got], sizes, "lengths")
        check(got == bodies, "contents differ")


if __name__ == "__main__":
    main()
