"""Celery with its default settings does a small job: results, events, prefetch, ETA, remote control."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from workers import HERE, Workers

from harness.cases import case, check, equal, fresh, main
from harness.pika_client import connected, wait_for

_folder = tempfile.TemporaryDirectory(prefix="interop-celery-")
RECORD = Path(_folder.name) / "record"
GATE = Path(_folder.name) / "gate"
os.environ.update(JOB_RECORD=str(RECORD), JOB_GATE=str(GATE))

from celery_app import app, square, square_at_third_try, square_behind_gate  # noqa: E402

QUEUE = "celery"
LIMIT = 20


def clean():
    # Celery's default queue has a fixed name, so what a broken run left must go.
    with connected() as connection:
        connection.channel().queue_delete(QUEUE)
    for file in (RECORD, GATE):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def celery_worker(*options, acks_late=False):
    """A worker that answers a ping, which is when Celery itself calls it ready."""
    clean()
    app.conf.task_acks_late = acks_late
    name = f"{fresh('worker')}@localhost"
    with Workers() as workers:
        worker = workers.start("-m", "celery", "-A", "celery_app", "worker", "-E", "--loglevel", "INFO",
                               "--concurrency", "2", "--hostname", name, *options,
                               JOB_ACKS_LATE="1" if acks_late else "0")  # fmt: skip
        worker.name = name
        worker.wait_for_line(" ready.")
        try:
            yield worker
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}; worker: {worker.last_words()}") from error


def executions():
    lines = RECORD.read_text().splitlines() if RECORD.exists() else []
    return Counter(line.split()[0] for line in lines)


def results_of(tasks):
    return [task.get(timeout=LIMIT) for task in tasks]


def ready_in_queue():
    with connected() as connection:
        return connection.channel().queue_declare(QUEUE, passive=True).method.message_count


def run_squares(acks_late):
    with celery_worker(acks_late=acks_late) as worker:
        tasks = [square.delay(number) for number in range(60)]
        equal(results_of(tasks), [number * number for number in range(60)], "results")
        equal(executions(), Counter(task.id for task in tasks), "executions")
        equal(worker.stop(), 0, "exit code of the worker")
        equal(ready_in_queue(), 0, "messages that came back when the worker left")


@case
def default_settings_do_each_task_once():
    run_squares(acks_late=False)


@case
def late_acknowledgements_do_each_task_once():
    run_squares(acks_late=True)


def receive_events(seen, ended, listening):
    """Listens as `celery events` does, until it is told to end."""
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        # It listens on a connection of its own.
        with receiver.consumer_context() as (listened, _, _):
            listening.set()
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    listened.drain_events(timeout=0.2)


@contextlib.contextmanager
def events():
    seen, ended, listening = [], threading.Event(), threading.Event()
    thread = threading.Thread(target=receive_events, args=(seen, ended, listening), daemon=True)
    thread.start()
    check(listening.wait(LIMIT), "the receiver of events has its queue")
    try:
        yield seen
    finally:
        ended.set()
        thread.join(LIMIT)


@case
def events_tell_the_life_of_each_task():
    with events() as seen, celery_worker() as worker:
        tasks = [square.delay(number) for number in range(10)]
        results_of(tasks)

        def lives():
            return {task.id: [event["type"] for event in seen if event.get("uuid") == task.id] for task in tasks}

        # Three worker processes send them, so the order between kinds is not promised.
        expected = {task.id: ["task-received", "task-started", "task-succeeded"] for task in tasks}
        wait_for(lambda: {id: sorted(kinds) for id, kinds in lives().items()} == expected, "three events of each task")
        wait_for(lambda: any(event["type"] == "worker-online" and event["hostname"] == worker.name for event in seen),
                 "the worker online")  # fmt: skip
        equal(worker.stop(), 0, "exit code of the worker")
        wait_for(lambda: any(event["type"] == "worker-offline" and event["hostname"] == worker.name for event in seen),
                 "the worker offline")  # fmt: skip


def inspect(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "celery_app", "inspect", "--timeout", "5", *arguments],
        cwd=HERE, capture_output=True, text=True, timeout=LIMIT)  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@case
def inspect_ping_is_answered():
    with celery_worker() as worker:
        code, output = inspect("--destination", worker.name, "ping")
        equal(code, 0, f"exit code of celery inspect ping, which said {output}")
        check(worker.name in output and "pong" in output, f"the worker's pong in {output}")


def held_by(worker):
    """Tasks the worker has got from the broker and not finished."""
    inspection = app.control.inspect([worker.name], timeout=5)
    return sum(len((answer or {}).get(worker.name, ())) for answer in (inspection.active(), inspection.reserved()))


@case
def prefetch_is_four_for_each_process():
    # Unacknowledged until done, so exactly 2 processes * 4 tasks are out of the queue.
    with celery_worker(acks_late=True) as worker:
        tasks = [square_behind_gate.delay(number) for number in range(20)]
        wait_for(lambda: held_by(worker) >= 8 and ready_in_queue() <= 12, "the worker's fill", limit=LIMIT)
        equal((held_by(worker), ready_in_queue()), (8, 12), "tasks held by the worker, and left in the queue")
        GATE.touch()
        equal(results_of(tasks), [number * number for number in range(20)], "results")
        equal(executions(), Counter(task.id for task in tasks), "executions")


def scheduled_by(worker):
    """ETA tasks the worker has got and holds."""
    return len((app.control.inspect([worker.name], timeout=5).scheduled() or {}).get(worker.name, ()))


def check_eta(due, late, soon):
    equal(results_of(soon), [number * number for number in range(len(soon))], "results of those without an ETA")
    equal(results_of(late), [number * number for number in range(len(late))], "results of those with an ETA")
    times = dict(line.split() for line in RECORD.read_text().splitlines())
    early = [due - float(times[task.id]) for task in late if float(times[task.id]) < due - 0.05]
    equal(early, [], "seconds early")
    equal(executions(), Counter(task.id for task in [*soon, *late]), "executions")
    return times


@case
def eta_tasks_are_not_early_and_let_others_pass():
    with celery_worker() as worker:
        due = time.time() + 4
        late = [square.apply_async((number,), countdown=due - time.time()) for number in range(6)]
        wait_for(lambda: scheduled_by(worker) == 6, "all six scheduled")
        soon = [square.delay(number) for number in range(20)]
        times = check_eta(due, late, soon)
        check(all(float(times[task.id]) < due for task in soon), "the others did not wait for them")


@case
def more_eta_tasks_than_the_prefetch():
    # Celery raises the prefetch for each, with basic.qos for the whole channel. Where the broker
    # says that it is RabbitMQ 4 it asks for each new consumer only, which leaves the one it has at 8.
    with app.connection_for_read() as connection:
        connection.connect()
        widens = not connection.qos_semantics_matches_spec
    with celery_worker() as worker:
        due = time.time() + 5
        late = [square.apply_async((number,), countdown=due - time.time()) for number in range(12)]
        expected = (12, 0) if widens else (8, 4)
        wait_for(lambda: (scheduled_by(worker), ready_in_queue()) == expected, f"{expected} scheduled and left in the queue")
        check_eta(due, late, [])


@case
def retries_come_back_with_the_result():
    with celery_worker():
        tasks = [square_at_third_try.delay(number) for number in range(5)]
        equal(results_of(tasks), [0, 1, 4, 9, 16], "results")
        equal(executions(), Counter({task.id: 3 for task in tasks}), "tries")


@case
def tasks_of_a_killed_worker_are_done_by_the_next():
    with celery_worker(acks_late=True) as worker:
        tasks = [square_behind_gate.delay(number) for number in range(6)]
        wait_for(lambda: sum(executions().values()) == 2, "two tasks begun", limit=LIMIT)
        begun = set(executions())
        worker.kill()
        wait_for(lambda: ready_in_queue() == 6, "all six back in the queue")
        GATE.touch()
        with Workers() as workers:
            workers.start("-m", "celery", "-A", "celery_app", "worker", "--concurrency", "2", JOB_ACKS_LATE="1")
            equal(results_of(tasks), [number * number for number in range(6)], "results")
        equal(executions(), Counter({task.id: 2 if task.id in begun else 1 for task in tasks}), "executions")


if __name__ == "__main__":
    main()
