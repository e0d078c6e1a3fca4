"""A worker on kombu that holds tasks until they are due, and answers each to its sender.

Run as `eta_worker.py QUEUE PREFETCH`. A held task stays unacknowledged, and the prefetch is
raised by one for it, so that tasks which are due now still come.
"""

import functools
import heapq
import os
import signal
import sys
import time

from kombu import Connection, Consumer, Producer, Queue
from kombu.common import QoS


class EtaWorker:
    def __init__(self, connection, queue, prefetch):
        self._connection = connection
        channel = connection.channel()
        self._producer = Producer(channel)
        self._consumer = Consumer(channel, [Queue(queue, durable=True)], on_message=self._received, accept=["json"])
        # For the whole channel: only that is applied to a consumer which already runs.
        self._qos = QoS(functools.partial(self._consumer.qos, apply_global=True), prefetch)
        self._held = []
        self._number = 0
        self.stopping = False

    def run(self):
        self._qos.update()
        with self._consumer:
            print("waiting", flush=True)
            while not self.stopping:
                self._do_what_is_due()
                pause = max(0, self._held[0][0] - time.time()) if self._held else 1
                try:
                    self._connection.drain_events(timeout=min(pause, 1) or 0.001)
                except TimeoutError:
                    self._connection.heartbeat_check()

    def _received(self, message):
        eta = message.headers.get("eta")
        if eta is None or eta <= time.time():
            self._execute(message)
            return
        self._number += 1
        heapq.heappush(self._held, (eta, self._number, message))
        self._qos.increment_eventually()
        self._qos.update()

    def _do_what_is_due(self):
        while self._held and self._held[0][0] <= time.time():
            _, _, message = heapq.heappop(self._held)
            self._execute(message)
            self._qos.decrement_eventually()
            self._qos.update()

    def _execute(self, message):
        began = time.time()
        self._producer.publish(
            {"result": message.payload["number"] ** 2, "began": began, "redelivered": message.delivery_info["redelivered"]},
            exchange="",
            routing_key=message.properties["reply_to"],
            correlation_id=message.properties["correlation_id"],
            serializer="json",
        )
        message.ack()


if __name__ == "__main__":
    with Connection(os.environ["AMQP_URL"], heartbeat=10) as opened:
        worker = EtaWorker(opened, sys.argv[1], int(sys.argv[2]))
        # Ends between two tasks; closing the connection gives what is held back to the queue.
        signal.signal(signal.SIGTERM, lambda *_: setattr(worker, "stopping", True))
        worker.run()
