"""Sends a text under a routing key: keyed_send.py direct|topic KEY TEXT..."""

import sys

from broker import open_connection

kind, key, text = sys.argv[1], sys.argv[2], " ".join(sys.argv[3:])
connection = open_connection()
channel = connection.channel()
channel.exchange_declare(f"tutorial.{kind}", kind)
channel.basic_publish(exchange=f"tutorial.{kind}", routing_key=key, body=text.encode())
print(f"sent {key}: {text}", flush=True)
connection.close()
