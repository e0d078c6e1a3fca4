"""Queues one task given on the command line; each dot in it is a unit of work."""

import sys

import pika
from broker import open_connection

task = " ".join(sys.argv[1:])
connection = open_connection()
channel = connection.channel()
channel.queue_declare("tutorial.work", durable=True)
channel.basic_publish(
    exchange="",
    routing_key="tutorial.work",
    body=task.encode(),
    properties=pika.BasicProperties(delivery_mode=pika.DeliveryMode.Persistent),
)
print(f"queued: {task}", flush=True)
connection.close()
