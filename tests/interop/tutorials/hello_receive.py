"""Prints every greeting that arrives."""

from broker import consume_until_interrupted, open_connection

channel = open_connection().channel()
# Declared on both sides, so that it does not matter which program starts first.
channel.queue_declare("tutorial.hello")
channel.basic_consume(
    "tutorial.hello", lambda _, __, ___, body: print(f"received: {body.decode()}", flush=True), auto_ack=True
)
print("waiting", flush=True)
consume_until_interrupted(channel)
