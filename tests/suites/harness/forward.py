"""Makes the broker answer on 127.0.0.1:5672 too, for suites that know no other address."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

WELL_KNOWN = ("127.0.0.1", 5672)


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
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(WELL_KNOWN)
    except OSError as error:
        raise SystemExit(f"something else listens on port 5672, which some suites need: {error}") from None
    listener.listen(64)
    threading.Thread(target=_serve, args=(listener, address), daemon=True).start()
    try:
        yield
    finally:
        listener.close()
