"""Starts a Warren of its own for one run, on a free port and an empty folder."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

from runner.clients import TARGET

START_LIMIT = 30
STOP_LIMIT = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    def __init__(self, binary, settings, configuration):
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="warren-interop-"))
        port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{port}/"
        self._lines = []
        self._ready = threading.Event()
        self._process = subprocess.Popen(
            [binary, "--data-dir", self.folder / "data", "--listen", f"127.0.0.1:{port}",
             *(["--config", configuration] if configuration else []),
             *[word for setting in settings for word in ("--set", setting)]],  # fmt: skip
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        # Read to the end of its life: a full pipe would stop the broker.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.append(line)
            if "ready" in line:
                self._ready.set()
        self._ready.set()

    def wait_until_ready(self):
        came = self._ready.wait(START_LIMIT)
        if not came or not any("ready" in line for line in self._lines):
            self.stop()
            raise SystemExit(f"Warren did not become ready:\n{self.last_words()}")

    def stop(self):
        """Exit code after SIGTERM; a negative signal number when it did not stop by itself."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._reader.join(5)
        shutil.rmtree(self.folder, ignore_errors=True)
        return code

    def signal(self, number):
        self._process.send_signal(number)

    def has_said(self, text):
        return any(text in line for line in self._lines)

    def last_words(self):
        return "".join(self._lines[-40:])


def start(*settings, configuration=None):
    """`settings` are in the words of `warren --set`, `configuration` is a file."""
    binary = Path(os.environ.get("WARREN_BINARY") or TARGET / "release/warren")
    if not binary.exists():
        raise SystemExit(f"no Warren at {binary}: build it with `cargo build --release`, or give --url")
    broker = Broker(binary, settings, configuration)
    broker.wait_until_ready()
    return broker
