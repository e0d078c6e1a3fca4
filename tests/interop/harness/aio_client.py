"""How the aio-pika scenarios connect, wait and look at errors."""

import asyncio
import contextlib
import time

import aio_pika
from aio_pika import Message
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError

from harness.cases import HOST, PASSWORD, PORT, USER, VHOST


async def open_connection(heartbeat=None, **overrides):
    address = {"host": HOST, "port": PORT, "login": USER, "password": PASSWORD, "virtualhost": VHOST, **overrides}
    options = {} if heartbeat is None else {"heartbeat": heartbeat}
    return await aio_pika.connect(**address, **options, timeout=15)


@contextlib.asynccontextmanager
async def connected(**overrides):
    connection = await open_connection(**overrides)
    try:
        yield connection
    finally:
        with contextlib.suppress(AMQPError, RuntimeError):
            await connection.close()


@contextlib.asynccontextmanager
async def opened(**overrides):
    """A channel on a connection of its own; aio-pika waits for the confirm of each publish."""
    async with connected(**overrides) as connection:
        yield await connection.channel()


async def wait_for(condition, what, limit=10.0):
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit} s in vain for {what}")
        await asyncio.sleep(0.02)


async def temporary_queue(channel, **arguments):
    return await channel.declare_queue("", exclusive=True, **arguments)


async def publish(channel, exchange, key, body, **properties):
    """To an exchange by object, or to the default exchange when it is None."""
    target = exchange or channel.default_exchange
    return await target.publish(Message(body, **properties), key, mandatory=False)


async def drain(queue):
    """Bodies of all that is ready. Behind confirmed publishes this is exact, without waiting."""
    bodies = []
    while (message := await queue.get(no_ack=True, fail=False)) is not None:
        bodies.append(message.body)
    return bodies


async def collect(queue, count, limit=10.0, **arguments):
    got = []

    async def keep(message):
        got.append(message)

    tag = await queue.consume(keep, **arguments)
    await wait_for(lambda: len(got) >= count, f"{count} deliveries", limit)
    await queue.cancel(tag)
    return got


async def channel_error(connection, action):
    """Type and text of the error with which the broker closes a new channel on which `action` is done."""
    channel = await connection.channel()
    closed = []
    channel.close_callbacks.add(lambda _, error: closed.append(error))
    try:
        await action(channel)
        # An asynchronous method has no answer of its own: the next one meets the closed channel.
        await channel.get_exchange("amq.direct", ensure=True)
    except ChannelInvalidStateError:
        await wait_for(lambda: closed, "the reason why the channel was closed")
        return type(closed[0]).__name__, str(closed[0])
    except AMQPError as error:
        return type(error).__name__, str(error)
    raise AssertionError("the channel stayed open")
