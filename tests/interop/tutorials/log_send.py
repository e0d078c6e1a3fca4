"""Tells every listener, and nobody when there is none."""

import sys

from broker import open_connection

text = " ".join(sys.argv[1:])
connection = open_connection()
channel = connection.channel()
channel.exchange_declare("tutorial.logs", "fanout")
channel.basic_publish(exchange="tutorial.logs", routing_key="", body=text.encode())
print(f"sent: {text}", flush=True)
connection.close()
