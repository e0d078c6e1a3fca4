"""Confirms, returns, large messages, properties and transactions, with aio-pika."""

import asyncio
import hashlib
from datetime import datetime, timezone
from decimal import Decimal

from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import DeliveryError, PublishError

from harness.aio_client import collect, connected, drain, opened, publish, temporary_queue
from harness.cases import USER, case, check, equal, fresh, main

WHEN = datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone.utc)


@case
async def confirms_come_for_many_publishes_in_flight():
    async with opened() as channel:
        queue = await temporary_queue(channel)
        bodies = [str(number).encode() for number in range(500)]
        confirms = await asyncio.gather(
            *[publish(channel, None, queue.name, body, delivery_mode=DeliveryMode.PERSISTENT) for body in bodies]
        )
        equal([type(confirm).__name__ for confirm in confirms], ["Ack"] * 500, "confirms")
        equal(sorted(await drain(queue)), sorted(bodies), "messages")


@case
async def unroutable_mandatory_message_comes_back_before_its_confirm():
    async with connected() as connection:
        channel = await connection.channel(on_return_raises=True)
        key = fresh("nobody")
        try:
            await channel.default_exchange.publish(Message(b"come back", message_id="m1"), key, mandatory=True)
        except PublishError as error:
            returned = error.message
        else:
            # Raised only when the return was there before the confirm.
            raise AssertionError("the message was confirmed without having been returned")
        equal((returned.delivery.reply_code, returned.delivery.reply_text), (312, "NO_ROUTE"), "reason")
        equal((returned.delivery.exchange, returned.delivery.routing_key), ("", key), "where it was published")
        equal((returned.header.properties.message_id, bytes(returned.body)), ("m1", b"come back"), "message")


@case
async def five_mebibytes_arrive_unchanged():
    body = (b"".join(hashlib.sha256(bytes([n])).digest() for n in range(251)) * 700)[: 5 * 1024 * 1024]
    async with opened() as channel:
        queue = await temporary_queue(channel)
        await publish(channel, None, queue.name, body)
        (message,) = await collect(queue, 1, limit=30, no_ack=True)
        check(message.body == body, f"delivered body differs; {len(message.body)} bytes came")


@case
async def full_queue_that_rejects_publishes_nacks():
    async with opened() as channel:
        queue = await temporary_queue(channel, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
        await publish(channel, None, queue.name, b"fits")
        try:
            await publish(channel, None, queue.name, b"does not fit")
        except DeliveryError:
            pass
        else:
            raise AssertionError("the second publish was confirmed")
        equal(await drain(queue), [b"fits"], "queue")


@case
async def all_properties_round_trip():
    sent = {
        "content_type": "application/json",
        "content_encoding": "gzip",
        "delivery_mode": DeliveryMode.PERSISTENT,
        "priority": 9,
        "correlation_id": "c1",
        "reply_to": "reply",
        "expiration": 60.0,
        "message_id": "m1",
        "timestamp": WHEN,
        "type": "order.created",
        "user_id": USER,
        "app_id": "interop",
    }
    async with opened() as channel:
        queue = await temporary_queue(channel)
        await publish(channel, None, queue.name, b"x", **sent)
        (message,) = await collect(queue, 1, no_ack=True)
        equal({name: getattr(message, name) for name in sent}, sent, "properties")


@case
async def header_values_of_every_kind_round_trip():
    headers = {
        "text": "grüße, 世界",
        "yes": True,
        "no": False,
        "int8": -5,
        "int16": 300,
        "int32": -(2**31),
        "int64": -(2**63),
        "float": -1234.5,
        "decimal": Decimal("12.34"),
        "none": None,
        "bytes": bytearray(b"\x00\xff\xfe"),
        "time": WHEN,
        "array": [1, -1, "two", True, None, ["nested", [2]], {"in": "array"}],
        "table": {"level": 1, "table": {"level": 2, "array": [{"when": WHEN}]}},
        "empty table": {},
        "empty array": [],
    }
    async with opened() as channel:
        queue = await temporary_queue(channel)
        await publish(channel, None, queue.name, b"x", headers=headers)
        (message,) = await collect(queue, 1, no_ack=True)
        for name, value in headers.items():
            equal(message.headers.get(name), value, f"header {name}")
        equal(len(message.headers), len(headers), "number of headers")


@case
async def transaction_is_committed_or_rolled_back():
    async with connected() as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await temporary_queue(await connection.channel())
        async with channel.transaction():
            await publish(channel, None, queue.name, b"committed")
            equal(await drain(queue), [], "before the commit")
        equal(await drain(queue), [b"committed"], "after the commit")
        try:
            async with channel.transaction():
                await publish(channel, None, queue.name, b"rolled back")
                raise LookupError
        except LookupError:
            pass
        equal(await drain(queue), [], "after the rollback")


if __name__ == "__main__":
    main()
