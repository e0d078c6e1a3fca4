"""The Celery application of the job: its worker runs it, and the check sends its tasks.

Everything Celery has a default for stays at it, but for what the environment asks.
"""

import os
import time

from celery import Celery

app = Celery("interop", broker=os.environ["AMQP_URL"], backend="rpc://")
if os.environ.get("JOB_ACKS_LATE") == "1":
    app.conf.task_acks_late = True


def record(text):
    """One write, so that lines of several processes do not mix."""
    file = os.open(os.environ["JOB_RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{text}\n".encode())
    finally:
        os.close(file)


@app.task(bind=True)
def square(self, number):
    record(f"{self.request.id} {time.time()}")
    return number * number


@app.task(bind=True)
def square_behind_gate(self, number):
    """Holds its process until the check opens the gate."""
    record(f"{self.request.id} {time.time()}")
    while not os.path.exists(os.environ["JOB_GATE"]):
        time.sleep(0.02)
    return number * number


@app.task(bind=True, max_retries=3)
def square_at_third_try(self, number):
    record(f"{self.request.id} {time.time()}")
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return number * number
