"""TLS with real clients: pika here, amqplib, amqp091-go and lapin as programs of their own.

Starts a Warren of its own, with certificates made for the run. INTEROP_TLS=PORT:FOLDER names a broker
that runs already (without the reload), whose certificates are in FOLDER as `certificates.make` makes them.
"""

import atexit
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pika
from pika import exceptions

sys.path.insert(0, str(Path(__file__).resolve().parent))

import certificates  # noqa: E402
from harness.cases import Skipped, case, check, equal, main  # noqa: E402
from runner import warren  # noqa: E402

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("INTEROP_PEERS", ""))
# The certificate names the first and not the second; this machine answers to both.
HOST, OTHER_HOST = "127.0.0.1", "127.0.0.2"
USER = "CN=ann,O=Interop"

CONFIGURATION = """
[tls]
certificate = "{folder}/server.pem"
key = "{folder}/server.key"
ca = "{folder}/ca.pem"
verify = "peer"
[amqp]
tls_listen = ["127.0.0.1:{port}", "127.0.0.2:{port}"]
[management]
listen = []
[prometheus]
listen = []
[[users]]
name = "guest"
password = "guest"
tags = ["administrator"]
[[users]]
name = "CN=ann,O=Interop"
[[permissions]]
user = "guest"
vhost = "/"
configure = ".*"
write = ".*"
read = ".*"
[[permissions]]
user = "CN=ann,O=Interop"
vhost = "/"
configure = ".*"
write = ".*"
read = ".*"
"""


class Place:
    """A broker with TLS and the folder of its certificates."""

    def __init__(self):
        self.broker = None
        given = os.environ.get("INTEROP_TLS")
        if given:
            port, _, folder = given.partition(":")
            self.port, self.folder = int(port), Path(folder)
            return
        if os.environ.get("INTEROP_OWN_BROKER") != "1":
            raise Skipped("no broker with TLS: INTEROP_TLS=PORT:FOLDER names one")
        self._temporary = tempfile.TemporaryDirectory(prefix="warren-tls-")
        self.folder = Path(self._temporary.name)
        certificates.make(self.folder)
        self.port = warren.free_port()
        configuration = self.folder / "warren.toml"
        configuration.write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        self.broker = warren.start(configuration=configuration)
        atexit.register(self.broker.stop)


_place = None


def place():
    global _place
    if _place is None:
        _place = Place()
    return _place


def context(authority="ca", client=None):
    result = ssl.create_default_context(cafile=place().folder / f"{authority}.pem")
    if client:
        result.load_cert_chain(place().folder / f"{client}.pem", place().folder / f"{client}.key")
    return result


def pika_peer(host, authority, client):
    credentials = pika.credentials.ExternalCredentials() if client else pika.PlainCredentials("guest", "guest")
    try:
        connection = pika.BlockingConnection(pika.ConnectionParameters(
            host, place().port, credentials=credentials, socket_timeout=10,
            ssl_options=pika.SSLOptions(context(authority, client), host)))  # fmt: skip
    except exceptions.AMQPError as error:
        return f"refused {error!r}"
    channel = connection.channel()
    channel.confirm_delivery()
    queue = channel.queue_declare("", exclusive=True).method.queue
    body = b"w" * 300_000
    channel.basic_publish("", queue, body)
    equal(channel.basic_get(queue, auto_ack=True)[2], body, "the message")
    connection.close()
    return "ok"


def program(*command):
    def run(host, authority, client):
        arguments = [str(place().port), host, str(place().folder), authority, client or "-"]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=25)
        check(done.stdout, f"the program says nothing: {done.stderr}")
        return done.stdout.strip()

    return run


def peers():
    yield "pika", pika_peer
    yield "amqplib", program("node", str(HERE / "peer.js"))
    for name in ("amqp091-go", "lapin-tls"):
        if (PEERS / "bin" / name).exists():
            yield name, program(str(PEERS / "bin" / name))
        else:
            print(f"{name} is not built", file=sys.stderr)


def each_is(expected, host=HOST, authority="ca", client=None):
    place()
    for name, talk in peers():
        answer = talk(host, authority, client)
        print(f"{name}: {answer[:200]}", file=sys.stderr)
        check(answer.split()[0] == expected, f"{name}: expected {expected}, got {answer}")


def answer_to(version):
    place()
    command = ["openssl", "s_client", "-connect", f"{HOST}:{place().port}", version,
               "-cipher", "DEFAULT@SECLEVEL=0"]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


@case
def a_password_behind_tls():
    each_is("ok")


@case
def external_with_a_client_certificate():
    each_is("ok", client="client")


@case
def a_name_that_the_certificate_does_not_have():
    if os.environ.get("INTEROP_TLS"):
        raise Skipped("that broker need not listen on 127.0.0.2")
    each_is("refused", host=OTHER_HOST)


@case
def an_authority_that_the_client_does_not_know():
    each_is("refused", authority="strangers")


@case
def a_client_certificate_of_an_authority_that_the_broker_does_not_know():
    each_is("refused", client="stranger")


@case
def tls_1_1_is_refused_and_1_2_is_not():
    code, text = answer_to("-tls1_1")
    check(code != 0 and "alert" in text, f"TLS 1.1: {code} {text[-500:]}")
    code, text = answer_to("-tls1_2")
    check(code == 0 and "TLSv1.2" in text, f"TLS 1.2: {code} {text[-500:]}")


@case
def plain_octets_are_no_way_in():
    with socket.create_connection((HOST, place().port), timeout=10) as plain:
        plain.sendall(b"AMQP\x00\x00\x09\x01")
        answer = b""
        try:
            while part := plain.recv(4096):
                answer += part
        except ConnectionResetError:
            pass
    check(not answer.startswith(b"\x01"), f"a frame came back: {answer!r}")


def shown():
    """The certificate that new connections are given."""
    with socket.create_connection((HOST, place().port), timeout=10) as plain:
        with context().wrap_socket(plain, server_hostname=HOST) as encrypted:
            return encrypted.getpeercert(binary_form=True)


def until(condition, what, limit=15):
    end = time.monotonic() + limit
    while not condition():
        check(time.monotonic() < end, what)
        time.sleep(0.05)


class Load(threading.Thread):
    """Publishes with confirms over one connection and takes everything back, until told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.count, self.error, self.stopping = 0, None, False

    def run(self):
        try:
            connection = pika.BlockingConnection(pika.ConnectionParameters(
                HOST, place().port, ssl_options=pika.SSLOptions(context(), HOST)))  # fmt: skip
            channel = connection.channel()
            channel.confirm_delivery()
            queue = channel.queue_declare("", exclusive=True).method.queue
            while not self.stopping:
                body = str(self.count).encode() * 1000
                channel.basic_publish("", queue, body)
                equal(channel.basic_get(queue, auto_ack=True)[2], body, "the message")
                self.count += 1
            connection.close()
        except Exception as error:
            self.error = error


@case
def certificates_are_reloaded_under_load():
    broker = place().broker
    if broker is None:
        raise Skipped("needs a broker of its own")
    loads = [Load() for _ in range(4)]
    for load in loads:
        load.start()
    until(lambda: all(load.count or load.error for load in loads), "the load runs")
    for round_number in range(3):
        before, counts = shown(), [load.count for load in loads]
        certificates.server(place().folder)
        broker.signal(signal.SIGHUP)
        until(lambda: shown() != before, f"round {round_number}: the new certificate")
        until(lambda: all(load.count > count or load.error for load, count in zip(loads, counts)),
              f"round {round_number}: the load goes on")  # fmt: skip
    good = shown()
    (place().folder / "server.pem").write_text("broken\n")
    broker.signal(signal.SIGHUP)
    until(lambda: broker.has_said("the certificate stays as it was"), "a line about the broken one")
    equal(shown(), good, "the certificate")
    for load in loads:
        load.stopping = True
        load.join(20)
    equal([str(load.error) for load in loads if load.error], [], "errors under load")
    print(f"round trips during the reloads: {[load.count for load in loads]}", file=sys.stderr)


main()
