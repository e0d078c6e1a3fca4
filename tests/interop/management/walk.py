#!/usr/bin/env python3
"""Walks over every path of RabbitMQ's management API on two brokers: status and shape (keys and
types) of each answer must be equal, but for what is listed below with its reason.

    walk.py RABBITMQ WARREN        host:port of the two management APIs, guest/guest
"""
import base64
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

# Method, path, body. NODE is the node's name; `~` in front: only that it answers is compared.
STEPS = """
GET /overview
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
GET /nothing
PATCH /overview
DELETE /nodes
PUT /vhosts/walk {"description":"d","tags":"a,b"}
PUT /vhosts/walk {}
GET /vhosts
GET /vhosts/walk
GET /vhosts/nowhere
GET /vhosts/walk/permissions
GET /vhosts/nowhere/permissions
GET /vhosts/walk/topic-permissions
POST /vhosts/walk/start/NODE {}
PUT /users/walker {"password":"p","tags":"management"}
PUT /users/walker {"password":"p","tags":"management"}
PUT /users/untagged {"password":"p"}
PUT /users/walker2 {"password_hash":"","tags":""}
GET /users
GET /users/walker
GET /users/nobody
GET /users/without-permissions
PUT /permissions/walk/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/walk/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/walk/walker {"configure":".*"}
PUT /permissions/walk/nobody {"configure":".*","write":".*","read":".*"}
PUT /permissions/nowhere/walker {"configure":".*","write":".*","read":".*"}
PUT /permissions/walk/guest {"configure":".*","write":".*","read":".*"}
GET /permissions
GET /permissions/walk/walker
GET /permissions/walk/nobody
GET /users/walker/permissions
GET /users/nobody/permissions
PUT /exchanges/walk/x {"type":"topic","durable":true,"arguments":{"alternate-exchange":"other"}}
PUT /exchanges/walk/x {"type":"topic","durable":true,"arguments":{"alternate-exchange":"other"}}
PUT /exchanges/walk/x {"type":"fanout","durable":true}
PUT /exchanges/walk/y {"type":"nothing"}
PUT /exchanges/walk/y {"durable":true}
PUT /exchanges/walk/amq.y {"type":"direct"}
PUT /exchanges/walk/y {"type":"fanout","internal":"true"}
PUT /topic-permissions/walk/walker {"exchange":"x","write":".*","read":".*"}
PUT /topic-permissions/walk/walker {"write":".*"}
GET /topic-permissions
GET /topic-permissions/walk/walker
GET /users/walker/topic-permissions
DELETE /topic-permissions/walk/walker
GET /exchanges
GET /exchanges/walk
GET /exchanges/nowhere
GET /exchanges/walk/x
GET /exchanges/walk/missing
GET /exchanges/walk/amq.default
PUT /queues/walk/q {"durable":true,"arguments":{"x-max-length":100}}
PUT /queues/walk/q {"durable":true,"arguments":{"x-max-length":100}}
PUT /queues/walk/q {"durable":true,"arguments":{"x-max-length":7}}
PUT /queues/walk/q {"durable":"x"}
PUT /queues/walk/q not json
PUT /queues/walk/quorum {"durable":true,"arguments":{"x-queue-type":"quorum"}}
PUT /queues/walk/stream {"durable":true,"arguments":{"x-queue-type":"stream"}}
PUT /queues/walk/amq.q {}
PUT /queues/walk/bad {"arguments":{"x-message-ttl":"soon"}}
POST /bindings/walk/e/x/q/q {"routing_key":"a.b"}
POST /bindings/walk/e/x/q/q {"routing_key":"a.c","arguments":{"n":1}}
POST /bindings/walk/e/x/e/y {"routing_key":""}
POST /bindings/walk/e/x/q/missing {}
POST /bindings/walk/e/missing/q/q {}
GET /bindings
GET /bindings/walk
GET /bindings/walk/e/x/q/q
GET /bindings/walk/e/x/q/q/a.b
GET /bindings/walk/e/x/q/q/missing
GET /bindings/walk/e/x/e/y
GET /bindings/walk/e/x/e/y/~
GET /exchanges/walk/x/bindings/source
GET /exchanges/walk/y/bindings/destination
GET /queues/walk/q/bindings
GET /queues/walk/missing/bindings
POST /exchanges/walk/x/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{"delivery_mode":2,"headers":{"h":1}}}
POST /exchanges/walk/x/publish {"routing_key":"a.b","payload":"/w==","payload_encoding":"base64","properties":{}}
POST /exchanges/walk/y/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{}}
POST /exchanges/walk/amq.default/publish {"routing_key":"missing","payload":"hi","payload_encoding":"string","properties":{}}
POST /exchanges/walk/x/publish {"routing_key":"a.b"}
POST /exchanges/walk/missing/publish {"routing_key":"a.b","payload":"hi","payload_encoding":"string","properties":{}}
POST /queues/walk/q/get {"count":2,"ackmode":"ack_requeue_true","encoding":"auto"}
POST /queues/walk/q/get {"count":1,"ackmode":"reject_requeue_true","encoding":"base64","truncate":1}
POST /queues/walk/q/get {"count":1}
POST /queues/walk/q/get {"count":1,"ackmode":"sometimes","encoding":"auto"}
POST /queues/walk/missing/get {"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}
POST /queues/walk/q/actions {"action":"sync"}
POST /queues/walk/q/actions {"action":"dance"}
DELETE /queues/walk/q/contents
DELETE /queues/walk/missing/contents
GET /queues
GET /queues/walk
GET /queues/walk/q
GET /queues/walk/quorum
GET /queues/walk/stream
GET /queues/walk/missing
GET /queues?page=1&page_size=2
GET /queues?page=1&page_size=2&name=q&use_regex=false
GET /queues?page=99&page_size=2
GET /queues?page=0
GET /queues?page=1&page_size=600
GET /exchanges?sort=name&sort_reverse=true&columns=name,type
PUT /policies/walk/p {"pattern":"^q","definition":{"max-length":5},"priority":1,"apply-to":"queues"}
PUT /policies/walk/p {"pattern":"^q","definition":{"max-length":5}}
PUT /policies/walk/bad {"pattern":"^q","definition":{"unheard-of":5}}
PUT /policies/walk/bad {"definition":{"max-length":5}}
PUT /policies/nowhere/p {"pattern":"^q","definition":{"max-length":5}}
GET /policies
GET /policies/walk
GET /policies/walk/p
GET /policies/walk/missing
PUT /operator-policies/walk/p {"pattern":"^q","definition":{"max-length":5},"apply-to":"queues"}
GET /operator-policies
GET /operator-policies/walk
GET /operator-policies/walk/p
DELETE /operator-policies/walk/p
DELETE /policies/walk/p
DELETE /policies/walk/p
GET /parameters
GET /parameters/shovel
PUT /parameters/nothing/walk/p {"value":{}}
GET /parameters/shovel/walk/missing
PUT /global-parameters/walk {"value":{"a":1}}
PUT /global-parameters/walk {"value":{"a":1}}
GET /global-parameters
GET /global-parameters/walk
DELETE /global-parameters/walk
GET /global-parameters/walk
PUT /vhost-limits/walk/max-queues {"value":50}
PUT /vhost-limits/walk/unheard-of {"value":50}
PUT /vhost-limits/walk/max-queues {}
GET /vhost-limits
GET /vhost-limits/walk
DELETE /vhost-limits/walk/max-queues
PUT /user-limits/walker/max-channels {"value":50}
GET /user-limits
GET /user-limits/walker
DELETE /user-limits/walker/max-channels
GET /connections
GET /connections/missing
DELETE /connections/missing
GET /vhosts/walk/connections
GET /channels
GET /channels/missing
GET /vhosts/walk/channels
GET /consumers
GET /consumers/walk
GET /definitions
GET /definitions/walk
POST /definitions {"users":[],"vhosts":[]}
POST /definitions nonsense
POST /definitions/walk {"queues":[]}
GET /aliveness-test/walk
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
DELETE /exchanges/walk/x?if-unused=true
DELETE /bindings/walk/e/x/q/q/a.b
DELETE /exchanges/walk/y
DELETE /exchanges/walk/amq.topic
DELETE /queues/walk/q?if-empty=true
DELETE /queues/walk/q
DELETE /permissions/walk/walker
DELETE /permissions/walk/walker
DELETE /vhosts/walk
DELETE /vhosts/walk
POST /users/bulk-delete {"users":["walker","walker2"]}
POST /users/bulk-delete {"users":["nobody"]}
DELETE /users/walker
"""

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
    "message_bytes_dlx": "not kept apart",
    "messages_ram": "not kept apart",
    "messages_persistent": "not kept apart",
    "messages_paged_out": "not kept apart",
    "messages_ready_ram": "not kept apart",
    "messages_unacknowledged_ram": "not kept apart",
    "messages_dlx": "not kept apart",
    "recoverable_slaves": "mirrored queues, gone in 4",
    "open_files": "of one queue: the store has files, queues have none",
    "readers": "stream replicas",
    "disk_reads": "a message is written in a batch with others",
    "disk_reads_details": "a message is written in a batch with others",
    "disk_writes": "a message is written in a batch with others",
    "disk_writes_details": "a message is written in a batch with others",
    "cowboy_opts": "RabbitMQ's web server",
    "ra_open_file_metrics": "RabbitMQ's Raft",
    "metrics_gc_queue_length": "RabbitMQ's metrics store",
    "idle_since": "told only while idle",
    "consumer_capacity": "told a while after the declaration",
    "consumer_utilisation": "told a while after the declaration",
    "head_message_timestamp": "told a while after the declaration",
    "memory_breakdown": "not told apart in one process",
}
PREFIXES_ONLY_IN_RABBITMQ = ("gc_", "context_switches", "io_", "mnesia_", "msg_store_", "queue_index_")
ONLY_IN_WARREN = {
    # Those of newer RabbitMQ.
    "oauth_enabled", "protected_from_deletion", "cluster_tags", "node_tags", "default_queue_type",
    "is_op_policy_updating_enabled", "being_drained", "policy", "tls", "consumer_timeout", "metadata",
    "description", "tags", "limits", "product_name", "product_version", "rabbitmq_version", "leader",
    # RabbitMQ tells these of a queue only after five seconds, of a vhost after the first message.
    "messages", "messages_details", "messages_ready", "messages_ready_details",
    "messages_unacknowledged", "messages_unacknowledged_details", "message_stats", "state", "consumers",
    "operator_policy", "effective_policy_definition", "exclusive_consumer_tag", "message_bytes",
    "single_active_consumer_tag", "single_active_consumer_ctag", "message_bytes_ready",
    "message_bytes_unacknowledged", "members", "online", "node", "ssl_opts", "protocol",
    "consumer_capacity", "consumer_utilisation", "head_message_timestamp", "idle_since", "reason_text",
}
# Whole answers that differ, and why.
DIFFERENT = {
    "GET /nodes/NODE/memory": "one process: only the total",
    "GET /extensions": "no plugin of RabbitMQ's web pages",
    "GET /feature-flags": "the same names, with less text",
    "GET /global-parameters": "RabbitMQ keeps its cluster's id among them",
    "GET /definitions": "RabbitMQ keeps its cluster's id among the global parameters",
    "PUT /vhost-limits/walk/unheard-of": "the text ends with Erlang's or JSON's form of the value",
}


def ask(address, node, method, path, body):
    path = path.replace("NODE", urllib.parse.quote(node))
    request = urllib.request.Request(
        f"http://{address}/api{path}", method=method, data=None if body is None else body.encode()
    )
    login = base64.b64encode(b"guest:guest").decode()
    request.add_header("Authorization", f"Basic {login}")
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


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
    return at.endswith((".cluster_state", ".arguments", ".headers", ".definition", ".value", ".limits"))


def parsed(body):
    try:
        return json.loads(body)
    except ValueError:
        return None


def compared(step, left, right):
    (left_status, left_body), (right_status, right_body) = left, right
    if left_status != right_status:
        yield f"status {left_status} and {right_status}: {left_body[:200]} {right_body[:200]}"
        return
    left_value, right_value = parsed(left_body), parsed(right_body)
    if (left_value is None) != (right_value is None):
        yield f"body {left_body[:200]} and {right_body[:200]}"
    elif left_value is not None and step not in DIFFERENT:
        yield from differences(shape(left_value), shape(right_value))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sides = []
    for address in sys.argv[1:]:
        _, body = ask(address, "", "GET", "/overview", None)
        sides.append((address, json.loads(body)["node"]))
    steps = [line for line in STEPS.splitlines() if line.strip()]
    wrong = 0
    for line in steps:
        method, path, *body = line.split(" ", 2)
        body = body[0] if body else None
        answers = [ask(address, node, method, path, body) for address, node in sides]
        found = list(compared(f"{method} {path}", *answers))
        wrong += bool(found)
        print("DIFFER" if found else "equal ", answers[1][0], line[:100])
        for difference in found:
            print("      ", difference)
    print(f"{len(steps)} requests, {wrong} different")
    print("listed differences:", len(ONLY_IN_RABBITMQ), "keys,", len(DIFFERENT), "answers")
    sys.exit(bool(wrong))


main()
