"""Makes the broker answer on port 5672 of this machine too, for suites that know no other address."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

WELL_KNOWN = ("127.0.0.1", 5672)
# amqplib connects to it once.
WELL_KNOWN_IPV6 = ("::1", 5672)


def _copy(source, target):
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    # Each direction ends by itself: a client may half-close and still read the answer.
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _serve(listener, address):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        try:
            broker = socket.create_connection(address)
        except OSError:
            client.close()
            continue
        for end in (client, broker):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pair in ((client, broker), (broker, client)):
            threading.Thread(target=_copy, args=pair, daemon=True).start()


@contextlib.contextmanager
def well_known_port(url):
    parts = urlsplit(url)
    address = (parts.hostname, parts.port or 5672)
    if address[1] == WELL_KNOWN[1]:
        yield
        return
    try:
        listener = socket.create_server(WELL_KNOWN, backlog=64)
    except OSError as error:
        raise SystemExit(f"something else listens on port 5672, which some suites need: {error}") from None
    listeners = [listener]
    # A machine may have no IPv6.
    with contextlib.suppress(OSError):
        listeners.append(socket.create_server(WELL_KNOWN_IPV6, family=socket.AF_INET6, backlog=64))
    for one in listeners:
        threading.Thread(target=_serve, args=(one, address), daemon=True).start()
    try:
        yield
    finally:
        for one in listeners:
            one.close()
