"""Starts the worker programs of a job and ends them; reads what they print, if they print."""

import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 20


class Worker:
    """One program in a process group of its own, since Celery's worker has children."""

    def __init__(self, arguments, environment=None):
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=HERE,
            env=dict(os.environ, **(environment or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines = queue.Queue()
        self._said = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._said.append(line)
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self):
        """The next line it prints."""
        try:
            line = self._lines.get(timeout=LIMIT)
        except queue.Empty:
            raise AssertionError(f"the worker printed nothing for {LIMIT} s") from None
        if line is None:
            raise AssertionError(f"the worker ended early with code {self._process.wait()}: {self.last_words()}")
        return line

    def wait_for_line(self, part):
        while part not in (line := self.line()):
            pass
        return line

    def stop(self):
        """Ends it as an operator does, and tells the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not stop in {LIMIT} s: {self.last_words()}") from None

    def kill(self):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()

    def last_words(self):
        return " | ".join("".join(self._said[-15:]).splitlines())


class Workers:
    """All workers of one case; none outlives it."""

    def __enter__(self):
        self._started = []
        return self

    def __exit__(self, *_):
        for worker in self._started:
            worker.kill()

    def start(self, *arguments, **environment):
        worker = Worker(arguments, environment)
        self._started.append(worker)
        return worker
