"""An exchange type that a plugin brings, seen by a client that knows nothing of plugins.

    custom_exchange.py --type NAME [--url URL]                    routes by exact key
    custom_exchange.py --type NAME [--url URL] --expect-refused   no such type (any more)

By hand: `$(./run --prepare) custom_exchange.py --url ... --type NAME`. The type must
route by exact key, as a direct exchange does.
"""

import argparse
import os
import sys
from pathlib import Path

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("--type", required=True, dest="kind")
options.add_argument("--url")
options.add_argument("--expect-refused", action="store_true")
options = options.parse_args()
if options.url:
    os.environ["AMQP_URL"] = options.url
# The registry of cases reads the command line too; these options are not for it.
del sys.argv[1:]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from pika import exceptions  # noqa: E402

from harness.cases import VHOST, case, equal, fresh, main, one_of  # noqa: E402
from harness.pika_client import (  # noqa: E402
    channel_error, collect, confirming, connected, drain, temporary_queue,
)  # fmt: skip

ANSWERS = [
    ("ChannelClosedByBroker", 406, f"PRECONDITION_FAILED - unknown exchange type '{options.kind}'"),
    # RabbitMQ before 3.13 closes the connection instead.
    ("ConnectionClosedByBroker", 503, f"COMMAND_INVALID - unknown exchange type '{options.kind}'"),
]


def refused():
    with connected() as connection:
        channel = connection.channel()
        try:
            channel.exchange_declare(fresh("custom"), options.kind)
        except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
            one_of((type(error).__name__, error.reply_code, error.reply_text), ANSWERS, "refusal")
        else:
            raise AssertionError(f"an exchange of type {options.kind} was declared")
    # Whatever was closed, the broker takes the next client.
    with confirming() as channel:
        temporary_queue(channel)


def routes_by_exact_key():
    with confirming() as channel:
        exchange = fresh("custom")
        channel.exchange_declare(exchange, options.kind, durable=True)
        red, both = temporary_queue(channel), temporary_queue(channel)
        for queue, key in ((red, "red"), (both, "red"), (both, "blue")):
            channel.queue_bind(queue, exchange, key)
        for key in ("red", "blue", "Red", "red.blue", ""):
            channel.basic_publish(exchange, key, key.encode())
        equal(drain(channel, red), [b"red"], "queue bound with red")
        equal(drain(channel, both), [b"red", b"blue"], "queue bound with red and blue")
        channel.queue_unbind(red, exchange, "red")
        channel.basic_publish(exchange, "red", b"after unbinding")
        equal(drain(channel, red), [], "unbound queue")
        equal(drain(channel, both), [b"after unbinding"], "queue still bound")
        channel.exchange_delete(exchange)


def delivers_to_a_consumer():
    with confirming() as channel:
        exchange = fresh("custom")
        channel.exchange_declare(exchange, options.kind)
        queue = temporary_queue(channel)
        channel.queue_bind(queue, exchange, "k")
        bodies = [str(number).encode() for number in range(100)]
        for body in bodies:
            channel.basic_publish(exchange, "k", body)
        got = collect(channel, queue, len(bodies), auto_ack=True)
        equal([body for _, _, body in got], bodies, "order")
        equal({method.exchange for method, _, _ in got}, {exchange}, "exchange of the deliveries")
        channel.exchange_delete(exchange)


def unroutable_mandatory_message_comes_back():
    with confirming() as channel:
        exchange = fresh("custom")
        channel.exchange_declare(exchange, options.kind)
        try:
            channel.basic_publish(exchange, "nobody", b"back", mandatory=True)
        except exceptions.UnroutableError as error:
            equal(error.messages[0].method.reply_code, 312, "code")
        else:
            raise AssertionError("the message was not returned")
        channel.exchange_delete(exchange)


def is_a_type_of_its_own():
    exchange = fresh("custom")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, options.kind)
        channel.exchange_declare(exchange, options.kind)
        other = "fanout" if options.kind != "fanout" else "direct"
        answer = channel_error(connection, lambda c: c.exchange_declare(exchange, other))
        channel.exchange_delete(exchange)
    text = (
        f"PRECONDITION_FAILED - inequivalent arg 'type' for exchange '{exchange}' in vhost '{VHOST}':"
        f" received '{other}' but current is '{options.kind}'"
    )
    equal(answer, (406, text), "another type for it")


if options.expect_refused:
    case(refused)
else:
    for check in (
        routes_by_exact_key, delivers_to_a_consumer, unroutable_mandatory_message_comes_back, is_a_type_of_its_own,
    ):  # fmt: skip
        case(check)

if __name__ == "__main__":
    main()
