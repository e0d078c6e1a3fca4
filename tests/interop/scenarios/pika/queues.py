"""How queues are declared, emptied and removed, with pika."""

import pika
from pika import exceptions

from harness.cases import VHOST, case, check, equal, fresh, main
from harness.pika_client import (
    channel_error, collect, confirming, connected, drain, temporary_queue, wait_for,
)  # fmt: skip


def _exists(connection, queue):
    """Without closing a channel the case still needs."""
    try:
        code, _ = channel_error(connection, lambda channel: channel.queue_declare(queue, passive=True))
    except AssertionError:
        return True
    equal(code, 404, "code of a passive declaration")
    return False


@case
def server_names_queues_and_remembers_the_last():
    with confirming() as channel:
        first = temporary_queue(channel)
        second = temporary_queue(channel)
        check(first != second, "two names for two queues")
        for name in (first, second):
            check(name.startswith("amq.gen-"), f"server-given name: {name}")
            equal(len(name), len("amq.gen-") + 22, f"length of {name}")
        channel.basic_publish("", second, b"to the last")
        method, _, body = channel.basic_get("", auto_ack=True)
        equal(body, b"to the last", "the empty name means the queue declared last")


@case
def exclusive_queue_ends_with_its_connection():
    queue = fresh("exclusive")
    with connected() as watcher:
        with connected() as owner:
            owner.channel().queue_declare(queue, exclusive=True)
            equal(channel_error(watcher, lambda c: c.queue_declare(queue, passive=True)), (
                405,
                f"RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{queue}' in vhost '{VHOST}'."
                " It could be originally declared on another connection or the exclusive property value does"
                " not match that of the original declaration.",
            ), "another connection")  # fmt: skip
        wait_for(lambda: not _exists(watcher, queue), "the queue to go with its connection")


@case
def auto_delete_queue_goes_with_its_last_consumer():
    queue = fresh("auto-delete")
    with connected() as connection:
        channel = connection.channel()
        channel.queue_declare(queue, auto_delete=True)
        equal(channel.basic_get(queue), (None, None, None), "basic.get is no consumer")
        first = channel.basic_consume(queue, lambda *_: None)
        second = channel.basic_consume(queue, lambda *_: None)
        channel.basic_cancel(first)
        check(_exists(connection, queue), "one consumer is left")
        channel.basic_cancel(second)
        wait_for(lambda: not _exists(connection, queue), "the queue to go")


@case
def declaring_tells_messages_and_consumers():
    with confirming() as channel:
        queue = temporary_queue(channel)
        for _ in range(3):
            channel.basic_publish("", queue, b"x")
        method = channel.queue_declare(queue, passive=True).method
        equal((method.message_count, method.consumer_count), (3, 0), "before consuming")
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume(queue, lambda *_: None)
        # The delivery is on its way as soon as the consumer is known.
        wait_for(
            lambda: channel.queue_declare(queue, passive=True).method.message_count == 2,
            "unacknowledged messages not to count",
        )
        equal(channel.queue_declare(queue, passive=True).method.consumer_count, 1, "consumers")


@case
def purge_counts_and_leaves_the_unacknowledged():
    with confirming() as channel:
        queue = temporary_queue(channel)
        for number in range(5):
            channel.basic_publish("", queue, str(number).encode())
        method, _, _ = channel.basic_get(queue)
        equal(channel.queue_purge(queue).method.message_count, 4, "purged")
        equal(channel.queue_purge(queue).method.message_count, 0, "purged again")
        channel.basic_nack(method.delivery_tag, requeue=True)
        equal(drain(channel, queue), [b"0"], "what was out when purging")


@case
def delete_counts_and_forgives_a_missing_queue():
    with confirming() as channel:
        queue = fresh("delete")
        channel.queue_declare(queue)
        channel.basic_publish("", queue, b"1")
        channel.basic_publish("", queue, b"2")
        equal(channel.queue_delete(queue).method.message_count, 2, "messages gone with it")
        equal(channel.queue_delete(queue).method.message_count, 0, "deleting what is not there")


@case
def delete_if_empty_refuses_messages():
    with confirming() as channel:
        queue = fresh("if-empty")
        channel.queue_declare(queue)
        channel.basic_publish("", queue, b"1")
        refused = channel_error(channel.connection, lambda c: c.queue_delete(queue, if_empty=True))
        equal(refused, (406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '{VHOST}' not empty"), "refusal")
        equal(drain(channel, queue), [b"1"], "still there")
        channel.queue_delete(queue, if_empty=True)
        check(not _exists(channel.connection, queue), "deleted when empty")


@case
def delete_if_unused_refuses_consumers():
    with confirming() as channel:
        queue = fresh("if-unused")
        channel.queue_declare(queue)
        tag = channel.basic_consume(queue, lambda *_: None)
        refused = channel_error(channel.connection, lambda c: c.queue_delete(queue, if_unused=True))
        equal(refused, (406, f"PRECONDITION_FAILED - queue '{queue}' in vhost '{VHOST}' in use"), "refusal")
        channel.basic_cancel(tag)
        channel.queue_delete(queue, if_unused=True)
        check(not _exists(channel.connection, queue), "deleted when unused")


@case
def deleting_an_exchange_removes_its_bindings():
    with confirming() as channel:
        exchange = fresh("to-delete")
        queue = temporary_queue(channel)
        for _ in range(2):
            channel.exchange_declare(exchange, "fanout")
            channel.queue_bind(queue, exchange)
            channel.basic_publish(exchange, "", b"bound")
            channel.exchange_delete(exchange)
            channel.exchange_declare(exchange, "fanout")
            channel.basic_publish(exchange, "", b"new exchange of the old name")
            equal(drain(channel, queue), [b"bound"], "only through the binding")
            channel.exchange_delete(exchange)
        channel.exchange_delete(exchange)


@case
def equal_redeclaration_keeps_the_messages():
    with confirming() as channel:
        queue = fresh("redeclared")
        arguments = {"x-max-length": 10, "x-message-ttl": 60000, "x-unknown": "kept"}
        channel.queue_declare(queue, durable=True, arguments=arguments)
        channel.basic_publish("", queue, b"1")
        equal(channel.queue_declare(queue, durable=True, arguments=arguments).method.message_count, 1, "messages")
        channel.queue_delete(queue)


@case
def message_ttl_of_the_queue_expires_messages():
    with confirming() as channel:
        queue = temporary_queue(channel, arguments={"x-message-ttl": 50})
        channel.basic_publish("", queue, b"short-lived")
        wait_for(
            lambda: channel.queue_declare(queue, passive=True).method.message_count == 0, "the message to expire"
        )
        equal(drain(channel, queue), [], "queue")


@case
def expired_rejected_and_overflown_messages_are_dead_lettered():
    with confirming() as channel:
        dead = temporary_queue(channel)
        queue = temporary_queue(
            channel,
            arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead, "x-max-length": 1},
        )
        channel.basic_publish("", queue, b"overflown")
        channel.basic_publish("", queue, b"rejected")
        method, _, body = channel.basic_get(queue)
        equal(body, b"rejected", "the older one made room")
        channel.basic_reject(method.delivery_tag, requeue=False)
        channel.basic_publish("", queue, b"expired", pika.BasicProperties(expiration="50"))
        got = collect(channel, dead, 3, auto_ack=True)
        equal([body for _, _, body in got], [b"overflown", b"rejected", b"expired"], "order")
        for (_, properties, body), reason in zip(got, ("maxlen", "rejected", "expired")):
            (death,) = properties.headers["x-death"]
            equal((death["reason"], death["queue"], death["count"]), (reason, queue, 1), f"x-death of {body}")
            equal((death["exchange"], death["routing-keys"]), ("", [queue]), f"origin of {body}")
            equal(properties.headers["x-first-death-reason"], reason, f"first death of {body}")
        expired = got[2][1]
        equal(expired.expiration, None, "expiration is taken off")
        equal(expired.headers["x-death"][0]["original-expiration"], "50", "and kept in x-death")


@case
def full_queue_that_rejects_publishes_nacks():
    with confirming() as channel:
        queue = temporary_queue(channel, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        channel.basic_publish("", queue, b"fits")
        try:
            channel.basic_publish("", queue, b"does not fit")
        except exceptions.NackError:
            pass
        else:
            raise AssertionError("the second publish was confirmed")
        equal(drain(channel, queue), [b"fits"], "queue")


@case
def priority_queue_delivers_the_higher_first():
    with confirming() as channel:
        queue = temporary_queue(channel, arguments={"x-max-priority": 5})
        for priority, body in ((None, b"none"), (1, b"one"), (5, b"five"), (9, b"nine is capped"), (5, b"last five")):
            channel.basic_publish("", queue, body, pika.BasicProperties(priority=priority))
        equal(drain(channel, queue), [b"five", b"nine is capped", b"last five", b"one", b"none"], "order")


if __name__ == "__main__":
    main()
