"""Does one task at a time and acknowledges it only when it is done."""

from broker import consume_until_interrupted, open_connection

SECONDS_PER_DOT = 0.1


def work(channel, method, _, body):
    again = " again" if method.redelivered else ""
    print(f"received{again}: {body.decode()}", flush=True)
    channel.connection.sleep(body.count(b".") * SECONDS_PER_DOT)
    channel.basic_ack(method.delivery_tag)
    print(f"done: {body.decode()}", flush=True)


channel = open_connection().channel()
channel.queue_declare("tutorial.work", durable=True)
# A busy worker gets no second task while another one is idle.
channel.basic_qos(prefetch_count=1)
channel.basic_consume("tutorial.work", work)
print("waiting", flush=True)
consume_until_interrupted(channel)
