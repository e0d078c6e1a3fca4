"""Publishes numbered messages and is told that the broker has each: confirmed_send.py one-by-one|together COUNT"""

import sys

import pika
from broker import URL, open_connection

QUEUE = "tutorial.confirms"


def one_by_one(count):
    connection = open_connection()
    channel = connection.channel()
    channel.queue_declare(QUEUE)
    channel.confirm_delivery()
    for number in range(count):
        # Returns when confirmed, raises when not.
        channel.basic_publish(exchange="", routing_key=QUEUE, body=str(number).encode(), mandatory=True)
    print(f"confirmed {count}", flush=True)
    connection.close()


class Together:
    """Publishes without waiting and crosses off what the broker confirms meanwhile."""

    def __init__(self, count):
        self.outstanding = set(range(1, count + 1))
        self.connection = pika.SelectConnection(
            pika.URLParameters(URL),
            on_open_callback=lambda connection: connection.channel(on_open_callback=self.on_channel),
            on_close_callback=lambda connection, _: connection.ioloop.stop(),
        )
        self.connection.ioloop.start()
        print(f"confirmed {count - len(self.outstanding)}", flush=True)

    def on_channel(self, channel):
        self.channel = channel
        channel.queue_declare(QUEUE, callback=lambda _: channel.confirm_delivery(self.on_confirm, self.publish))

    def publish(self, _):
        for tag in sorted(self.outstanding):
            self.channel.basic_publish(exchange="", routing_key=QUEUE, body=str(tag - 1).encode())

    def on_confirm(self, frame):
        tag = frame.method.delivery_tag
        if isinstance(frame.method, pika.spec.Basic.Nack):
            sys.exit(f"the broker refused message {tag}")
        if frame.method.multiple:
            self.outstanding -= {waiting for waiting in self.outstanding if waiting <= tag}
        else:
            self.outstanding.discard(tag)
        if not self.outstanding:
            self.connection.close()


way, count = sys.argv[1], int(sys.argv[2])
one_by_one(count) if way == "one-by-one" else Together(count)
