"""One broker's management API, asked over HTTP without a client library."""

import base64
import functools
import json
import time
import urllib.error
import urllib.parse
import urllib.request

# RabbitMQ tells of what a client does some seconds later.
LIMIT = 60


def quoted(name):
    return urllib.parse.quote(name, safe="")


class Api:
    """`address` is host:port."""

    def __init__(self, address, user="guest", password="guest"):
        self.address = address
        self._login = base64.b64encode(f"{user}:{password}".encode()).decode()

    def as_user(self, user, password):
        """The same broker as somebody who perhaps may not ask for its node's name."""
        other = Api(self.address, user, password)
        other.node = self.node
        return other

    def as_user(self, user, password):
        """The same broker as somebody who perhaps may not ask for its node's name."""
        other = Api(self.address, user, password)
        other.node = self.node
        return other

    @functools.cached_property
    def node(self):
        """What its node is called."""
        return self("GET", "/overview")["node"]

    def stream(self, path):
        """What comes line by line for as long as somebody reads."""
        headers = {"Authorization": f"Basic {self._login}", "Accept": "text/event-stream"}
        request = urllib.request.Request(f"http://{self.address}/api{path}", headers=headers)
        return urllib.request.urlopen(request, timeout=60)

    def answer(self, method, path, octets=None):
        """Status and body, whatever they are. `path` begins behind /api; NODE in it is the node's name."""
        if "NODE" in path:
            path = path.replace("NODE", quoted(self.node))
        headers = {"Authorization": f"Basic {self._login}", "Content-Type": "application/json"}
        url = f"http://{self.address}/api{path}"
        request = urllib.request.Request(url, octets, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def __call__(self, method, path, value=None):
        """What the answer says; None when there is no such thing."""
        octets = None if value is None else json.dumps(value).encode()
        status, text = self.answer(method, path, octets)
        if status == 404:
            return None
        if status >= 400:
            raise AssertionError(f"{method} {path}: {status} {text!r}")
        return json.loads(text) if text else {}


def until(condition, what):
    """Waits for a condition, never for a time."""
    end = time.monotonic() + LIMIT
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"in vain: {what}")
        time.sleep(0.2)
    return found


def settled(read):
    """What is read, once it has not changed for a second and a half."""
    last, same = read(), 0
    while same < 5:
        time.sleep(0.3)
        now = read()
        same = same + 1 if now == last else 0
        last = now
    return last
