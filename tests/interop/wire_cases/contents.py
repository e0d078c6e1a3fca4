"""Content headers and bodies out of place, cut off or oversized."""

import socket
import struct

from harness import wire
from harness.cases import case, equal, fresh
from harness.wire import frame, method, opened, publish, queue_declare
from wire_cases.answers import DROPPED, broker_lives, closes_with, ends_with_one_of


@case
def content_without_a_method():
    text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
    closes_with(wire.content_header(1, 1), 505, text)
    closes_with(frame(wire.BODY, 1, b"abc"), 505, text)
    # The same on a channel that was never opened.
    closes_with(wire.content_header(5, 1), 505, text)


@case
def something_else_instead_of_the_header():
    text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
    closes_with(publish(1, "x") + queue_declare(1, ""), 505, text, wire.BASIC_PUBLISH)
    closes_with(publish(1, "x") + frame(wire.BODY, 1, b"abc"), 505, text, wire.BASIC_PUBLISH)


@case
def header_of_another_class():
    text = "UNEXPECTED_FRAME - expected content header for class 60, got one for class 50 instead"
    closes_with(publish(1, "x") + wire.content_header(1, 2, class_id=50), 505, text, wire.BASIC_PUBLISH)


@case
def header_with_a_weight():
    text = "UNEXPECTED_FRAME - expected content header for class 60, got non content header frame instead"
    closes_with(publish(1, "x") + wire.content_header(1, 2, weight=7), 505, text, wire.BASIC_PUBLISH)


@case
def something_else_instead_of_the_body():
    text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
    begun = publish(1, "x") + wire.content_header(1, 5) + frame(wire.BODY, 1, b"abc")
    closes_with(begun + queue_declare(1, ""), 505, text, wire.BASIC_PUBLISH)


@case
def empty_body_frames_count_for_nothing():
    with opened() as connection:
        queue = fresh("empty-frames")
        connection.send(queue_declare(1, queue))
        connection.expect(wire.QUEUE_DECLARE_OK)
        parts = [frame(wire.BODY, 1, part) for part in (b"", b"ab", b"", b"c")]
        connection.send(publish(1, queue), wire.content_header(1, 3), *parts)
        connection.send(method(1, wire.BASIC_GET, b"\0\0" + wire.short(queue) + b"\x01"))
        connection.expect(wire.BASIC_GET_OK, 1)
        equal(connection.frame()[0], wire.HEADER, "frame behind get-ok")
        equal(connection.frame(), (wire.BODY, 1, b"abc"), "body")


@case
def properties_may_hold_any_octets():
    """A correlation id is often a number in binary."""
    correlation_id, headers = 0x0400, 0x2000
    for flags, properties in (
        (correlation_id, wire.short(b"\x00\xff\xfe\x80")),
        (headers, wire.table(("id", b"S", wire.long(b"\xff\xfe")), ("octets", b"x", wire.long(b"\x80")))),
    ):
        with opened() as connection:
            queue = fresh("octets")
            connection.send(queue_declare(1, queue))
            connection.expect(wire.QUEUE_DECLARE_OK)
            connection.send(publish(1, queue), wire.content_header(1, 0, flags, properties))
            connection.send(method(1, wire.BASIC_GET, b"\0\0" + wire.short(queue) + b"\x01"))
            connection.expect(wire.BASIC_GET_OK, 1)
            expected = struct.pack(">HHQH", 60, 0, 0, flags) + properties
            equal(connection.frame(), (wire.HEADER, 1, expected), "content header")


def _left_in(queue):
    with opened() as reader:
        reader.send(queue_declare(1, queue, bits=1))
        answer = reader.expect(wire.QUEUE_DECLARE_OK, 1)
        return struct.unpack(">I", answer[1 + len(queue) : 5 + len(queue)])[0]


def _never_routed(*sent):
    """Whatever becomes of the connection, nothing of this content may arrive."""
    queue = fresh("truncated")
    with opened() as owner:
        owner.send(queue_declare(1, queue, bits=0))
        owner.expect(wire.QUEUE_DECLARE_OK)
        with opened() as connection:
            connection.send(publish(1, queue), *sent)
            connection.socket.shutdown(socket.SHUT_WR)
            connection.rest()
        # The publisher's connection has ended, so nothing of it can arrive later.
        equal(_left_in(queue), 0, "messages")
        owner.send(method(1, (50, 40), b"\0\0" + wire.short(queue) + b"\0"))
        owner.expect((50, 41), 1)


@case
def publish_cut_off_by_the_end_of_the_connection():
    _never_routed()
    _never_routed(wire.content_header(1, 10))
    _never_routed(wire.content_header(1, 10), frame(wire.BODY, 1, b"abcd"))


@case
def publish_cut_off_by_closing_the_channel():
    close = method(1, wire.CHANNEL_CLOSE, struct.pack(">H", 200) + wire.short("bye") + b"\0\0\0\0")
    _never_routed(wire.content_header(1, 10), frame(wire.BODY, 1, b"abcd"), close)


@case
def publish_with_too_much_body():
    _never_routed(wire.content_header(1, 2), frame(wire.BODY, 1, b"abc"))
    broker_lives()


@case
def announced_gigantic_bodies_cost_nothing():
    for size in (2**40, 2**63 + 5):
        _never_routed(wire.content_header(1, size), frame(wire.BODY, 1, b"abc"))
    broker_lives()


@case
def unreadable_properties():
    taken = (DROPPED, 541, 501, 502)
    content_type, headers = 0x8000, 0x2000
    ends_with_one_of(publish(1, "x") + wire.content_header(1, 0, content_type, b"") + queue_declare(1, ""), taken)
    cut = struct.pack(">I", 1000) + b"abc"
    ends_with_one_of(publish(1, "x") + wire.content_header(1, 0, headers, cut) + queue_declare(1, ""), taken)
