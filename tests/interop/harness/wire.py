"""AMQP 0-9-1 frames by hand, for what no client library would send."""

import contextlib
import socket
import struct

from harness.cases import HOST, PASSWORD, PORT, USER, VHOST

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
END = b"\xce"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

CONNECTION_START, CONNECTION_START_OK = (10, 10), (10, 11)
CONNECTION_TUNE, CONNECTION_TUNE_OK = (10, 30), (10, 31)
CONNECTION_OPEN, CONNECTION_OPEN_OK = (10, 40), (10, 41)
CONNECTION_CLOSE, CONNECTION_CLOSE_OK = (10, 50), (10, 51)
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 40), (20, 41)
EXCHANGE_DECLARE, EXCHANGE_DECLARE_OK = (40, 10), (40, 11)
QUEUE_DECLARE, QUEUE_DECLARE_OK = (50, 10), (50, 11)
BASIC_PUBLISH = (60, 40)
BASIC_GET, BASIC_GET_OK, BASIC_GET_EMPTY = (60, 70), (60, 71), (60, 72)
CONFIRM_SELECT, CONFIRM_SELECT_OK = (85, 10), (85, 11)


def short(text):
    data = text.encode() if isinstance(text, str) else text
    return bytes([len(data)]) + data


def long(data):
    data = data.encode() if isinstance(data, str) else data
    return struct.pack(">I", len(data)) + data


def table(*fields):
    """Fields are (name, type letter, encoded value)."""
    return long(b"".join(short(name) + kind + value for name, kind, value in fields))


def frame(kind, channel, payload, end=END):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + end


def method(channel, identity, arguments=b""):
    return frame(METHOD, channel, struct.pack(">HH", *identity) + arguments)


def content_header(channel, size, flags=0, properties=b"", class_id=60, weight=0):
    return frame(HEADER, channel, struct.pack(">HHQH", class_id, weight, size, flags) + properties)


def publish(channel, key, exchange=""):
    return method(channel, BASIC_PUBLISH, b"\0\0" + short(exchange) + short(key) + b"\0")


def queue_declare(channel, name, bits=0b00100, arguments=b"\0\0\0\0"):
    """Exclusive, unless the bits say otherwise (passive, durable, exclusive, auto-delete, no-wait from the lowest)."""
    return method(channel, QUEUE_DECLARE, b"\0\0" + short(name) + bytes([bits]) + arguments)


class Closed(Exception):
    """The broker ended the TCP connection."""


class Peer:
    """One TCP connection; reads raise Closed at its end."""

    def __init__(self, limit=15):
        self.socket = socket.create_connection((HOST, PORT), timeout=limit)
        self.tune = None

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def exactly(self, count):
        data = b""
        while len(data) < count:
            try:
                more = self.socket.recv(count - len(data))
            except ConnectionResetError:
                more = b""
            if not more:
                raise Closed(data)
            data += more
        return data

    def rest(self):
        """All bytes up to the end of the connection."""
        try:
            data = b""
            while True:
                data += self.exactly(1)
        except Closed:
            return data

    def frame(self):
        kind, channel, size = struct.unpack(">BHI", self.exactly(7))
        payload = self.exactly(size)
        end = self.exactly(1)
        if end != END:
            raise AssertionError(f"the broker sent a frame ending in {end!r}")
        return kind, channel, payload

    def method(self):
        """The next method frame as (channel, identity, arguments); heartbeats are passed over."""
        while True:
            kind, channel, payload = self.frame()
            if kind == METHOD:
                return channel, struct.unpack(">HH", payload[:4]), payload[4:]
            if kind != HEARTBEAT:
                raise AssertionError(f"expected a method frame, got a frame of type {kind}")

    def expect(self, identity, channel=None):
        got_channel, got, arguments = self.method()
        if got in (CONNECTION_CLOSE, CHANNEL_CLOSE) and got != identity:
            raise AssertionError(f"expected method {identity}, got close {close_reason(arguments)}")
        if got != identity or (channel is not None and got_channel != channel):
            raise AssertionError(f"expected method {identity}, got {got} on channel {got_channel}")
        return arguments

    def start(self):
        self.send(PROTOCOL_HEADER)
        return self.expect(CONNECTION_START)

    def log_in(self, client_properties=b"\0\0\0\0", mechanism="PLAIN", password=PASSWORD):
        response = f"\0{USER}\0{password}"
        self.send(
            method(
                0, CONNECTION_START_OK, client_properties + short(mechanism) + long(response) + short("en_US")
            )
        )

    def tuned(self, channel_max=0, frame_max=0, heartbeat=0):
        """Logs in and answers the proposal; 0 leaves a limit as the broker proposed it."""
        self.start()
        self.log_in()
        proposed = struct.unpack(">HIH", self.expect(CONNECTION_TUNE))
        self.tune = (channel_max or proposed[0], frame_max or proposed[1], heartbeat)
        self.send(method(0, CONNECTION_TUNE_OK, struct.pack(">HIH", *self.tune)))

    def open(self, channels=(1,), vhost=VHOST, **limits):
        self.tuned(**limits)
        self.send(method(0, CONNECTION_OPEN, short(vhost) + b"\0\0"))
        self.expect(CONNECTION_OPEN_OK)
        for channel in channels:
            self.send(method(channel, CHANNEL_OPEN, b"\0"))
            self.expect(CHANNEL_OPEN_OK, channel)

    def connection_close(self):
        """Reason of the connection.close that comes next; answers it and waits for the end."""
        reason = close_reason(self.expect(CONNECTION_CLOSE, 0))
        with contextlib.suppress(OSError):
            self.send(method(0, CONNECTION_CLOSE_OK))
        self.rest()
        return reason

    def channel_close(self, channel=1):
        reason = close_reason(self.expect(CHANNEL_CLOSE, channel))
        self.send(method(channel, CHANNEL_CLOSE_OK))
        return reason

    def close(self):
        self.send(method(0, CONNECTION_CLOSE, struct.pack(">H", 200) + short("bye") + b"\0\0\0\0"))
        # Behind close-ok it is the client that ends the TCP connection.
        self.expect(CONNECTION_CLOSE_OK)
        self.socket.close()


def close_reason(arguments):
    """(code, text, method it complains about) of a close method."""
    code, size = struct.unpack(">HB", arguments[:3])
    text = arguments[3 : 3 + size].decode()
    return code, text, struct.unpack(">HH", arguments[3 + size : 7 + size])


@contextlib.contextmanager
def peer():
    result = Peer()
    try:
        yield result
    finally:
        result.socket.close()


@contextlib.contextmanager
def opened(**options):
    with peer() as result:
        result.open(**options)
        yield result
