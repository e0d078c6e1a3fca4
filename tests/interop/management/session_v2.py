#!/usr/bin/env python3
"""One session of rabbitmqadmin v2 (rabbitmqadmin-ng, the one in Rust) against two brokers: exit codes and
what it prints must be equal.

    session_v2.py RABBITMQADMIN RABBITMQ WARREN     the program; host:port of two management APIs, guest/guest

Every line below is one command; `!` in front: it must fail on both. Node names, versions, hashes, times and
addresses are masked. What an older RabbitMQ cannot answer this program is listed with the reason.
"""

import difflib
import re
import shlex
import subprocess
import sys

COMMANDS = """
show overview
show churn
show endpoint
list nodes
list vhosts
declare vhost --name shop --description orders --default-queue-type classic
vhosts list
declare user --name ann --password secret --tags management
declare user --name bob --password-hash kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR --tags policymaker
users list
-V shop declare permissions --username ann --configure ^ann --write .* --read .*
-V shop declare permissions --username guest --configure .* --write .* --read .*
list permissions
users permissions
! -V nowhere declare permissions --username ann --configure .* --write .* --read .*
-V shop declare exchange --name orders --type topic --durable true
-V shop declare exchange --name all --type fanout --durable true
! -V shop declare exchange --name orders --type direct --durable true
-V shop exchanges list
-V shop declare queue --name jobs --type classic --durable true
-V shop declare queue --name short --type classic --durable true --arguments '{"x-max-length":3}'
-V shop declare queue --name quorum --type quorum --durable true
-V shop declare stream --name log --expiration 1D
! -V shop declare queue --name jobs --type classic --durable true --arguments '{"x-max-length":3}'
-V shop declare binding --source orders --destination-type queue --destination jobs --routing-key a.#
-V shop declare binding --source orders --destination-type queue --destination short --routing-key *.b
-V shop declare binding --source orders --destination-type exchange --destination all --routing-key x
! -V shop declare binding --source orders --destination-type queue --destination nobody --routing-key x
-V shop list bindings
-V shop publish message --exchange orders --routing-key a.b --payload hello
-V shop publish message --exchange orders --routing-key nowhere --payload lost
-V shop publish message --routing-key jobs --payload direct --properties '{"delivery_mode":2}'
! -V shop publish message --exchange nobody --routing-key x --payload no
-V shop get messages --queue jobs --count 1 --ack-mode ack_requeue_true
-V shop get messages --queue jobs --count 5 --ack-mode ack_requeue_false
-V shop get messages --queue short
! -V shop get messages --queue nobody
-V shop purge queue --name jobs
-V shop declare policy --name ttl --pattern ^jobs --apply-to queues --priority 3 --definition '{"message-ttl":60000}'
-V shop declare policy --name all --pattern .* --apply-to all --priority 1 --definition '{"max-length":100}'
! -V shop declare policy --name bad --pattern ^x --apply-to queues --priority 1 --definition '{"nonsense":1}'
-V shop policies list
-V shop policies list_matching_object --name jobs --type queues
-V shop policies list_conflicting_in
-V shop policies patch --name ttl --definition '{"max-length":7}'
-V shop policies update_definition --name ttl --definition-key max-length --new-value 9
-V shop policies delete_definition_keys --name ttl --definition-keys max-length
-V shop policies list_in
-V shop declare operator_policy --name bound --pattern .* --apply-to queues --priority 0 --definition '{"max-length":50}'
-V shop list operator_policies
-V shop declare vhost_limit --name max-queues --value 20
-V shop list vhost_limits
declare user_limit --user ann --name max-connections --value 5
list user_limits --user ann
! -V shop declare parameter --component nonsense --name x --value '{"a":1}'
list parameters
-V shop list queues
-V shop list channels
list connections
list consumers
list feature_flags
list deprecated_features
plugins list_all
definitions export --stdout
-V shop definitions export_from_vhost --stdout
health_check local_alarms
health_check cluster_wide_alarms
health_check node_is_quorum_critical
! health_check port_listener --port 1
health_check protocol_listener --protocol amqp
! health_check protocol_listener --protocol stomp
passwords salt_and_hash secret
vhosts enable_deletion_protection --name shop
vhosts disable_deletion_protection --name shop
auth_attempts stats --node NODE
-V shop delete binding --source orders --destination-type queue --destination jobs --routing-key a.#
-V shop delete policy --name ttl
-V shop delete operator_policy --name bound
-V shop delete vhost_limit --name max-queues
delete user_limit --user ann --name max-connections
-V shop delete permissions --username ann
-V shop delete exchange --name all
! -V shop delete exchange --name all
-V shop delete queue --name jobs
-V shop delete queue --name short
-V shop delete queue --name quorum
-V shop delete queue --name log
! -V shop delete queue --name log
-V shop list queues
delete vhost --name shop
! delete vhost --name shop
delete user --name ann
delete user --name bob
! delete user --name bob
list users
""".strip().splitlines()

# Where the two brokers may print something else, and why.
MAY_DIFFER = {
    "show overview": "versions, names of listeners and totals of what ran before",
    "show churn": "what ran before",
    "list nodes": "the operating system, not the broker",
    "list vhosts": "3.10 has no description, tags and protection to show",
    "vhosts list": "as above",
    "declare exchange": "3.10 counts its own",
    "list feature_flags": "each has its own",
    "list deprecated_features": "3.10 does not have them",
    "plugins list_all": "each has its own",
    "definitions export": "versions, and the feature flags of 4.x",
    "passwords salt_and_hash": "the salt",
    "auth_attempts stats": "what ran before",
    "vhosts enable_deletion_protection": "3.10 does not have it",
    "vhosts disable_deletion_protection": "3.10 does not have it",
    "shop list queues": "3.10 tells of policies and lengths some seconds later; memory is not kept apart",
    "list_conflicting_in": "asks for what 3.10 does not have",
}


def masked(text):
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    text = re.sub(r"[\w.-]+@[\w.-]+", "NODE", text)
    text = re.sub(r"127\.0\.0\.1:\d+|port \d{4,5}", "ADDRESS", text)
    text = re.sub(r"\b[A-Za-z0-9+/]{40,}={0,2}", "HASH", text)
    text = re.sub(r"\b\d+\.\d+\.\d+\b", "VERSION", text)
    text = re.sub(r"-{2,}", "--", text)
    return re.sub(r" +", " ", text)


def ask(program, address, words):
    host, port = address.split(":")
    command = [program, "--host", host, "--port", port, "--username", "guest", "--password", "guest",
               "--table-style", "ascii", *words]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    return done.returncode, masked(done.stdout), masked(done.stderr)


def reason(line):
    return next((why for start, why in MAY_DIFFER.items() if start in line), None)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, rabbitmq, warren = sys.argv[1:]
    counts = {"equal": 0, "listed": 0, "DIFFER": 0}
    for line in COMMANDS:
        fails = line.startswith("! ")
        line = line.removeprefix("! ")
        words = shlex.split(line)
        one, other = ask(program, rabbitmq, words), ask(program, warren, words)
        same = one[:2] == other[:2] and (one[0] != 0) == fails
        expected = (other[0] != 0) == fails
        outcome = "equal" if same else "listed" if reason(line) and expected else "DIFFER"
        counts[outcome] += 1
        print(f"{outcome:7}{line}" + (f"  ({reason(line)})" if outcome == "listed" else ""), flush=True)
        if outcome == "DIFFER":
            print(f"    exit {one[0]} and {other[0]}, expected {'a failure' if fails else '0'}")
            for row in difflib.unified_diff((one[1] + one[2]).splitlines(), (other[1] + other[2]).splitlines(),
                                            "RabbitMQ", "Warren", lineterm="", n=0):  # fmt: skip
                print("    " + row[:300])
    print(f"{len(COMMANDS)} commands: {counts['equal']} equal, {counts['listed']} listed, {counts['DIFFER']} different")
    sys.exit(counts["DIFFER"] > 0)


main()
