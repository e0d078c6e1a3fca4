#!/usr/bin/env python3
"""Every operation of AMQP and HTTP with users who have the right and users who do not: one table, the same
on both brokers.

    permissions.py RABBITMQ_AMQP RABBITMQ_HTTP WARREN_AMQP WARREN_HTTP     host:port each, guest/guest

Needs pika: run it with the Python that `tests/interop/run --prepare` names.
"""

import json
import re
import sys

import pika
from pika import exceptions

sys.dont_write_bytecode = True

from api import Api  # noqa: E402

VHOST = "rights"
ALL = (".*", ".*", ".*")

# ---- AMQP: a user for each right alone, one with all, one with none.
RIGHTS = {
    "all": ALL,
    "configure": (".*", "", ""),
    "write": ("", ".*", ""),
    "read": ("", "", ".*"),
    "none": ("", "", ""),
}


def refused_by_get(channel):
    channel.basic_get("q")


def cancelled_publish(channel, exchange, key):
    channel.confirm_delivery()
    channel.basic_publish(exchange, key, b"x")


AMQP = [
    ("queue.declare", lambda c: c.queue_declare("new", durable=True)),
    ("queue.declare, dead letter exchange", lambda c: c.queue_declare("dlx", durable=True, arguments={"x-dead-letter-exchange": "x"})),
    ("queue.declare passive", lambda c: c.queue_declare("q", passive=True)),
    ("queue.bind", lambda c: c.queue_bind("q", "x", "k")),
    ("queue.unbind", lambda c: c.queue_unbind("q", "x", "k")),
    ("queue.purge", lambda c: c.queue_purge("q")),
    ("queue.delete", lambda c: c.queue_delete("gone")),
    ("exchange.declare", lambda c: c.exchange_declare("fresh", "direct", durable=True)),
    ("exchange.declare, alternate exchange", lambda c: c.exchange_declare("ae", "direct", durable=True, arguments={"alternate-exchange": "x"})),
    ("exchange.declare passive", lambda c: c.exchange_declare("x", passive=True)),
    ("exchange.bind", lambda c: c.exchange_bind("x", "y", "k")),
    ("exchange.unbind", lambda c: c.exchange_unbind("x", "y", "k")),
    ("exchange.delete", lambda c: c.exchange_delete("gone")),
    ("basic.publish", lambda c: cancelled_publish(c, "x", "k")),
    ("basic.publish, default exchange", lambda c: cancelled_publish(c, "", "q")),
    ("basic.publish, internal exchange", lambda c: cancelled_publish(c, "inner", "q")),
    ("basic.get", refused_by_get),
    ("basic.consume", lambda c: c.basic_cancel(c.basic_consume("q", lambda *_: None))),
    ("topic publish, allowed key", lambda c: cancelled_publish(c, "topics", "ok.key")),
    ("topic publish, other key", lambda c: cancelled_publish(c, "topics", "other")),
    ("topic bind, allowed key", lambda c: c.queue_bind("q", "topics", "ok.#")),
    ("topic bind, other key", lambda c: c.queue_bind("q", "topics", "other")),
]  # fmt: skip

# ---- HTTP: a user for each tag, with all permissions in the vhost, and one administrator without any.
TAGS = {
    "none": "",
    "management": "management",
    "policymaker": "policymaker",
    "monitoring": "monitoring",
    "administrator": "administrator",
    "outsider": "management",
}
Q, X = f"/queues/{VHOST}/q", f"/exchanges/{VHOST}/x"
POLICY = {"pattern": "^nothing$", "definition": {"max-length": 1}}
GET = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
PUBLISH = {"properties": {}, "routing_key": "k", "payload": "x", "payload_encoding": "string"}
RIGHT = {"configure": "", "write": "", "read": ""}
HTTP = [
    *[("GET", path, None) for path in (
        "/overview", "/nodes", "/nodes/NODE", "/cluster-name", "/extensions", "/whoami", "/definitions", f"/definitions/{VHOST}",
        "/connections", f"/vhosts/{VHOST}/connections", "/channels", f"/vhosts/{VHOST}/channels", "/consumers",
        f"/consumers/{VHOST}", "/exchanges", f"/exchanges/{VHOST}", X, X + "/bindings/source",
        X + "/bindings/destination", "/queues", f"/queues/{VHOST}", Q, Q + "/bindings", "/bindings", f"/bindings/{VHOST}",
        f"/bindings/{VHOST}/e/x/q/q", f"/bindings/{VHOST}/e/x/q/q/k", "/vhosts", f"/vhosts/{VHOST}",
        f"/vhosts/{VHOST}/permissions", f"/vhosts/{VHOST}/topic-permissions", "/users", "/users/guest",
        "/users/without-permissions", "/users/guest/permissions", "/users/guest/topic-permissions", "/permissions",
        f"/permissions/{VHOST}/guest", "/topic-permissions", f"/topic-permissions/{VHOST}/all", "/parameters",
        "/parameters/vhost-limits", f"/parameters/vhost-limits/{VHOST}", "/global-parameters", "/policies",
        f"/policies/{VHOST}", f"/policies/{VHOST}/kept", "/operator-policies", f"/operator-policies/{VHOST}",
        f"/operator-policies/{VHOST}/kept", "/vhost-limits", f"/vhost-limits/{VHOST}", "/user-limits",
        "/user-limits/guest", "/feature-flags", "/auth/attempts/NODE", "/health/checks/alarms",
        "/health/checks/local-alarms", "/health/checks/virtual-hosts", "/health/checks/certificate-expiration/1/days",
        "/health/checks/port-listener/1", "/health/checks/protocol-listener/amqp",
        "/health/checks/node-is-quorum-critical", f"/aliveness-test/{VHOST}")],
    ("PUT", f"/queues/{VHOST}/new", {"durable": True}),
    ("DELETE", f"/queues/{VHOST}/new", None),
    ("POST", Q + "/get", GET),
    ("DELETE", Q + "/contents", None),
    ("POST", Q + "/actions", {"action": "sync"}),
    ("PUT", f"/exchanges/{VHOST}/new", {"type": "direct"}),
    ("DELETE", f"/exchanges/{VHOST}/new", None),
    ("POST", X + "/publish", PUBLISH),
    ("POST", f"/bindings/{VHOST}/e/x/q/q", {"routing_key": "other"}),
    ("DELETE", f"/bindings/{VHOST}/e/x/q/q/other", None),
    ("PUT", f"/policies/{VHOST}/p", POLICY),
    ("DELETE", f"/policies/{VHOST}/p", None),
    ("PUT", f"/operator-policies/{VHOST}/p", POLICY),
    ("DELETE", f"/operator-policies/{VHOST}/p", None),
    ("PUT", f"/vhost-limits/{VHOST}/max-queues", {"value": 100}),
    ("DELETE", f"/vhost-limits/{VHOST}/max-queues", None),
    ("PUT", "/user-limits/all/max-channels", {"value": 100}),
    ("DELETE", "/user-limits/all/max-channels", None),
    ("PUT", "/global-parameters/rights", {"value": 1}),
    ("DELETE", "/global-parameters/rights", None),
    ("PUT", "/vhosts/rights-new", None),
    ("DELETE", "/vhosts/rights-new", None),
    ("PUT", "/users/rights-new", {"password": "x", "tags": ""}),
    ("PUT", f"/permissions/{VHOST}/rights-new", RIGHT),
    ("DELETE", f"/permissions/{VHOST}/rights-new", None),
    ("PUT", f"/topic-permissions/{VHOST}/all", {"exchange": "y", "write": "", "read": ""}),
    ("DELETE", f"/topic-permissions/{VHOST}/all/y", None),
    ("DELETE", "/users/rights-new", None),
    ("POST", "/users/bulk-delete", {"users": []}),
    ("POST", f"/definitions/{VHOST}", {}),
    ("DELETE", "/connections/username/guest", None),
    ("DELETE", "/connections/nobody", None),
]  # fmt: skip


class Broker:
    def __init__(self, amqp, http):
        self.api = Api(http)
        self.host, self.port = amqp.split(":")

    def connect(self, user):
        credentials = pika.PlainCredentials(user, "x" if user != "guest" else "guest")
        return pika.BlockingConnection(pika.ConnectionParameters(
            self.host, int(self.port), VHOST, credentials, socket_timeout=20))  # fmt: skip

    def prepare(self):
        self.clean()
        self.api("PUT", f"/vhosts/{VHOST}")
        names = {**dict.fromkeys(RIGHTS, ""), **{f"tag-{tag}": tags for tag, tags in TAGS.items()}}
        for user, tags in names.items():
            self.api("PUT", f"/users/{user}", {"password": "x", "tags": tags})
        grants = {**RIGHTS, "guest": ALL, **{f"tag-{tag}": ALL for tag in TAGS if tag != "outsider"}}
        for user, (configure, write, read) in grants.items():
            self.api("PUT", f"/permissions/{VHOST}/{user}", {"configure": configure, "write": write, "read": read})
        for user in RIGHTS:
            self.api("PUT", f"/topic-permissions/{VHOST}/{user}",
                {"exchange": "topics", "write": "^ok", "read": "^ok"})  # fmt: skip
        self.api("PUT", f"/policies/{VHOST}/kept", POLICY)
        self.api("PUT", f"/operator-policies/{VHOST}/kept", POLICY)
        self.topology()

    def topology(self):
        connection = self.connect("guest")
        channel = connection.channel()
        for name, kind in (("x", "direct"), ("y", "direct"), ("gone", "direct"), ("topics", "topic")):
            channel.exchange_declare(name, kind, durable=True)
        channel.exchange_declare("inner", "direct", durable=True, internal=True)
        for queue in ("q", "gone"):
            channel.queue_declare(queue, durable=True)
        for queue in ("new", "dlx"):
            channel.queue_delete(queue)
        for exchange in ("fresh", "ae"):
            channel.exchange_delete(exchange)
        channel.queue_bind("q", "x", "k")
        connection.close()

    def clean(self):
        self.api("DELETE", f"/vhosts/{VHOST}")
        for user in [*RIGHTS, *(f"tag-{tag}" for tag in TAGS)]:
            self.api("DELETE", f"/users/{user}")

    def amqp_answer(self, user, operation):
        self.topology()
        connection = self.connect(user)
        try:
            operation(connection.channel())
            return "ok"
        except exceptions.ChannelClosedByBroker as error:
            return f"{error.reply_code} {error.reply_text}"
        except exceptions.AMQPError as error:
            return repr(error)
        finally:
            if connection.is_open:
                connection.close()

    def http_answer(self, tag, method, path, body):
        octets = None if body is None else json.dumps(body).encode()
        status, text = self.api.as_user(f"tag-{tag}", "x").answer(method, path, octets)
        if status not in (401, 403):
            return str(status)
        try:
            said = json.loads(text)
            return f"{status} {said.get('reason')}"
        except ValueError:
            return str(status)


def same_user(text, user):
    """RabbitMQ from 3.11 on names the right that is missing; the yardstick does not."""
    text = re.sub(r"- (configure|write|read) access to ", "- access to ", text)
    text = text.replace("in exchange exchange '", "in exchange '")
    return text.replace(f"'{user}'", "'USER'")


# What 3.10 does otherwise than later releases, which Warren follows, and what it gets wrong.
MAY_DIFFER = {
    "GET /feature-flags": "3.10 shows them to administrators only",
    "DELETE /connections/username/guest": "3.10 answers 500 to who may not",
    "DELETE /connections/nobody": "3.10 answers 500 to who may not",
    "POST /definitions/rights": "3.10 answers otherwise",
}


def short(answer):
    return answer.split(" ", 1)[0]


def table(title, brokers, users, rows):
    """`rows`: a label and who answers it for a broker and a user."""
    print(f"\n## {title}\n")
    print("| operation | " + " | ".join(users) + " |")
    print("|---|" + "---|" * len(users))
    different = refusals = 0
    for label, answer in rows:
        cells = []
        for user in users:
            first, second = (same_user(answer(broker, user), user) for broker in brokers)
            refusals += short(second) in ("401", "403")
            if first == second:
                cells.append(short(second))
            else:
                different += label not in MAY_DIFFER
                cells.append(f"RabbitMQ: {first}; Warren: {second}")
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)
    for label, why in MAY_DIFFER.items():
        if any(label == one for one, _ in rows):
            print(f"may differ: {label}: {why}")
    print(f"\n{len(rows)} operations, {len(users)} users, {refusals} refusals seen, {different} different")
    return different


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    brokers = [Broker(*sys.argv[1:3]), Broker(*sys.argv[3:5])]
    for broker in brokers:
        broker.prepare()
    try:
        amqp = [(label, lambda broker, user, run=run: broker.amqp_answer(user, run)) for label, run in AMQP]
        http = [
            (f"{method} {path}", lambda broker, tag, call=(method, path, body): broker.http_answer(tag, *call))
            for method, path, body in HTTP
        ]
        different = table("AMQP: users by what they may", brokers, list(RIGHTS), amqp)
        different += table("HTTP: users by tag; the outsider has no permissions in the vhost", brokers, list(TAGS), http)
    finally:
        for broker in brokers:
            broker.clean()
    sys.exit(different > 0)


main()
