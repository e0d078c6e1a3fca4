"""A worker on kombu holds ETA tasks: none early, none lost, none twice, and the others pass by."""

import contextlib
import time
from uuid import uuid4

from kombu import Connection, Consumer, Exchange, Producer, Queue
from workers import Workers

from harness.cases import URL, case, check, equal, fresh, main
from harness.pika_client import wait_for

LIMIT = 20
# What clocks of two processes on one machine may differ by when rounded.
GRAIN = 0.005


class Sender:
    def __init__(self, connection):
        self._connection = connection
        channel = connection.channel()
        self.queue = Queue(fresh("eta"), Exchange(""), durable=True)(channel)
        self.queue.declare()
        self._replies = Queue("", exclusive=True, auto_delete=True)(channel)
        self._replies.declare()
        self._producer = Producer(channel, serializer="json")
        self._consumer = Consumer(channel, [self._replies], on_message=self._answered, accept=["json"],
                                  auto_declare=False)  # fmt: skip
        self._consumer.consume()
        self.answers = []

    def _answered(self, message):
        self.answers.append((message.properties["correlation_id"], message.payload))
        message.ack()

    def send(self, number, eta=None):
        task = str(uuid4())
        self._producer.publish(
            {"number": number},
            exchange="",
            routing_key=self.queue.name,
            correlation_id=task,
            reply_to=self._replies.name,
            headers={} if eta is None else {"eta": eta},
            delivery_mode=2,
        )
        return task

    def wait_for_answers(self, count):
        deadline = time.monotonic() + LIMIT
        while len(self.answers) < count:
            check(time.monotonic() < deadline, f"{len(self.answers)} of {count} answers in {LIMIT} s")
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=0.1)

    def ready(self):
        return self.queue.queue_declare(passive=True).message_count


@contextlib.contextmanager
def sender():
    with Connection(URL) as connection:
        made = Sender(connection)
        try:
            yield made
        finally:
            made.queue.delete()


def eta_worker(workers, queue):
    worker = workers.start("eta_worker.py", queue.name, "2")
    equal(worker.line(), "waiting", "the worker's first line")
    return worker


@case
def eta_tasks_run_when_due_in_their_order():
    with sender() as job, Workers() as workers:
        worker = eta_worker(workers, job.queue)
        start = time.time() + 2
        # Sent in the reverse of their order, and more than the prefetch of two.
        etas = {job.send(number, start + 0.1 * number): (number, start + 0.1 * number) for number in reversed(range(10))}
        soon = {job.send(number): number for number in range(100, 120)}
        job.wait_for_answers(30)
        equal(worker.stop(), 0, "exit code of the worker")
        equal(job.ready(), 0, "messages left in the queue")

        got = dict(job.answers)
        equal(len(job.answers), len(got), "answers, each to a task of its own")
        equal({task: got[task]["result"] for task in soon}, {task: number**2 for task, number in soon.items()}, "results")
        equal({task: got[task]["result"] for task in etas}, {task: number**2 for task, (number, _) in etas.items()},
              "results of ETA tasks")  # fmt: skip
        early = {task: eta - got[task]["began"] for task, (_, eta) in etas.items() if got[task]["began"] < eta - GRAIN}
        equal(early, {}, "seconds early")
        order = [task for task, _ in job.answers if task in etas]
        equal(order, sorted(etas, key=lambda task: etas[task][1]), "order of the ETA tasks")
        check(max(got[task]["began"] for task in soon) < start, "tasks without an ETA pass those that are held")
        equal([answer["redelivered"] for answer in got.values()], [False] * 30, "redelivered")


@case
def held_tasks_go_to_the_next_worker():
    with sender() as job, Workers() as workers:
        first = eta_worker(workers, job.queue)
        due = time.time() + 3
        held = [job.send(number, due) for number in range(6)]
        # Behind six held ones with a prefetch of two: its answer tells that all six are held.
        job.send(7)
        job.wait_for_answers(1)
        equal(first.stop(), 0, "exit code of the first worker")
        wait_for(lambda: job.ready() == 6, "all six given back")
        eta_worker(workers, job.queue)
        job.wait_for_answers(7)
        got = dict(job.answers[1:])
        equal(sorted(got), sorted(held), "answers of the second worker")
        equal([got[task]["result"] for task in held], [number**2 for number in range(6)], "results")
        check(all(answer["began"] >= due - GRAIN for answer in got.values()), "none is early")
        check(all(answer["redelivered"] for answer in got.values()), "all are marked as delivered before")


if __name__ == "__main__":
    main()
