"""Where the tutorial programs find their broker, and how they end on an interrupt."""

import os

import pika

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")


def open_connection():
    return pika.BlockingConnection(pika.URLParameters(URL))


def consume_until_interrupted(channel):
    try:
        channel.start_consuming()
    except KeyboardInterrupt:
        channel.stop_consuming()
    channel.connection.close()
