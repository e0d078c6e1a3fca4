"""Opening a connection: negotiation, refusals, staying alive, with pika."""

import time

import pika
from pika import exceptions, spec

from harness.cases import USER, case, check, equal, fresh, main, one_of
from harness.pika_client import (
    channel_error, confirming, connected, connection_error, drain, parameters, temporary_queue, wait_until,
)  # fmt: skip


def _refused(**overrides):
    try:
        connection = pika.BlockingConnection(parameters(**overrides))
    except exceptions.AMQPConnectionError as error:
        return error
    connection.close()
    raise AssertionError("the broker let the client in")


def _cause(error):
    """pika wraps what the broker said once or twice, differently by version."""
    seen = [error]
    while seen:
        current = seen.pop()
        if hasattr(current, "reply_code"):
            return current.reply_code, current.reply_text
        inner = [arg for arg in getattr(current, "args", ()) if isinstance(arg, BaseException)]
        seen += inner + [e for e in (current.__cause__, current.__context__) if e is not None]
    return None, f"{type(error).__name__}: {error!r}"


@case
def server_properties_tell_its_abilities():
    with connected() as connection:
        properties = connection._impl.server_properties
        for name in (
            "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify",
            "connection.blocked", "consumer_priorities", "authentication_failure_close", "per_consumer_qos",
            "direct_reply_to",
        ):  # fmt: skip
            equal(properties["capabilities"].get(name), True, f"capability {name}")
        equal(properties["product"], "RabbitMQ", "product, on which clients branch")
        for name in ("version", "platform", "copyright", "information", "cluster_name"):
            check(properties.get(name), f"server property {name} is given")


@case
def wrong_password_is_told():
    error = _refused(credentials=pika.PlainCredentials(USER, "wrong"))
    check(isinstance(error, exceptions.ProbableAuthenticationError) or _cause(error)[0] == 403, f"{error!r}")
    check(
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
        " For details see the broker logfile." in repr(error),
        f"text: {error!r}",
    )


@case
def unknown_user_is_told_the_same():
    error = _refused(credentials=pika.PlainCredentials("nobody-by-this-name", "guest"))
    check("ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN." in repr(error), f"{error!r}")


@case
def unknown_virtual_host_is_told():
    error = _refused(virtual_host="no-such-vhost")
    check("(530) NOT_ALLOWED - vhost no-such-vhost not found" in str(error) or
          "NOT_ALLOWED - vhost no-such-vhost not found" in repr(error), f"text: {error!r}")  # fmt: skip


@case
def heartbeat_of_the_client_wins():
    for wanted in (5, 120):
        with connected(heartbeat=wanted) as connection:
            equal(connection._impl.params.heartbeat, wanted, "heartbeat agreed on")
    proposed = []
    with connected(heartbeat=lambda _, server: proposed.append(server) or 0) as connection:
        equal(connection._impl.params.heartbeat, 0, "heartbeat switched off")
    equal(proposed, [60], "heartbeat the server proposes")


@case
def server_proposes_its_limits():
    with connected(frame_max=131072, channel_max=65535) as connection:
        equal(connection._impl.params.frame_max, 131072, "frame_max")
        equal(connection._impl.params.channel_max, 2047, "channel_max")


@case
def idle_connection_survives_on_heartbeats():
    with connected(heartbeat=2) as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        # Long enough for the server to miss three heartbeats and for pika to miss the server's.
        end = time.monotonic() + 6
        while time.monotonic() < end:
            connection.process_data_events(time_limit=0.5)
        channel.queue_declare(queue, passive=True)


@case
def silent_client_is_dropped_after_two_missed_heartbeats():
    """Its exclusive queue goes with it, which another connection sees."""
    with connected() as watcher:
        silent = pika.BlockingConnection(parameters(heartbeat=1))
        queue = silent.channel().queue_declare("", exclusive=True).method.queue
        begin = time.monotonic()
        code = 405
        while code == 405 and time.monotonic() < begin + 15:
            # The silent connection is not served, so pika sends none of its heartbeats.
            code, _ = channel_error(watcher, lambda c: c.queue_declare(queue, passive=True))
            time.sleep(0.1)
        equal(code, 404, "the queue of the silent connection")
        took = time.monotonic() - begin
        check(1.5 <= took <= 6, f"dropped after {took:.1f} s with a heartbeat of 1 s")
        try:
            silent.close()
        except exceptions.AMQPError:
            pass


@case
def frame_size_of_4096_is_enough():
    # RabbitMQ 4.1 wants 8192 at least; older ones and Warren accept 4096, which old clients ask for.
    body = bytes(n % 251 for n in range(100_000))
    with confirming(frame_max=4096) as channel:
        equal(channel.connection._impl.params.frame_max, 4096, "frame_max agreed on")
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, body)
        # Had the broker sent larger frames, pika would have refused them.
        equal(drain(channel, queue), [body], "body over many frames")


@case
def large_message_from_a_small_framed_client_reaches_a_large_framed_one():
    body = bytes(n % 249 for n in range(300_000))
    queue = fresh("frames")
    with confirming(frame_max=4096) as small, confirming(frame_max=131072) as large:
        large.queue_declare(queue)
        small.basic_publish("", queue, body)
        equal(drain(large, queue), [body], "small to large")
        large.basic_publish("", queue, body)
        equal(drain(small, queue), [body], "large to small")
        large.queue_delete(queue)


@case
def hundred_channels_work_side_by_side():
    with connected() as connection:
        channels = [connection.channel() for _ in range(100)]
        queues = [temporary_queue(channel) for channel in channels]
        equal(len(set(queues)), 100, "queues")
        for channel, queue in zip(channels, reversed(queues)):
            channel.confirm_delivery()
            channel.basic_publish("", queue, queue.encode())
        for channel, queue in zip(channels, queues):
            equal(drain(channel, queue), [queue.encode()], "queue of the mirrored channel")


@case
def closed_channel_number_is_used_again():
    with connected() as connection:
        for _ in range(5):
            channel = connection.channel(channel_number=7)
            temporary_queue(channel)
            channel.close()


@case
def more_channels_than_agreed_are_refused():
    def action(connection):
        for number in range(1, 4):
            connection.channel(number)
        # pika does not go over the limit by itself.
        connection._impl._send_method(5, spec.Channel.Open())

    code, text = connection_error(action, channel_max=3)
    equal(code, 530, "code")
    one_of(
        text,
        [
            "NOT_ALLOWED - number of channels opened (3) has reached the negotiated channel_max (3)",
        ],
        "text",
    )


@case
def direct_reply_to_answers_without_a_queue():
    with connected() as connection:
        client = connection.channel()
        answers = []
        client.basic_consume(
            "amq.rabbitmq.reply-to", lambda _, __, properties, body: answers.append((properties, body)), auto_ack=True
        )
        server = connection.channel()
        requests = temporary_queue(server)

        def answer(channel, method, properties, body):
            check(properties.reply_to.startswith("amq.rabbitmq.reply-to."), properties.reply_to)
            channel.basic_publish(
                "", properties.reply_to, body.upper(), pika.BasicProperties(correlation_id=properties.correlation_id)
            )

        server.basic_consume(requests, answer, auto_ack=True)
        client.basic_publish(
            "", requests, b"hello", pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="c1")
        )
        wait_until(connection, lambda: answers, "the answer")
        ((properties, body),) = answers
        equal((properties.correlation_id, body), ("c1", b"HELLO"), "answer")


if __name__ == "__main__":
    main()
