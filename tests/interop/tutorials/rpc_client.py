"""Asks for the Fibonacci numbers given on the command line, all at once, and sorts out the answers."""

import sys
import uuid

import pika
from broker import open_connection

numbers = [int(argument) for argument in sys.argv[1:]]
asked = {str(uuid.uuid4()): number for number in numbers}
answers = {}


def on_answer(_, __, properties, body):
    if properties.correlation_id in asked:
        answers[asked[properties.correlation_id]] = int(body)


connection = open_connection()
channel = connection.channel()
callback_queue = channel.queue_declare("", exclusive=True).method.queue
channel.basic_consume(callback_queue, on_answer, auto_ack=True)
for correlation_id, number in asked.items():
    channel.basic_publish(
        exchange="",
        routing_key="tutorial.rpc",
        body=str(number).encode(),
        properties=pika.BasicProperties(reply_to=callback_queue, correlation_id=correlation_id),
    )
while len(answers) < len(asked):
    connection.process_data_events(time_limit=1)
for number in numbers:
    print(f"fibonacci({number}) = {answers[number]}", flush=True)
connection.close()
