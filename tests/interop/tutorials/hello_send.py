"""Puts one greeting into a queue."""

from broker import open_connection

connection = open_connection()
channel = connection.channel()
channel.queue_declare("tutorial.hello")
channel.basic_publish(exchange="", routing_key="tutorial.hello", body=b"Hello World!")
print("sent: Hello World!", flush=True)
connection.close()
