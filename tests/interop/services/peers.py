"""One broker as the comparisons of this folder see it: its management API, and pika for messages."""

import json
import sys
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "management"))

from api import Api, quoted, settled, until  # noqa: E402

__all__ = ["Peer", "quoted", "settled", "until", "plain"]


class Peer:
    """`amqp` and `http` are host:port; guest/guest."""

    def __init__(self, name, amqp, http):
        self.name = name
        self.amqp = amqp
        self.api = Api(http)

    @property
    def is_rabbitmq(self):
        return self.name.startswith("R")

    def uri(self, vhost):
        return f"amqp://guest:guest@{self.amqp}/{quoted(vhost)}"

    def named(self, cluster):
        self.api("PUT", "/cluster-name", {"name": cluster})

    def new_vhost(self, vhost):
        """An empty one, whatever was there before."""
        self.api("DELETE", f"/vhosts/{quoted(vhost)}")
        self.api("PUT", f"/vhosts/{quoted(vhost)}", {})
        self.api("PUT", f"/permissions/{quoted(vhost)}/guest", {"configure": ".*", "write": ".*", "read": ".*"})

    def drop_vhost(self, vhost):
        self.api("DELETE", f"/vhosts/{quoted(vhost)}")

    def parameter(self, vhost, component, name, value):
        self.api("PUT", f"/parameters/{component}/{quoted(vhost)}/{quoted(name)}", {"value": value})

    def no_parameter(self, vhost, component, name):
        self.api("DELETE", f"/parameters/{component}/{quoted(vhost)}/{quoted(name)}")

    def policy(self, vhost, pattern, definition, name="federation", to="all"):
        value = {"pattern": pattern, "definition": definition, "apply-to": to}
        self.api("PUT", f"/policies/{quoted(vhost)}/{name}", value)

    def no_policy(self, vhost, name="federation"):
        self.api("DELETE", f"/policies/{quoted(vhost)}/{name}")

    def links(self, vhost):
        status, text = self.api.answer("GET", f"/federation-links/{quoted(vhost)}")
        # RabbitMQ's answer is 500 while it knows only half of a link.
        return json.loads(text) if status == 200 else []

    def linked(self, vhost, count=1):
        """The links, once so many run."""
        def running():
            rows = self.links(vhost)
            return rows if len(rows) == count and all(row["status"] == "running" for row in rows) else None
        return until(running, f"{count} links run in {vhost} of {self.name}")

    def unlinked(self, vhost):
        until(lambda: not self.links(vhost), f"no link in {vhost} of {self.name}")

    def connect(self, vhost, **more):
        host, port = self.amqp.split(":")
        login = pika.PlainCredentials("guest", "guest")
        return pika.BlockingConnection(pika.ConnectionParameters(host, int(port), vhost, login, **more))

    def channel(self, vhost, **more):
        channel = self.connect(vhost, **more).channel()
        channel.confirm_delivery()
        return channel


def plain(value):
    """An AMQP value as JSON can say it, with the types that Python keeps apart."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return value
