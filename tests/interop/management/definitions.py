#!/usr/bin/env python3
"""Definitions out of a RabbitMQ, into a Warren, out of it, and back: equal, and equal to what came out.

    definitions.py RABBITMQ WARREN        host:port of the two management APIs, guest/guest
"""

import json
import sys

sys.dont_write_bytecode = True

from api import Api  # noqa: E402

VHOST = {
    "vhosts": [{"name": "round"}],
    "users": [{"name": "rounder", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
               "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["monitoring"], "limits": {}}],
    "permissions": [{"user": "rounder", "vhost": "round", "configure": "", "write": "^a", "read": ".*"}],
    "topic_permissions": [{"user": "rounder", "vhost": "round", "exchange": "x", "write": "^b", "read": ".*"}],
    "parameters": [
        {"vhost": "round", "component": "vhost-limits", "name": "limits", "value": {"max-queues": 50}},
        {"vhost": "round", "component": "operator_policy", "name": "bound",
         "value": {"pattern": ".*", "apply-to": "queues", "priority": 0, "definition": {"max-length": 9}}}],
    "policies": [{"vhost": "round", "name": "ttl", "pattern": "^q", "apply-to": "queues", "priority": 2,
                  "definition": {"message-ttl": 5000, "dead-letter-exchange": "x"}}],
    "queues": [
        {"name": "q", "vhost": "round", "durable": True, "auto_delete": False,
         "arguments": {"x-max-length": 5, "x-overflow": "reject-publish"}},
        {"name": "quorum", "vhost": "round", "durable": True, "auto_delete": False,
         "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 3}},
        {"name": "stream", "vhost": "round", "durable": True, "auto_delete": False,
         "arguments": {"x-queue-type": "stream", "x-max-age": "1D"}}],
    "exchanges": [
        {"name": "x", "vhost": "round", "type": "topic", "durable": True, "auto_delete": False,
         "internal": False, "arguments": {"alternate-exchange": "y"}},
        {"name": "y", "vhost": "round", "type": "fanout", "durable": True, "auto_delete": False,
         "internal": True, "arguments": {}}],
    "bindings": [
        {"source": "x", "vhost": "round", "destination": "q", "destination_type": "queue",
         "routing_key": "a.#", "arguments": {}},
        {"source": "amq.headers", "vhost": "round", "destination": "q", "destination_type": "queue",
         "routing_key": "", "arguments": {"x-match": "all", "n": 1, "deep": {"list": [True, "t"]}}},
        {"source": "x", "vhost": "round", "destination": "y", "destination_type": "exchange",
         "routing_key": "b", "arguments": {}}],
}


def in_order(row):
    return json.dumps(row, sort_keys=True)


def contents(definitions):
    """What belongs to this test, in an order."""
    def is_ours(row):
        return "round" in (row.get("vhost"), row.get("name")) or "rounder" in row.get("name", "")

    def plain(key, row):
        # Newer files say more about a vhost than 3.10 knows.
        return {"name": row["name"]} if key == "vhosts" else row

    return {
        key: sorted((plain(key, row) for row in definitions.get(key, []) if is_ours(row)), key=in_order)
        for key in VHOST
    }


def remove(broker):
    for path in ("/vhosts/round", "/users/rounder"):
        broker("DELETE", path)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    rabbitmq, warren = (Api(address) for address in sys.argv[1:])
    for broker in (rabbitmq, warren):
        remove(broker)
    rabbitmq("POST", "/definitions", VHOST)
    first = rabbitmq("GET", "/definitions")
    first["global_parameters"] = []
    warren("POST", "/definitions", first)
    second = warren("GET", "/definitions")
    remove(rabbitmq)
    second["global_parameters"] = []
    second["parameters"] = [row for row in second["parameters"] if row["component"] != "shovel"]
    rabbitmq("POST", "/definitions", second)
    third = rabbitmq("GET", "/definitions")
    outcome = 0
    for name, one, other in (
        ("into Warren", first, second),
        ("back into RabbitMQ", second, third),
        ("there and back", first, third),
    ):
        same = True
        for key, rows in contents(one).items():
            if rows != contents(other)[key]:
                same = False
                print(name, key, "\n   ", rows, "\n   ", contents(other)[key])
        print(name, "equal" if same else "DIFFERENT",
              {key: len(rows) for key, rows in contents(one).items()})
        outcome |= not same
    for broker in (rabbitmq, warren):
        remove(broker)
    sys.exit(outcome)


main()
