"""Deliveries, acknowledgements and what becomes of messages without one, with pika."""

from harness.cases import case, check, equal, fresh, main
from harness.pika_client import (
    collect, confirming, connected, drain, temporary_queue, wait_for, wait_until,
)  # fmt: skip


def _filled_queue(channel, count):
    queue = temporary_queue(channel)
    for number in range(1, count + 1):
        channel.basic_publish("", queue, str(number).encode())
    return queue


def _get_all(channel, queue):
    got = []
    while True:
        method, _, body = channel.basic_get(queue)
        if method is None:
            return got
        got.append((body.decode(), method.redelivered, method.delivery_tag))


@case
def nack_with_requeue_returns_to_its_place_marked_redelivered():
    with confirming() as channel:
        queue = _filled_queue(channel, 4)
        first = _get_all(channel, queue)
        equal([entry[:2] for entry in first], [(str(n), False) for n in (1, 2, 3, 4)], "first time")
        channel.basic_ack(first[3][2])
        # Given back in another order than they came.
        for position in (2, 0, 1):
            channel.basic_nack(first[position][2], requeue=True)
        channel.basic_publish("", queue, b"5")
        second = _get_all(channel, queue)
        expected = [("1", True), ("2", True), ("3", True), ("5", False)]
        equal([entry[:2] for entry in second], expected, "second time")
        channel.basic_ack(second[-1][2], multiple=True)
        equal(_get_all(channel, queue), [], "after acknowledging all")


@case
def nack_multiple_returns_all_up_to_the_tag():
    with confirming() as channel:
        queue = _filled_queue(channel, 3)
        got = _get_all(channel, queue)
        channel.basic_nack(got[1][2], multiple=True, requeue=True)
        equal([entry[:2] for entry in _get_all(channel, queue)], [("1", True), ("2", True)], "returned")


@case
def reject_without_requeue_drops():
    with confirming() as channel:
        queue = _filled_queue(channel, 2)
        method, _, _ = channel.basic_get(queue)
        channel.basic_reject(method.delivery_tag, requeue=False)
        equal([entry[:2] for entry in _get_all(channel, queue)], [("2", False)], "what is left")


@case
def closing_the_channel_returns_the_unacknowledged():
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = _filled_queue(channel, 3)
        other = connection.channel()
        equal(len(_get_all(other, queue)), 3, "messages got")
        equal(drain(channel, queue), [], "while they are out")
        other.close()
        got = []
        wait_for(lambda: got.extend(_get_all(channel, queue)) or len(got) >= 3, "the messages to come back")
        equal([entry[:2] for entry in got], [("1", True), ("2", True), ("3", True)], "come back")


@case
def recover_gives_the_messages_again():
    with confirming() as channel:
        queue = _filled_queue(channel, 2)
        equal(len(_get_all(channel, queue)), 2, "messages got")
        channel.basic_recover(requeue=True)
        equal([entry[:2] for entry in _get_all(channel, queue)], [("1", True), ("2", True)], "again")


@case
def prefetch_bounds_what_is_unacknowledged():
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = _filled_queue(channel, 10)
        consumer = connection.channel()
        consumer.basic_qos(prefetch_count=3)
        got = []
        consumer.basic_consume(queue, lambda _, method, __, body: got.append((method.delivery_tag, body)))
        wait_until(connection, lambda: len(got) >= 3, "three deliveries")
        # The rest is ready, not on its way: another reader can take it.
        equal(drain(channel, queue), [str(n).encode() for n in range(4, 11)], "left in the queue")
        for number in (11, 12, 13):
            channel.basic_publish("", queue, str(number).encode())
        consumer.basic_ack(got[0][0])
        wait_until(connection, lambda: len(got) >= 4, "the delivery that an ack makes room for")
        consumer.basic_ack(got[3][0], multiple=True)
        wait_until(connection, lambda: len(got) >= 6, "deliveries after acknowledging all")
        equal([body for _, body in got], [b"1", b"2", b"3", b"11", b"12", b"13"], "order")


@case
def prefetch_zero_is_unlimited():
    with confirming() as channel:
        queue = _filled_queue(channel, 300)
        channel.basic_qos(prefetch_count=0)
        got = collect(channel, queue, 300)
        equal([method.delivery_tag for method, _, _ in got], list(range(1, 301)), "delivery tags")


@case
def channel_wide_prefetch_counts_all_its_consumers():
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queues = [_filled_queue(channel, 5), _filled_queue(channel, 5)]
        consumer = connection.channel()
        consumer.basic_qos(prefetch_count=4, global_qos=True)
        got = []
        for queue in queues:
            consumer.basic_consume(queue, lambda _, method, __, body: got.append(method.delivery_tag))
        wait_until(connection, lambda: len(got) >= 4, "four deliveries")
        left = sum(len(drain(channel, queue)) for queue in queues)
        equal((len(got), left), (4, 6), "delivered and left")


@case
def thousand_messages_are_shared_by_two_consumers():
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = temporary_queue(channel)
        shares = ([], [])
        for share in shares:
            consumer = connection.channel()
            consumer.basic_consume(
                queue, lambda _, method, __, body, share=share: share.append(int(body)), auto_ack=True
            )
        publisher = connection.channel()
        for number in range(1000):
            publisher.basic_publish("", queue, str(number).encode())
        wait_until(connection, lambda: sum(map(len, shares)) >= 1000, "all deliveries", limit=30)
        # A consumer that is slow for a moment may be passed over, so halves need not be exact here.
        check(min(map(len, shares)) >= 250, f"messages of each: {[len(share) for share in shares]}")
        equal(sorted(shares[0] + shares[1]), list(range(1000)), "all messages, each once")
        for share in shares:
            equal(share, sorted(share), "order within a consumer")


@case
def idle_consumers_take_turns():
    with confirming() as channel:
        queue = temporary_queue(channel)
        got = []
        for name in ("a", "b", "c"):
            consumer = channel.connection.channel()
            consumer.basic_consume(queue, lambda *_, name=name: got.append(name), auto_ack=True)
        for number in range(12):
            channel.basic_publish("", queue, b"x")
            wait_until(channel.connection, lambda: len(got) > number, "the delivery")
        equal(got[3:], got[:3] * 3, "turns")
        equal(sorted(got[:3]), ["a", "b", "c"], "everyone has a turn")


@case
def cancel_is_told_when_the_queue_is_deleted():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        tag = channel.basic_consume(queue, lambda *_: None, consumer_tag="to be cancelled")
        connection.channel().queue_delete(queue)
        wait_until(connection, lambda: cancelled, "basic.cancel")
        equal(cancelled, [tag], "cancelled consumer")
        check(channel.is_open, "the channel stays open")


@case
def cancelled_consumer_gets_nothing_more():
    with confirming() as channel:
        queue = temporary_queue(channel)
        got = []
        tag = channel.basic_consume(queue, lambda _, __, ___, body: got.append(body), auto_ack=True)
        check(tag.startswith("ctag"), f"pika names its consumers itself: {tag}")
        channel.basic_publish("", queue, b"1")
        wait_until(channel.connection, lambda: got, "the first delivery")
        channel.basic_cancel(tag)
        channel.basic_publish("", queue, b"2")
        equal(drain(channel, queue), [b"2"], "left in the queue")
        equal(got, [b"1"], "delivered")


@case
def get_tells_what_is_left_and_when_nothing_is():
    with confirming() as channel:
        queue = _filled_queue(channel, 2)
        method, _, body = channel.basic_get(queue, auto_ack=True)
        equal((body, method.message_count, method.redelivered), (b"1", 1, False), "first")
        equal((method.exchange, method.routing_key), ("", queue), "where it came from")
        method, _, body = channel.basic_get(queue, auto_ack=True)
        equal((body, method.message_count), (b"2", 0), "second")
        equal(channel.basic_get(queue), (None, None, None), "third")


@case
def exclusive_consumer_frees_the_queue_when_cancelled():
    with connected() as connection:
        channel = connection.channel()
        queue = fresh("exclusive-consumer")
        channel.queue_declare(queue, auto_delete=False)
        tag = channel.basic_consume(queue, lambda *_: None, exclusive=True)
        channel.basic_cancel(tag)
        second = channel.basic_consume(queue, lambda *_: None, exclusive=True)
        channel.basic_cancel(second)
        channel.queue_delete(queue)


@case
def higher_priority_consumer_is_served_first():
    with connected() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = temporary_queue(channel)
        low, high = [], []
        for share, priority in ((low, 1), (high, 10)):
            consumer = connection.channel()
            consumer.basic_qos(prefetch_count=2)
            consumer.basic_consume(
                queue,
                lambda _, __, ___, body, share=share: share.append(body),
                arguments={"x-priority": priority},
            )
        for number in (b"1", b"2", b"3"):
            channel.basic_publish("", queue, number)
        wait_until(connection, lambda: len(low) + len(high) >= 3, "three deliveries")
        equal((high, low), ([b"1", b"2"], [b"3"]), "high until it has no credit, then low")


if __name__ == "__main__":
    main()
