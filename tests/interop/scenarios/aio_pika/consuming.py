"""Deliveries, acknowledgements and the life of queues, with aio-pika."""

import asyncio

from aio_pika.exceptions import QueueEmpty

from harness.aio_client import (
    channel_error, collect, connected, drain, opened, publish, temporary_queue, wait_for,
)  # fmt: skip
from harness.cases import case, check, equal, fresh, main


async def _filled(channel, count):
    queue = await temporary_queue(channel)
    for number in range(1, count + 1):
        await publish(channel, None, queue.name, str(number).encode())
    return queue


async def _get_all(queue):
    got = []
    while (message := await queue.get(fail=False)) is not None:
        got.append(message)
    return got


def _seen(messages):
    return [(message.body.decode(), message.redelivered) for message in messages]


@case
async def nack_with_requeue_returns_to_its_place_marked_redelivered():
    async with opened() as channel:
        queue = await _filled(channel, 4)
        first = await _get_all(queue)
        equal(_seen(first), [(str(n), False) for n in (1, 2, 3, 4)], "first time")
        await first[3].ack()
        for position in (2, 0, 1):
            await first[position].nack(requeue=True)
        await publish(channel, None, queue.name, b"5")
        second = await _get_all(queue)
        equal(_seen(second), [("1", True), ("2", True), ("3", True), ("5", False)], "second time")
        await second[-1].ack(multiple=True)
        equal(await _get_all(queue), [], "after acknowledging all")


@case
async def failed_processing_gives_the_message_back():
    async with opened() as channel:
        queue = await _filled(channel, 1)
        message = await queue.get()
        try:
            async with message.process(requeue=True):
                raise LookupError
        except LookupError:
            pass
        again = await queue.get()
        check(again.redelivered, "redelivered")
        async with again.process():
            pass
        equal(await drain(queue), [], "after processing")


@case
async def prefetch_bounds_what_is_unacknowledged():
    async with connected() as connection:
        channel = await connection.channel()
        queue = await _filled(channel, 10)
        consumer = await connection.channel()
        await consumer.set_qos(prefetch_count=3)
        got = []

        async def keep(message):
            got.append(message)

        await (await consumer.get_queue(queue.name)).consume(keep)
        await wait_for(lambda: len(got) >= 3, "three deliveries")
        equal(len(await drain(queue)), 7, "left in the queue")
        await publish(channel, None, queue.name, b"more")
        await got[0].ack()
        await wait_for(lambda: len(got) >= 4, "the delivery an ack makes room for")
        equal([message.body for message in got], [b"1", b"2", b"3", b"more"], "order")


@case
async def thousand_messages_are_shared_by_two_consumers():
    async with connected() as connection:
        publisher = await connection.channel(publisher_confirms=False)
        queue = await temporary_queue(await connection.channel())
        shares = ([], [])
        for share in shares:
            channel = await connection.channel()

            async def keep(message, share=share):
                share.append(int(message.body))

            await (await channel.get_queue(queue.name)).consume(keep, no_ack=True)
        for number in range(1000):
            await publish(publisher, None, queue.name, str(number).encode())
        await wait_for(lambda: sum(map(len, shares)) >= 1000, "all deliveries", limit=30)
        # A consumer that is slow for a moment may be passed over, so halves need not be exact.
        check(min(map(len, shares)) >= 250, f"messages of each: {[len(share) for share in shares]}")
        equal(sorted(shares[0] + shares[1]), list(range(1000)), "all messages, each once")


@case
async def cancel_is_told_when_the_queue_is_deleted():
    async with connected() as connection:
        channel = await connection.channel()
        queue = await temporary_queue(channel)
        cancelled = []
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda frame: cancelled.append(frame.consumer_tag))

        async def ignore(_):
            pass

        tag = await queue.consume(ignore)
        await (await connection.channel()).queue_delete(queue.name)
        await wait_for(lambda: cancelled, "basic.cancel")
        equal(cancelled, [tag], "cancelled consumer")
        await channel.get_exchange("amq.direct", ensure=True)


@case
async def get_fails_on_an_empty_queue():
    async with opened() as channel:
        queue = await _filled(channel, 2)
        message = await queue.get(no_ack=True)
        equal((message.body, message.message_count), (b"1", 1), "first")
        await queue.get(no_ack=True)
        try:
            await queue.get(no_ack=True)
        except QueueEmpty:
            return
        raise AssertionError("a third message came")


@case
async def purge_and_delete_count_messages():
    async with opened() as channel:
        queue = await channel.declare_queue(fresh("life"))
        for _ in range(3):
            await publish(channel, None, queue.name, b"x")
        equal((await queue.purge()).message_count, 3, "purged")
        await publish(channel, None, queue.name, b"x")
        equal((await queue.delete(if_unused=False, if_empty=False)).message_count, 1, "deleted")


@case
async def auto_delete_queue_goes_with_its_last_consumer():
    async with connected() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(fresh("auto-delete"), auto_delete=True)

        async def ignore(_):
            pass

        await queue.cancel(await queue.consume(ignore))
        for _ in range(100):
            try:
                name, _ = await channel_error(connection, lambda c: c.declare_queue(queue.name, passive=True))
            except AssertionError:
                await asyncio.sleep(0.05)
                continue
            equal(name, "ChannelNotFoundEntity", "what a passive declaration says")
            return
        raise AssertionError("the queue is still there")


@case
async def exclusive_queue_ends_with_its_connection():
    async with connected() as watcher:
        async with opened() as channel:
            queue = await temporary_queue(channel)
            check(queue.name.startswith("amq.gen-"), queue.name)
            name, text = await channel_error(watcher, lambda c: c.declare_queue(queue.name, passive=True))
            equal(name, "ChannelLockedResource", "error while it lives")
            check(text.startswith("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"), text)
        for _ in range(100):
            name, _ = await channel_error(watcher, lambda c: c.declare_queue(queue.name, passive=True))
            if name == "ChannelNotFoundEntity":
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the queue is still there")


@case
async def many_channels_publish_and_consume_at_once():
    async with connected() as connection:

        async def one(number):
            channel = await connection.channel()
            queue = await temporary_queue(channel)
            bodies = [f"{number}.{count}".encode() for count in range(20)]
            for body in bodies:
                await publish(channel, None, queue.name, body)
            got = await collect(queue, 20, no_ack=True)
            equal([message.body for message in got], bodies, f"messages of channel {number}")

        await asyncio.gather(*[one(number) for number in range(30)])


if __name__ == "__main__":
    main()
