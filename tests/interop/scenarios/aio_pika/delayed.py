"""The x-delayed-message exchange, with aio-pika."""

import asyncio
import time

from aio_pika import ExchangeType

from harness.aio_client import opened, publish, temporary_queue, wait_for
from harness.cases import case, check, equal, fresh, main, needs_delayed

# How late a delivery may come on a busy machine. Too early is never allowed.
LATENESS_MS = 2000


async def _delayed_exchange(channel, inner="direct"):
    return await channel.declare_exchange(
        fresh("delayed"),
        ExchangeType.X_DELAYED_MESSAGE,
        auto_delete=True,
        arguments={"x-delayed-type": inner},
    )


@needs_delayed
@case
async def messages_come_by_due_time_and_not_early():
    async with opened() as channel:
        exchange = await _delayed_exchange(channel)
        queue = await temporary_queue(channel)
        await queue.bind(exchange, "k")
        sent = {}

        async def send(delay):
            sent[delay] = time.monotonic()
            await publish(channel, exchange, "k", str(delay).encode(), headers={"x-delay": delay})

        # Without waiting for each confirm, so that slow ones do not change the order of due times.
        await asyncio.gather(*[send(delay) for delay in (900, 300, 600)])
        got = []

        async def keep(message):
            got.append((message, time.monotonic()))

        await queue.consume(keep, no_ack=True)
        await wait_for(lambda: len(got) >= 3, "three deliveries")
        equal([message.body for message, _ in got], [b"300", b"600", b"900"], "order")
        for message, when in got:
            delay = int(message.body)
            waited = (when - sent[delay]) * 1000
            check(delay - 1 <= waited <= delay + LATENESS_MS, f"{delay} came after {waited:.0f} ms")
            equal(message.headers["x-delay"], -delay, "the delivered header is negative")


@needs_delayed
@case
async def headers_as_inner_type():
    async with opened() as channel:
        exchange = await _delayed_exchange(channel, "headers")
        queue = await temporary_queue(channel)
        await queue.bind(exchange, "", arguments={"x-match": "all", "kind": "wanted"})
        await publish(channel, exchange, "", b"not wanted", headers={"x-delay": 300, "kind": "other"})
        await publish(channel, exchange, "", b"wanted", headers={"x-delay": 400, "kind": "wanted"})
        got = []

        async def keep(message):
            got.append(message.body)

        await queue.consume(keep, no_ack=True)
        await wait_for(lambda: got, "the delivery")
        equal(got, [b"wanted"], "messages")


if __name__ == "__main__":
    main()
