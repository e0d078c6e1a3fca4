#!/usr/bin/env python3
"""One session of Debian's unmodified rabbitmqadmin against two brokers; what it prints must be equal.

    session.py RABBITMQ WARREN        host:port of the two management APIs, guest/guest

Every line below is one command. `!` in front: it must fail on both. Salted hashes, node names,
versions and times are masked, and nothing else. `~` in front: RabbitMQ counts some seconds later, so both
are asked until they say the same.
"""

import re
import shlex
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True

from api import LIMIT, Api  # noqa: E402

COMMANDS = """
list users name tags
declare user name=ann password=secret tags=management
declare user name=bob password=hush tags=policymaker,monitoring
list users name tags
declare vhost name=shop
list vhosts name
list vhosts name tracing
declare permission vhost=shop user=ann configure=.* write=.* read=.*
declare permission vhost=shop user=bob configure= write=^a read=.*
declare permission vhost=shop user=guest configure=.* write=.* read=.*
list permissions
! declare permission vhost=nowhere user=ann configure=.* write=.* read=.*
-V shop declare exchange name=orders type=topic durable=true
-V shop declare exchange name=all type=fanout durable=true internal=true
-V shop declare exchange name=late type=direct durable=false auto_delete=true
! -V shop declare exchange name=orders type=fanout durable=true
! -V shop declare exchange name=bad type=nothing
-V shop list exchanges name type durable auto_delete internal
-V shop declare queue name=jobs durable=true
-V shop declare queue name=short durable=true arguments={"x-max-length":3,"x-overflow":"reject-publish"}
-V shop declare queue name=quorum durable=true queue_type=quorum
-V shop declare queue name=brief durable=false auto_delete=true
! -V shop declare queue name=jobs durable=false auto_delete=true
-V shop list queues name durable auto_delete arguments
-V shop declare binding source=orders destination=jobs routing_key=a.#
-V shop declare binding source=orders destination=short routing_key=*.b
-V shop declare binding source=orders destination_type=exchange destination=all routing_key=x
-V shop declare binding source=all destination=quorum
! -V shop declare binding source=orders destination=missing routing_key=x
-V shop list bindings source destination destination_type routing_key properties_key
-V shop publish exchange=orders routing_key=a.b payload=hello
-V shop publish exchange=orders routing_key=a.c payload=world properties={"delivery_mode":2,"headers":{"n":1}}
-V shop publish exchange=orders routing_key=nowhere payload=lost
-V shop publish exchange=orders routing_key=x payload=round
-V shop publish routing_key=jobs payload=direct
! -V shop publish exchange=missing routing_key=x payload=no
-V shop get queue=jobs count=2
-V shop get queue=jobs count=1 ackmode=ack_requeue_false
-V shop get queue=jobs count=5 ackmode=ack_requeue_true
-V shop get queue=quorum count=1 ackmode=reject_requeue_true
-V shop get queue=quorum count=1 ackmode=ack_requeue_false encoding=base64
-V shop get queue=short count=1 ackmode=reject_requeue_false
-V shop get queue=short
! -V shop get queue=missing
-V shop purge queue name=jobs
-V shop get queue=jobs
-V shop declare policy name=ttl pattern=^jobs definition={"message-ttl":60000} apply-to=queues priority=3
-V shop declare policy name=dead pattern=^short definition={"dead-letter-exchange":"all"}
! -V shop declare policy name=bad pattern=^x definition={"unheard-of":1}
-V shop list policies
-V shop declare operator_policy name=bound pattern=.* definition={"max-length":1000} apply-to=queues
-V shop list operator_policies
declare vhost_limit vhost=shop name=max-queues value=20
list vhost_limits
-V shop show overview rabbitmq_version cluster_name
list nodes running
-V shop list consumers
-V shop list queues name type
~ -V shop list queues name node state
-V shop -d 3 list exchanges name type
list connections
list channels
-u ann -p secret list vhosts name
! -u ann -p wrong list vhosts name
! -u ann -p secret list users name
-V shop delete policy name=dead
-V shop delete operator_policy name=bound
delete vhost_limit vhost=shop name=max-queues
-V shop delete binding source=orders destination_type=queue destination=short properties_key=*.b
-V shop delete queue name=brief
! -V shop delete queue name=brief
-V shop delete exchange name=late
! -V shop delete exchange name=amq.topic
-V shop list bindings source destination routing_key
~ -V shop -f tsv list queues name messages
-V shop -f raw_json list exchanges name type
-V shop -f long list policies name priority
-V shop -f kvp list queues name durable
-V shop -f bash list queues
export /tmp/warren-session-definitions.json
import /tmp/warren-session-definitions.json
delete permission vhost=shop user=bob
list permissions
delete vhost name=shop
list vhosts name
delete user name=ann
delete user name=bob
list users name tags
"""

# What RabbitMQ 3.10 says and later versions do not.
OLD = {
    "*** invalid exchange type 'nothing'": "*** unknown exchange type 'nothing'",
}

MASKS = [
    (r"\b\d+\.\d+\.\d+\b", "VERSION"),
    (r"127\.0\.0\.1:\d+|localhost:\d+", "ADDRESS"),
    # What fills a column, and the columns of two brokers are as wide as what is in them.
    (r"-{2,}", "--"),
    (r" {2,}", " "),
]


def prepare(address):
    """The session begins with what every broker has, and on both with the same name."""
    api = Api(address)
    api("PUT", "/cluster-name", {"name": "session"})
    for path in ("/vhosts/shop", "/users/ann", "/users/bob"):
        api("DELETE", path)
    return api


def run(api, command):
    host, port = api.address.rsplit(":", 1)
    words = [TOOL, "-H", host, "-P", port, *shlex.split(command, posix=False)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, masked(done.stdout + done.stderr, api.node)


def outcomes(brokers, command, later):
    """What the command gives on each; with `later`, as soon as it is the same."""
    end = time.monotonic() + (LIMIT if later else 0)
    while True:
        found = [run(api, command) for api in brokers]
        if found[0] == found[1] or time.monotonic() >= end:
            return found
        time.sleep(0.5)


def masked(text, node):
    # How wide a column is is masked below, and with it how long a node's name is.
    text = text.replace(node, "NODE")
    for pattern, word in MASKS:
        text = re.sub(pattern, word, text)
    for old, new in OLD.items():
        text = text.replace(old, new)
    # Within a cell and at its end, whitespace says nothing.
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


TOOL = shutil.which("rabbitmqadmin") or sys.exit("rabbitmqadmin is not installed")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    brokers = [prepare(address) for address in sys.argv[1:]]
    commands = [line for line in COMMANDS.splitlines() if line.strip()]
    different = 0
    for command in commands:
        fails, later = command.startswith("! "), command.startswith("~ ")
        found = outcomes(brokers, command.lstrip("!~ "), later)
        texts = [text for _, text in found]
        as_wanted = all((code != 0) == fails for code, _ in found)
        if texts[0] == texts[1] and as_wanted:
            print("ok    ", command)
            continue
        different += 1
        print("DIFFER", command)
        for code, text in found:
            print(f"    [{code}]", text.replace("\n", "\n        "))
    print(f"{len(commands)} commands, {different} different")
    sys.exit(bool(different))


main()
