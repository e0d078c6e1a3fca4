#!/usr/bin/env python3
"""Walks over every path of RabbitMQ's management API on two brokers: status and shape (keys and
types) of each answer must be equal, but for what is listed below with its reason.

    walk.py RABBITMQ_AMQP RABBITMQ_HTTP WARREN_AMQP WARREN_HTTP     host:port each, guest/guest

Needs pika: run it with the Python that `tests/interop/run --prepare` names.
"""

import json
import secrets
import sys

import pika

sys.dont_write_bytecode = True

from api import Api, quoted, until  # noqa: E402

# Method, path, body. NODE is the node's name, VHOST one that is new in each run, because RabbitMQ keeps
# for a while what it has counted in one that is deleted. CLIENT is where a client does its work;
# CONNECTION and CHANNEL are its own.
STEPS = """
GET /cluster-name
GET /nodes
GET /nodes/NODE
GET /nodes/NODE/memory
GET /nodes/nowhere
GET /extensions
GET /whoami
GET /auth
GET /auth/attempts/NODE
GET /auth/attempts/NODE/source
GET /feature-flags
GET /deprecated-features
GET /version
GET /auth/hash_password/secret
GET /shovels
GET /federation-links
GET /traces
GET /nothing
PATCH /overview
DELETE /nodes
PUT /vhosts/VHOST {"description":"d","tags":"a,b"}
PUT /vhosts/VHOST {}
GET /vhosts/VHOST
GET /vhosts/nowhere
GET /vhosts/VHOST/permissions
GET /vhosts/nowhere/permissions
GET /vhosts/VHOST/topic-permissions
POST /vhosts/VHOST/start/NODE {}
PUT /users/walker {"password":"p","tags":"management"}
PUT /users/walker {"password":"p","tags":"management"}
PUT /users/untagged {"password":"p"}
PUT /users/walker2 {"password_hash":"","tags":""}
GET /users
GET /users/walker
GET /users/nobody
GET /users/without-permissions
PUT /permissions/VHOST/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/VHOST/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/VHOST/walker {"configure":".*"}
PUT /permissions/VHOST/nobody {"configure":".*","write":".*","read":".*"}
PUT /permissions/nowhere/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/VHOST/guest {"configure":".*","write":".*","read":".*"}
CLIENT
GET /connections
GET /connections/CONNECTION
GET /connections/CONNECTION/channels
GET /connections/username/guest
GET /vhosts/VHOST/connections
GET /channels
GET /channels/CHANNEL
GET /vhosts/VHOST/channels
GET /consumers
GET /consumers/VHOST
GET /queues/VHOST/worked
GET /exchanges/VHOST/working
GET /exchanges/VHOST/amq.default
GET /vhosts
GET /vhosts/VHOST
GET /nodes/NODE
GET /overview
GET /permissions
GET /permissions/VHOST/walker
GET /permissions/VHOST/nobody
GET /users/walker/permissions
GET /users/nobody/permissions
PUT /exchanges/VHOST/x {"type":"topic","durable":true,"arguments":{"alternate-exchange":"other"}}
PUT /exchanges/VHOST/x {"type":"topic","durable":true,"arguments":{"alternate-exchange":"other"}}
PUT /exchanges/VHOST/x {"type":"fanout","durable":true}
PUT /exchanges/VHOST/y {"type":"nothing"}
PUT /exchanges/VHOST/y {"durable":true}
PUT /exchanges/VHOST/amq.y {"type":"direct"}
PUT /exchanges/VHOST/y {"type":"fanout","internal":"true"}
PUT /topic-permissions/VHOST/walker {"exchange":"x","write":".*","read":".*"}
PUT /topic-permissions/VHOST/walker {"write":".*"}
GET /topic-permissions
GET /topic-permissions/VHOST/walker
GET /users/walker/topic-permissions
DELETE /topic-permissions/VHOST/walker
GET /exchanges
GET /exchanges/VHOST
GET /exchanges/nowhere
GET /exchanges/VHOST/x
GET /exchanges/VHOST/missing
GET /exchanges/VHOST/amq.default
PUT /queues/VHOST/q {"durable":true,"arguments":{"x-max-length":100}}
PUT /queues/VHOST/q {"durable":true,"arguments":{"x-max-length":100}}
PUT /queues/VHOST/q {"durable":true,"arguments":{"x-max-length":7}}
PUT /queues/VHOST/q {"durable":"x"}
PUT /queues/VHOST/q not json
PUT /queues/VHOST/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
PUT /queues/VHOST/stream {"durable":true,"arguments":{"x-queue-type":"stream"}}
PUT /queues/VHOST/amq.q {}
PUT /queues/VHOST/bad {"arguments":{"x-message-ttl":"soon"}}
POST /bindings/VHOST/e/x/q/q {"routing_key":"a.b"}
POST /bindings/VHOST/e/x/q/q {"routing_key":"a.c","arguments":{"n":1}}
POST /bindings/VHOST/e/x/e/y {"routing_key":""}
POST /bindings/VHOST/e/x/q/missing {}
POST /bindings/VHOST/e/missing/q/q {}
GET /bindings
GET /bindings/VHOST
GET /bindings/VHOST/e/x/q/q
GET /bindings/VHOST/e/x/q/q/a.b
GET /bindings/VHOST/e/x/q/q/missing
GET /bindings/VHOST/e/x/e/y
GET /bindings/VHOST/e/x/e/y/~
GET /exchanges/VHOST/x/bindings/source
GET /exchanges/VHOST/y/bindings/destination
GET /queues/VHOST/q/bindings
GET /queues/VHOST/missing/bindings
POST /exchanges/VHOST/x/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{"delivery_mode":2,"headers":{"h":1}}}
POST /exchanges/VHOST/x/publish {"routing_key":"a.b","payload":"/w==","payload_encoding":"base64","properties":{}}
POST /exchanges/VHOST/y/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{}}
POST /exchanges/VHOST/amq.default/publish {"routing_key":"missing","payload":"hi","payload_encoding":"string","properties":{}}
POST /exchanges/VHOST/x/publish {"routing_key":"a.b"}
POST /exchanges/VHOST/missing/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{}}
POST /queues/VHOST/q/get {"count":2,"ackmode":"ack_requeue_true","encoding":"auto"}
POST /queues/VHOST/q/get {"count":1,"ackmode":"reject_requeue_true","encoding":"base64","truncate":1}
POST /queues/VHOST/q/get {"count":1}
POST /queues/VHOST/q/get {"count":1,"ackmode":"sometimes","encoding":"auto"}
POST /queues/VHOST/missing/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
POST /queues/VHOST/q/actions {"action":"sync"}
POST /queues/VHOST/q/actions {"action":"dance"}
DELETE /queues/VHOST/q/contents
DELETE /queues/VHOST/missing/contents
GET /queues
GET /queues/VHOST
GET /queues/VHOST/q
GET /queues/VHOST/quorum
GET /queues/VHOST/stream
GET /queues/VHOST/missing
GET /queues?page=1&page_size=2
GET /queues?page=1&page_size=2&name=q&use_regex=false
GET /queues?page=99&page_size=2
GET /queues?page=0
GET /queues?page=1&page_size=600
GET /exchanges?sort=name&sort_reverse=true&columns=name,type
PUT /policies/VHOST/p {"pattern":"^q","definition":{"max-length":5},"priority":1,"apply-to":"queues"}
PUT /policies/VHOST/p {"pattern":"^q","definition":{"max-length":5}}
PUT /policies/VHOST/bad {"pattern":"^q","definition":{"unheard-of":5}}
PUT /policies/VHOST/bad {"definition":{"max-length":5}}
PUT /policies/nowhere/p {"pattern":"^q","definition":{"max-length":5}}
GET /policies
GET /policies/VHOST
GET /policies/VHOST/p
GET /policies/VHOST/missing
PUT /operator-policies/VHOST/p {"pattern":"^q","definition":{"max-length":5},"apply-to":"queues"}
GET /operator-policies
GET /operator-policies/VHOST
GET /operator-policies/VHOST/p
DELETE /operator-policies/VHOST/p
DELETE /policies/VHOST/p
DELETE /policies/VHOST/p
GET /parameters
GET /parameters/shovel
PUT /parameters/nothing/VHOST/p {"value":{}}
GET /parameters/shovel/VHOST/missing
PUT /global-parameters/walk {"value":{"a":1}}
PUT /global-parameters/walk {"value":{"a":1}}
GET /global-parameters
GET /global-parameters/walk
DELETE /global-parameters/walk
GET /global-parameters/walk
PUT /vhost-limits/VHOST/max-queues {"value":50}
PUT /vhost-limits/VHOST/unheard-of {"value":50}
PUT /vhost-limits/VHOST/max-queues {}
GET /vhost-limits
GET /vhost-limits/VHOST
DELETE /vhost-limits/VHOST/max-queues
PUT /user-limits/walker/max-channels {"value":50}
GET /user-limits
GET /user-limits/walker
DELETE /user-limits/walker/max-channels
DELETE /connections/CONNECTION
GET /connections/missing
DELETE /connections/missing
GET /vhosts/VHOST/connections
GET /channels
GET /channels/missing
GET /vhosts/VHOST/channels
GET /consumers
GET /consumers/VHOST
GET /definitions
GET /definitions/VHOST
POST /definitions {"users":[],"vhosts":[]}
POST /definitions nonsense
POST /definitions/VHOST {"queues":[]}
GET /aliveness-test/VHOST
GET /healthchecks/node
GET /health/checks/alarms
GET /health/checks/local-alarms
GET /health/checks/certificate-expiration/1/weeks
GET /health/checks/certificate-expiration/1/eons
GET /health/checks/port-listener/1
GET /health/checks/protocol-listener/amqp091
GET /health/checks/protocol-listener/gopher
GET /health/checks/virtual-hosts
GET /health/checks/node-is-mirror-sync-critical
GET /health/checks/node-is-quorum-critical
GET /health/checks/is-in-service
GET /health/checks/ready-to-serve-clients
DELETE /exchanges/VHOST/x?if-unused=true
DELETE /bindings/VHOST/e/x/q/q/a.b
DELETE /exchanges/VHOST/y
DELETE /exchanges/VHOST/amq.topic
DELETE /queues/VHOST/q?if-empty=true
DELETE /queues/VHOST/q
DELETE /permissions/VHOST/walker
DELETE /permissions/VHOST/walker
DELETE /vhosts/VHOST
DELETE /vhosts/VHOST
POST /users/bulk-delete {"users":["walker","walker2"]}
POST /users/bulk-delete {"users":["nobody"]}
DELETE /users/walker
"""

VHOST = f"walk-{secrets.token_hex(4)}"

# Keys that may be on one side only, wherever they stand, and why.
ONLY_IN_RABBITMQ = {
    "garbage_collection": "counts Erlang's work",
    "reductions": "counts Erlang's work",
    "reductions_details": "counts Erlang's work",
    "backing_queue_status": "RabbitMQ's insides, gone in 4",
    "memory": "of one queue: not told apart in one process",
    "message_bytes_ram": "not kept apart",
    "message_bytes_persistent": "not kept apart",
    "message_bytes_paged_out": "not kept apart",
    "messages_ram": "not kept apart",
    "messages_persistent": "not kept apart",
    "messages_paged_out": "not kept apart",
    "messages_ready_ram": "not kept apart",
    "messages_unacknowledged_ram": "not kept apart",
    "recoverable_slaves": "mirrored queues, gone in 4",
    "disk_reads": "a message is written in a batch with others",
    "disk_reads_details": "a message is written in a batch with others",
    "disk_writes": "a message is written in a batch with others",
    "disk_writes_details": "a message is written in a batch with others",
    "cowboy_opts": "RabbitMQ's web server",
    "ra_open_file_metrics": "RabbitMQ's Raft",
    "metrics_gc_queue_length": "RabbitMQ's metrics store",
    "idle_since": "told only while idle",
}
PREFIXES_ONLY_IN_RABBITMQ = ("gc_", "context_switches", "io_", "mnesia_", "msg_store_", "queue_index_")
ONLY_IN_WARREN = {
    # Those of newer RabbitMQ.
    "oauth_enabled", "protected_from_deletion", "cluster_tags", "node_tags", "default_queue_type",
    "is_op_policy_updating_enabled", "being_drained", "policy", "tls", "consumer_timeout", "metadata",
    "description", "limits", "product_name", "product_version", "rabbitmq_version", "leader",
    # RabbitMQ tells these of a queue only after five seconds, of a vhost after the first message.
    "messages", "messages_details", "messages_ready", "messages_ready_details",
    "messages_unacknowledged", "messages_unacknowledged_details", "message_stats", "state", "consumers",
    "operator_policy", "effective_policy_definition", "exclusive_consumer_tag", "message_bytes",
    "single_active_consumer_tag", "single_active_consumer_ctag", "message_bytes_ready",
    "message_bytes_unacknowledged", "members", "online", "node", "ssl_opts", "protocol",
    "consumer_capacity", "consumer_utilisation", "head_message_timestamp",
}
# Whole answers that differ, and why.
DIFFERENT = {
    "GET /connections/username/guest": "RabbitMQ tells name, vhost, user and node only; here it is the list with a filter",
    "GET /nodes/NODE/memory": "one process: only the total",
    "GET /extensions": "no plugin of RabbitMQ's web pages",
    "GET /feature-flags": "the same names, with less text",
    "GET /global-parameters": "RabbitMQ keeps its cluster's id among them",
    "GET /definitions": "RabbitMQ keeps its cluster's id among the global parameters",
    "PUT /vhost-limits/VHOST/unheard-of": "the text ends with Erlang's or JSON's form of the value",
}
# Statuses that differ, and why.
OTHER_STATUS = {
    **dict.fromkeys((
        "GET /deprecated-features", "GET /version", "GET /auth/hash_password/secret",
        "GET /health/checks/is-in-service", "GET /health/checks/ready-to-serve-clients",
    ), "came after RabbitMQ 3.10"),
    **dict.fromkeys(("GET /shovels", "GET /federation-links", "GET /traces"),
                    "plugins that are not enabled in the RabbitMQ of these tests"),
    "GET /nodes/nowhere": "RabbitMQ 3.10 crashes over it",
    "GET /queues/VHOST/missing/bindings": "RabbitMQ shows the default binding of a queue that is not there",
    "POST /queues/VHOST/q/get": "RabbitMQ 3.10 crashes over an unknown ackmode",
}


class Client:
    """Has done a bit of everything that is told of connections, channels, consumers, queues and exchanges."""

    def __init__(self, amqp, vhost):
        host, port = amqp.split(":")
        self._vhost = vhost
        login = pika.PlainCredentials("guest", "guest")
        parameters = pika.ConnectionParameters(host, int(port), vhost, login, client_properties={"connection_name": "walk"})
        self._connection = pika.BlockingConnection(parameters)
        self._channel = channel = self._connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=10)
        channel.queue_declare("worked", durable=True)
        channel.exchange_declare("working", "direct", durable=True)
        channel.queue_bind("worked", "working", "worked")
        for exchange in ("", "working"):
            for _ in range(5):
                channel.basic_publish(exchange, "worked", b"x", pika.BasicProperties(delivery_mode=2))
        channel.basic_publish("working", "nowhere", b"dropped")
        try:
            channel.basic_publish("working", "nowhere", b"returned", mandatory=True)
        except pika.exceptions.UnroutableError:
            pass
        channel.basic_nack(channel.basic_get("worked")[0].delivery_tag)
        channel.basic_get("worked", auto_ack=True)
        other = self._connection.channel()
        other.basic_consume("worked", lambda *_: None, auto_ack=True, consumer_tag="at once")
        other.basic_cancel("at once")
        for _ in range(3):
            channel.basic_publish("", "worked", b"x")
        # Some are acknowledged, some are not.
        seen = []
        channel.basic_consume("worked", lambda c, m, *_: seen.append(m.delivery_tag), consumer_tag="steady")
        while len(seen) < 3:
            self._connection.process_data_events(1)
        channel.basic_ack(seen[0])
        self._connection.process_data_events(0.1)

    def told(self, api):
        """Whether the broker has told of all that."""
        def stats(rows):
            return [row.get("message_stats", {}) for row in rows or []]

        def counts(found, *keys):
            return any(all(key in one for key in keys) for one in found)

        vhost = self._vhost
        connections = api("GET", f"/vhosts/{vhost}/connections")
        channels = api("GET", f"/vhosts/{vhost}/channels")
        queue = api("GET", f"/queues/{vhost}/worked")
        return (
            len(channels) == 2
            and counts(connections, "recv_oct_details")
            and counts(stats(channels), "publish", "confirm", "deliver", "ack", "redeliver")
            and counts(stats([queue]), "publish", "deliver", "ack")
            and counts(stats([api("GET", "/overview")]), "publish", "confirm", "deliver", "ack", "redeliver")
            and queue.get("consumer_details") and queue.get("messages_unacknowledged")
            and counts(stats([api("GET", f"/exchanges/{vhost}/working")]), "publish_in", "publish_out")
            and len(api("GET", f"/consumers/{vhost}")) == 1
        )  # fmt: skip


class Side:
    """A broker, and what its paths are called there."""

    def __init__(self, amqp, http):
        self.api, self._amqp, self._client = Api(http), amqp, None
        self._names = {"VHOST": VHOST}

    def knows_itself(self):
        """RabbitMQ tells of its node some seconds after its start."""
        (node,) = self.api("GET", "/nodes")
        return "mem_limit" in node and self.api("GET", "/overview")["churn_rates"]

    def work(self):
        client = self._client = Client(self._amqp, VHOST)
        until(lambda: client.told(self.api), f"{self.api.address} tells of its client")
        (connection,) = self.api("GET", f"/vhosts/{VHOST}/connections")
        name = connection["name"]
        self._names |= {"CONNECTION": quoted(name), "CHANNEL": quoted(f"{name} (1)")}

    def ask(self, method, path, body):
        for word, name in self._names.items():
            path = path.replace(word, name)
        return self.api.answer(method, path, None if body is None else body.encode())


def shape(value):
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        together = None
        for inner in value:
            together = united(together, shape(inner))
        return ["nothing" if together is None else together]
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def united(one, other):
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: united(one.get(key), other.get(key)) for key in {**one, **other}}
    return other if one is None else one


def differences(left, right, at=""):
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() - right.keys():
            known = key in ONLY_IN_RABBITMQ or key.startswith(PREFIXES_ONLY_IN_RABBITMQ)
            if not known and not is_name(at):
                yield f"{at}.{key}: only in RabbitMQ"
        for key in right.keys() - left.keys():
            if key not in ONLY_IN_WARREN and not is_name(at):
                yield f"{at}.{key}: only in Warren"
        for key in sorted(left.keys() & right.keys()):
            yield from differences(left[key], right[key], f"{at}.{key}")
    elif isinstance(left, list) and isinstance(right, list):
        yield from differences(left[0], right[0], f"{at}[]")
    elif left != right and not {"null", "nothing"} & {str(left), str(right)}:
        yield f"{at}: {left} and {right}"


def is_name(at):
    """Objects whose keys are names that somebody has given."""
    # What the sockets are set to is the platform's.
    if at.endswith(".socket_opts"):
        return True
    return at.endswith((".cluster_state", ".arguments", ".headers", ".definition", ".value", ".limits"))


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def compared(step, left, right):
    (left_status, left_body), (right_status, right_body) = left, right
    if left_status != right_status:
        if step in OTHER_STATUS and {left_status, right_status} & {500, 404}:
            return
        yield f"status {left_status} and {right_status}: {left_body[:200]} {right_body[:200]}"
        return
    left_value, right_value = parsed(left_body), parsed(right_body)
    if (left_value is None) != (right_value is None):
        yield f"body {left_body[:200]} and {right_body[:200]}"
    elif left_value is not None and step not in DIFFERENT:
        yield from differences(shape(left_value), shape(right_value))


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    sides = [Side(*sys.argv[1:3]), Side(*sys.argv[3:5])]
    steps = [line for line in STEPS.splitlines() if line.strip()]
    for side in sides:
        until(side.knows_itself, "what the node is")
    wrong = 0
    for line in steps:
        if line == "CLIENT":
            for side in sides:
                side.work()
            continue
        method, path, *body = line.split(" ", 2)
        body = body[0] if body else None
        answers = [side.ask(method, path, body) for side in sides]
        found = list(compared(f"{method} {path}", *answers))
        wrong += bool(found)
        print("DIFFER" if found else "equal ", answers[1][0], line[:100])
        for difference in found:
            print("      ", difference)
    print(f"{len(steps) - 1} requests, {wrong} different")
    print("listed differences:", len(ONLY_IN_RABBITMQ), "keys,", len(DIFFERENT), "answers,",
          len(OTHER_STATUS), "statuses")
    sys.exit(bool(wrong))


main()
