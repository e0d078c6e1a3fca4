"""What is said before the connection is open."""

import socket
import struct

from harness import wire
from harness.cases import case, check, equal, one_of
from harness.wire import frame, method, peer
from wire_cases.answers import DROPPED, broker_lives, end_of


@case
def wrong_protocol_header_is_answered_with_the_right_one():
    for header in (
        b"AMQP\x00\x01\x00\x00",  # AMQP 1.0
        b"AMQP\x03\x01\x00\x00",  # AMQP 1.0 with SASL
        b"AMQP\x00\x00\x09\x00",
        b"AMQP\x00\x00\x0a\x00",
        b"GET / HT",
    ):
        with peer() as connection:
            connection.send(header)
            equal(connection.rest(), b"AMQP\x00\x00\x09\x01", f"answer to {header!r}")
    broker_lives()


@case
def silent_client_is_dropped_within_the_handshake_timeout():
    with peer() as connection:
        equal(connection.rest(), b"", "what is said to a client that says nothing")


@case
def half_a_protocol_header_and_an_end_do_no_harm():
    with peer() as connection:
        connection.send(b"AMQP\x00")
        connection.socket.shutdown(socket.SHUT_WR)
        connection.rest()
    broker_lives()


@case
def start_proposes_mechanisms_and_capabilities():
    with peer() as connection:
        arguments = connection.start()
        equal(arguments[:2], b"\x00\x09", "version 0-9")
        size = struct.unpack(">I", arguments[2:6])[0]
        mechanisms, _, locales = arguments[6 + size + 4 :].partition(wire.long("en_US"))
        check(b"PLAIN" in mechanisms.split() and b"AMQPLAIN" in mechanisms.split(), f"mechanisms: {mechanisms!r}")
        equal(locales, b"", "locales")


@case
def tune_proposes_the_usual_limits():
    with peer() as connection:
        connection.start()
        connection.log_in()
        tune = struct.unpack(">HIH", connection.expect(wire.CONNECTION_TUNE))
        equal(tune, (2047, 131072, 60), "channel_max, frame_max, heartbeat")


@case
def limits_out_of_range_are_refused():
    for limits in ({"frame_max": 200_000}, {"frame_max": 1000}, {"channel_max": 5000}):
        with peer() as connection:
            connection.tuned(**limits)
            connection.send(method(0, wire.CONNECTION_OPEN, wire.short("/") + b"\0\0"))
            one_of(end_of(connection), (DROPPED, 530), f"end for {limits}")


@case
def unknown_mechanism_is_refused():
    with peer() as connection:
        connection.start()
        connection.log_in(mechanism="X-NOBODY")
        one_of(end_of(connection), (DROPPED, 503), "end of the connection")


@case
def wrong_password_is_told_only_to_clients_that_understand():
    understands = wire.table(
        ("capabilities", b"F", wire.table(("authentication_failure_close", b"t", b"\x01")))
    )
    with peer() as connection:
        connection.start()
        connection.log_in(understands, password="wrong")
        text = (
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN."
            " For details see the broker logfile."
        )
        equal(connection.connection_close(), (403, text, (0, 0)), "with the capability")
    with peer() as connection:
        connection.start()
        connection.log_in(password="wrong")
        equal(connection.rest(), b"", "without the capability")


@case
def methods_before_logging_in_are_refused():
    with peer() as connection:
        connection.start()
        connection.send(method(0, wire.CONNECTION_OPEN, wire.short("/") + b"\0\0"))
        one_of(end_of(connection), (DROPPED, 503, 504, 505), "end of the connection")
    broker_lives()


@case
def large_frame_before_logging_in_is_refused():
    # Nobody who has not logged in may make the broker collect much.
    with peer() as connection:
        connection.start()
        try:
            connection.send(frame(wire.METHOD, 0, b"a" * 1_000_000))
            end = end_of(connection)
        except OSError:
            end = DROPPED
        one_of(end, (DROPPED, 501), "end of the connection")
    broker_lives()


@case
def unknown_virtual_host():
    with peer() as connection:
        connection.tuned()
        connection.send(method(0, wire.CONNECTION_OPEN, wire.short("nobody's") + b"\0\0"))
        expected = (530, "NOT_ALLOWED - vhost nobody's not found", wire.CONNECTION_OPEN)
        equal(connection.connection_close(), expected, "connection.close")


@case
def channel_frames_before_the_connection_is_open():
    with peer() as connection:
        connection.tuned()
        connection.send(method(1, wire.CHANNEL_OPEN, b"\0"))
        text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
        equal(connection.connection_close(), (505, text, (0, 0)), "connection.close")
