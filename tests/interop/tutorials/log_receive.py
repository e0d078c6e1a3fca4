"""Listens on a queue of its own, which ends with it."""

from broker import consume_until_interrupted, open_connection

channel = open_connection().channel()
channel.exchange_declare("tutorial.logs", "fanout")
queue = channel.queue_declare("", exclusive=True).method.queue
channel.queue_bind(queue, "tutorial.logs")
channel.basic_consume(
    queue, lambda _, __, ___, body: print(f"received: {body.decode()}", flush=True), auto_ack=True
)
print("waiting", flush=True)
consume_until_interrupted(channel)
