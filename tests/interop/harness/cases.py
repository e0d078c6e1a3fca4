"""What every scenario file in Python shares: naming its cases and reporting them.

A scenario file is a program. It runs its cases one after the other and writes what
happens to stdout, one line each, for the runner to read:

    start NAME
    ok NAME | skip NAME: reason | FAIL NAME: reason

Everything else (stack traces, client logs) goes to stderr. Arguments choose cases by
name; `--after NAME` continues behind a case that had to be killed.
"""

import asyncio
import inspect
import os
import sys
import traceback
import uuid
from urllib.parse import unquote, urlsplit

URL = os.environ.get("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/")
SKIP_DELAYED = os.environ.get("INTEROP_SKIP_DELAYED") == "1"

_parts = urlsplit(URL)
HOST = _parts.hostname
PORT = _parts.port or 5672
USER = unquote(_parts.username or "guest")
PASSWORD = unquote(_parts.password or "guest")
# An AMQP URL with the bare path "/" names the virtual host "/" for all three clients used here.
VHOST = unquote(_parts.path[1:]) or "/"

_cases = []


class Skipped(Exception):
    """Raised by a case that cannot be told on this broker."""


def case(function):
    _cases.append(function)
    return function


def needs_delayed(function):
    """A case about x-delayed-message, which a plain RabbitMQ does not know."""
    function.needs_delayed = True
    return function


def fresh(label):
    """A name nobody used before, so that leftovers of a killed run do no harm."""
    return f"interop.{label}.{uuid.uuid4().hex[:12]}"


def equal(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, got {actual!r}")


def one_of(actual, expected, what):
    if actual not in expected:
        raise AssertionError(f"{what}: expected one of {expected!r}, got {actual!r}")


def check(condition, what):
    if not condition:
        raise AssertionError(what)


def _chosen(arguments):
    if arguments[:1] == ["--after"]:
        names = [function.__name__ for function in _cases]
        return _cases[names.index(arguments[1]) + 1 :]
    if not arguments:
        return _cases
    chosen = [function for function in _cases if function.__name__ in arguments]
    missing = set(arguments) - {function.__name__ for function in chosen}
    if missing:
        sys.exit(f"no such case: {', '.join(sorted(missing))}")
    return chosen


def _run(function):
    if getattr(function, "needs_delayed", False) and SKIP_DELAYED:
        raise Skipped("needs x-delayed-message")
    result = function()
    if inspect.iscoroutine(result):
        asyncio.run(result)


def main():
    failed = False
    for function in _chosen(sys.argv[1:]):
        name = function.__name__
        print(f"start {name}", flush=True)
        try:
            _run(function)
        except Skipped as reason:
            print(f"skip {name}: {reason}", flush=True)
        except Exception as error:
            failed = True
            traceback.print_exc()
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"FAIL {name}: {reason[:500]}", flush=True)
        else:
            print(f"ok {name}", flush=True)
    sys.exit(1 if failed else 0)
