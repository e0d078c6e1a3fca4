"""Starts tutorial programs and reads what they print."""

import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIMIT = 15


class Program:
    def __init__(self, name, *arguments):
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, HERE / f"{name}.py", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            # A shell's background jobs, and what they start, ignore the signal that is to end it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self):
        try:
            line = self._lines.get(timeout=LIMIT)
        except queue.Empty:
            raise AssertionError(f"{self.name} printed nothing for {LIMIT} s") from None
        if line is None:
            raise AssertionError(f"{self.name} ended early with code {self._process.wait()}")
        return line

    def expect(self, *lines):
        for expected in lines:
            line = self.line()
            if line != expected:
                raise AssertionError(f"{self.name}: expected {expected!r}, got {line!r}")

    def finish(self):
        """Waits for its own end and gives back what is left of its output."""
        code = self._process.wait(LIMIT)
        rest = list(iter(lambda: self._lines.get(timeout=LIMIT), None))
        if code != 0:
            raise AssertionError(f"{self.name} ended with code {code}")
        return rest

    def interrupt(self):
        """Ends a receiver as its user does, and gives back what it printed beyond the expected."""
        self._process.send_signal(signal.SIGINT)
        return self.finish()

    def kill(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


class Programs:
    """All programs of one case; none outlives it."""

    def __enter__(self):
        self._started = []
        return self

    def __exit__(self, *_):
        for program in self._started:
            program.kill()

    def start(self, name, *arguments):
        program = Program(name, *arguments)
        self._started.append(program)
        return program

    def receiver(self, name, *arguments):
        """Started and waiting, so that nothing sent from now on can be missed."""
        program = self.start(name, *arguments)
        program.expect("waiting")
        return program

    def run(self, name, *arguments):
        return self.start(name, *arguments).finish()
