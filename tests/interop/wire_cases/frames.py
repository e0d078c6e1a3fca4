"""Frames that are broken, too large, of no known type or on the wrong channel."""

import socket
import struct

from harness import wire
from harness.cases import case
from harness.wire import frame, opened, publish, queue_declare
from wire_cases.answers import broker_lives, closes_with, declares_a_queue


@case
def bad_frame_end():
    closes_with(
        frame(wire.METHOD, 1, b"\0\x14\0\x0a\0", end=b"\0"),
        501,
        "FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0}",
    )


@case
def bad_frame_end_of_a_body():
    closes_with(
        publish(1, "x") + wire.content_header(1, 3) + frame(wire.BODY, 1, b"abc", end=b"x"),
        501,
        'FRAME_ERROR - type 3, all octets = <<"abc">>: {invalid_frame_end_marker,120}',
    )


@case
def unknown_frame_type():
    for kind, channel in ((4, 1), (4, 0), (255, 1)):
        closes_with(
            frame(kind, channel, b"abc"), 501, f'FRAME_ERROR - type {kind}, all octets = <<"abc">>: unknown_frame'
        )


@case
def oversized_frame():
    closes_with(
        frame(wire.BODY, 1, b"a" * 200_000),
        501,
        "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,200000,131064}",
    )


@case
def frame_over_a_smaller_agreed_size():
    closes_with(
        frame(wire.METHOD, 1, b"a" * 5000),
        501,
        "FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,5000,4088}",
        frame_max=4096,
    )


@case
def frame_of_exactly_the_agreed_size_is_fine():
    with opened(frame_max=4096) as connection:
        body = b"a" * (4096 - 8)
        connection.send(publish(1, "x"), wire.content_header(1, len(body)), frame(wire.BODY, 1, body))
        declares_a_queue(connection)


@case
def frame_announced_but_never_sent_does_no_harm():
    with opened() as connection:
        connection.send(struct.pack(">BHI", wire.BODY, 1, 100_000) + b"only this")
        connection.socket.shutdown(socket.SHUT_WR)
        connection.rest()
    broker_lives()


@case
def heartbeat_on_a_channel():
    for channel in (1, 9):
        closes_with(frame(wire.HEARTBEAT, channel, b""), 505, "UNEXPECTED_FRAME - type 8, all octets = <<>>")


@case
def heartbeat_with_a_payload():
    closes_with(
        frame(wire.HEARTBEAT, 0, b"abc"), 501, 'FRAME_ERROR - type 8, all octets = <<"abc">>: unknown_frame'
    )


@case
def content_on_channel_zero():
    closes_with(frame(wire.BODY, 0, b"abc"), 505, 'UNEXPECTED_FRAME - type 3, all octets = <<"abc">>')


@case
def method_frame_without_a_method():
    closes_with(frame(wire.METHOD, 1, b""), 501, "FRAME_ERROR - type 1, all octets = <<>>: unknown_frame")


@case
def frames_one_byte_at_a_time():
    with opened() as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in queue_declare(1, ""):
            connection.send(bytes([byte]))
        connection.expect(wire.QUEUE_DECLARE_OK, 1)
