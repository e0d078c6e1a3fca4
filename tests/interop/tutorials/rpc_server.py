"""Answers each request with the Fibonacci number asked for."""

import pika
from broker import consume_until_interrupted, open_connection


def fibonacci(n):
    current, following = 0, 1
    for _ in range(n):
        current, following = following, current + following
    return current


def answer(channel, method, request, body):
    print(f"asked: {body.decode()}", flush=True)
    channel.basic_publish(
        exchange="",
        routing_key=request.reply_to,
        body=str(fibonacci(int(body))).encode(),
        properties=pika.BasicProperties(correlation_id=request.correlation_id),
    )
    channel.basic_ack(method.delivery_tag)


channel = open_connection().channel()
channel.queue_declare("tutorial.rpc")
channel.basic_qos(prefetch_count=1)
channel.basic_consume("tutorial.rpc", answer)
print("waiting", flush=True)
consume_until_interrupted(channel)
