"""Listens for chosen routing keys or patterns: keyed_receive.py direct|topic KEY..."""

import sys

from broker import consume_until_interrupted, open_connection

kind, keys = sys.argv[1], sys.argv[2:]
channel = open_connection().channel()
channel.exchange_declare(f"tutorial.{kind}", kind)
queue = channel.queue_declare("", exclusive=True).method.queue
for key in keys:
    channel.queue_bind(queue, f"tutorial.{kind}", key)
channel.basic_consume(
    queue,
    lambda _, method, __, body: print(f"received {method.routing_key}: {body.decode()}", flush=True),
    auto_ack=True,
)
print("waiting", flush=True)
consume_until_interrupted(channel)
