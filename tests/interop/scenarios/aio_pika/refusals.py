"""Connecting, staying connected and being refused, with aio-pika."""

import asyncio

import aio_pika
from aio_pika import ExchangeType
from aio_pika.exceptions import AMQPError

from harness.aio_client import channel_error, connected, open_connection, publish, temporary_queue
from harness.cases import URL, VHOST, case, check, equal, fresh, main


async def _ignore(_):
    pass


@case
async def missing_queue_and_exchange():
    name = fresh("missing")
    async with connected() as connection:
        equal(
            await channel_error(connection, lambda c: c.declare_queue(name, passive=True)),
            ("ChannelNotFoundEntity", f"NOT_FOUND - no queue '{name}' in vhost '{VHOST}'"),
            "queue",
        )
        equal(
            await channel_error(connection, lambda c: c.declare_exchange(name, passive=True)),
            ("ChannelNotFoundEntity", f"NOT_FOUND - no exchange '{name}' in vhost '{VHOST}'"),
            "exchange",
        )

        async def publish_to_nowhere(channel):
            exchange = await channel.get_exchange(name, ensure=False)
            await publish(channel, exchange, "k", b"x")

        kind, text = await channel_error(connection, publish_to_nowhere)
        check(f"NOT_FOUND - no exchange '{name}' in vhost '{VHOST}'" in text, f"publish: {kind} {text}")


@case
async def inequivalent_arguments():
    name = fresh("inequivalent")
    async with connected() as connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=False)
        equal(
            await channel_error(connection, lambda c: c.declare_queue(name, durable=True)),
            (
                "ChannelPreconditionFailed",
                f"PRECONDITION_FAILED - inequivalent arg 'durable' for queue '{name}' in vhost '{VHOST}':"
                " received 'true' but current is 'false'",
            ),
            "queue",
        )
        await channel.queue_delete(name)
        await channel.declare_exchange(name, ExchangeType.DIRECT)
        equal(
            await channel_error(connection, lambda c: c.declare_exchange(name, ExchangeType.TOPIC)),
            (
                "ChannelPreconditionFailed",
                f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{name}' in vhost '{VHOST}':"
                " received 'topic' but current is 'direct'",
            ),
            "exchange",
        )
        await channel.exchange_delete(name)


@case
async def queue_exclusively_consumed():
    async with connected() as connection:
        queue = await temporary_queue(await connection.channel())
        await queue.consume(_ignore, exclusive=True)

        async def consume(channel):
            await (await channel.get_queue(queue.name)).consume(_ignore)

        equal(
            await channel_error(connection, consume),
            ("ChannelAccessRefused", f"ACCESS_REFUSED - queue '{queue.name}' in vhost '{VHOST}' in exclusive use"),
            "refusal",
        )


@case
async def delete_if_unused_or_if_empty():
    async with connected() as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(fresh("conditional"))
        await publish(channel, None, queue.name, b"x")
        start = f"PRECONDITION_FAILED - queue '{queue.name}' in vhost '{VHOST}'"
        equal(
            await channel_error(connection, lambda c: c.queue_delete(queue.name, if_empty=True)),
            ("ChannelPreconditionFailed", f"{start} not empty"),
            "if_empty",
        )
        tag = await queue.consume(_ignore)
        equal(
            await channel_error(connection, lambda c: c.queue_delete(queue.name, if_unused=True)),
            ("ChannelPreconditionFailed", f"{start} in use"),
            "if_unused",
        )
        await queue.cancel(tag)
        await queue.delete(if_unused=True, if_empty=False)


@case
async def unknown_delivery_tag():
    async with connected() as connection:

        async def acknowledge(channel):
            underlay = await channel.get_underlay_channel()
            await underlay.basic_ack(99)

        kind, text = await channel_error(connection, acknowledge)
        equal(text, "PRECONDITION_FAILED - unknown delivery tag 99", f"refusal ({kind})")


async def _refused(**overrides):
    try:
        connection = await open_connection(**overrides)
    except (AMQPError, ConnectionError) as error:
        return f"{error!r} {error}"
    await connection.close()
    raise AssertionError("the broker let the client in")


@case
async def wrong_password_is_told():
    text = (
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
        " For details see the broker logfile."
    )
    said = await _refused(password="wrong")
    check(text in said, said)


@case
async def unknown_virtual_host_is_refused():
    said = await _refused(virtualhost="no-such-vhost")
    # The client does not pass on the reason, only that close came where open-ok should have.
    check("Connection.Close" in said, said)


@case
async def idle_connection_survives_on_heartbeats():
    async with connected(heartbeat=2) as connection:
        channel = await connection.channel()
        # Three times the interval, in which neither side has anything else to say.
        await asyncio.sleep(6)
        await channel.get_exchange("amq.direct", ensure=True)


@case
async def robust_connection_works_as_the_plain_one():
    connection = await aio_pika.connect_robust(URL, timeout=15)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(fresh("robust"), exclusive=True)
        await publish(channel, None, queue.name, b"x")
        message = await queue.get()
        equal(message.body, b"x", "body")
        await message.ack()


if __name__ == "__main__":
    main()
