"""How the pika scenarios connect, wait and look at errors."""

import contextlib
import time

import pika
from pika import exceptions

from harness.cases import URL, equal


def parameters(**overrides):
    result = pika.URLParameters(URL)
    result.socket_timeout = 10
    result.blocked_connection_timeout = 20
    for name, value in overrides.items():
        setattr(result, name, value)
    return result


@contextlib.contextmanager
def connected(**overrides):
    connection = pika.BlockingConnection(parameters(**overrides))
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def confirming(**overrides):
    """A channel on a connection of its own; a publish returns when the broker confirmed it."""
    with connected(**overrides) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel


def wait_until(connection, condition, what, limit=10.0):
    deadline = time.monotonic() + limit
    while not condition():
        left = deadline - time.monotonic()
        if left <= 0:
            raise AssertionError(f"waited {limit} s in vain for {what}")
        connection.process_data_events(time_limit=min(left, 0.1))


def wait_for(condition, what, limit=10.0):
    """Asks again until the answer is true: for effects the broker reports to nobody."""
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {limit} s in vain for {what}")
        time.sleep(0.05)


def drain(channel, queue):
    """Bodies of all that is ready. Behind confirmed publishes this is exact, without waiting."""
    bodies = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return bodies
        bodies.append(body)


def temporary_queue(channel, **arguments):
    return channel.queue_declare("", exclusive=True, **arguments).method.queue


def collect(channel, queue, count, limit=10.0, **arguments):
    """The next deliveries of a consumer as (method, properties, body)."""
    got = []
    tag = channel.basic_consume(
        queue, lambda _, method, properties, body: got.append((method, properties, body)), **arguments
    )
    wait_until(channel.connection, lambda: len(got) >= count, f"{count} deliveries", limit)
    channel.basic_cancel(tag)
    return got


def channel_error(connection, action):
    """Code and text with which the broker closes a new channel on which `action` is done."""
    channel = connection.channel()
    try:
        action(channel)
        # An asynchronous method has no answer of its own: the next one meets the closed channel.
        channel.exchange_declare("amq.direct", passive=True)
    except exceptions.ChannelClosedByBroker as error:
        return error.reply_code, error.reply_text
    raise AssertionError("the channel stayed open")


def refused(action, code, text):
    """Checks that the broker closes the channel `action` is done on with this code and text."""
    with connected() as connection:
        equal(channel_error(connection, action), (code, text), "refusal")


def connection_error(action, **overrides):
    """Code and text with which the broker closes a new connection on which `action` is done."""
    connection = pika.BlockingConnection(parameters(**overrides))
    try:
        action(connection)
        wait_until(connection, lambda: False, "the broker closing the connection", limit=5)
    except exceptions.ConnectionClosedByBroker as error:
        return error.reply_code, error.reply_text
    finally:
        if connection.is_open:
            connection.close()
    raise AssertionError("the connection stayed open")
