"""Methods out of place, unknown or cut, and channels never opened."""

import struct

from harness import wire
from harness.cases import case, equal, fresh
from harness.wire import frame, method, opened, publish, queue_declare
from wire_cases.answers import DROPPED, SYNTAX_REFUSALS, closes_with, ends_with_one_of


@case
def method_on_a_channel_never_opened():
    about = (50, 10)
    closes_with(queue_declare(5, ""), 504, "CHANNEL_ERROR - expected 'channel.open'", about)


@case
def method_on_a_closed_channel():
    with opened() as connection:
        connection.send(method(1, wire.CHANNEL_CLOSE, struct.pack(">H", 200) + wire.short("bye") + b"\0\0\0\0"))
        connection.expect(wire.CHANNEL_CLOSE_OK, 1)
        connection.send(queue_declare(1, ""))
        expected = (504, "CHANNEL_ERROR - expected 'channel.open'", wire.QUEUE_DECLARE)
        equal(connection.connection_close(), expected, "connection.close")


@case
def what_follows_an_error_is_ignored_until_close_ok():
    """A client may have sent more before it learns that its channel is closed."""
    missing = fresh("missing")
    with opened(channels=(1, 2)) as connection:
        queue = fresh("ignored")
        connection.send(
            queue_declare(1, missing, bits=1),
            queue_declare(1, queue),
            publish(1, "x"), wire.content_header(1, 3), frame(wire.BODY, 1, b"abc"),
            queue_declare(2, ""),
        )  # fmt: skip
        equal(connection.channel_close()[0], 404, "code")
        connection.expect(wire.QUEUE_DECLARE_OK, 2)
        connection.send(method(1, wire.CHANNEL_OPEN, b"\0"))
        connection.expect(wire.CHANNEL_OPEN_OK, 1)
        connection.send(queue_declare(1, queue, bits=1))
        equal(connection.channel_close()[0], 404, "the queue declared behind the error")


@case
def channel_opened_twice():
    closes_with(method(1, wire.CHANNEL_OPEN, b"\0"), 504, "CHANNEL_ERROR - second 'channel.open' seen", (20, 10))


@case
def channel_method_on_channel_zero():
    text = "CHANNEL_ERROR - unexpected method in connection state running"
    closes_with(queue_declare(0, ""), 504, text, (50, 10))
    closes_with(method(0, wire.CHANNEL_OPEN, b"\0"), 504, text, (20, 10))


@case
def connection_method_on_a_channel():
    sent = method(1, wire.CONNECTION_OPEN, wire.short("/") + b"\0\0")
    closes_with(sent, 503, "COMMAND_INVALID - unimplemented method", (10, 40))


@case
def connection_opened_twice():
    sent = method(0, wire.CONNECTION_OPEN, wire.short("/") + b"\0\0")
    closes_with(sent, 504, "CHANNEL_ERROR - unexpected method in connection state running", (10, 40))


@case
def method_only_a_server_sends():
    sent = method(1, wire.QUEUE_DECLARE_OK, wire.short("x") + b"\0" * 8)
    closes_with(sent, 503, "COMMAND_INVALID - unimplemented method", (50, 11))


@case
def unknown_class_or_method():
    for channel, identity in ((1, (60, 999)), (1, (999, 10)), (0, (999, 10)), (0, (10, 999))):
        ends_with_one_of(method(channel, identity), (DROPPED, *SYNTAX_REFUSALS))


@case
def arguments_too_short_or_too_long():
    closes_with(method(1, wire.QUEUE_DECLARE, b"\0\0"), 501, "FRAME_ERROR - cannot decode <<0,0>>", (50, 10))
    long_close = struct.pack(">H", 200) + wire.short("x") + b"\0\0\0\0more"
    text = "FRAME_ERROR - cannot decode <<0,200,1,120,0,0,0,0,109,111,114,101>>"
    closes_with(method(1, wire.CHANNEL_CLOSE, long_close), 501, text, (20, 40))


@case
def access_request_is_granted():
    with opened() as connection:
        connection.send(method(1, (30, 10), wire.short("/data") + b"\x1f"))
        equal(connection.expect((30, 11), 1), b"\x00\x01", "ticket")


@case
def no_wait_gets_no_answer():
    with opened() as connection:
        queue = fresh("no-wait")
        connection.send(queue_declare(1, queue, bits=0b10100), queue_declare(1, queue))
        # The one answer is to the second, and there is nothing behind it.
        connection.expect(wire.QUEUE_DECLARE_OK, 1)
        connection.send(method(1, wire.CONFIRM_SELECT, b"\0"))
        connection.expect(wire.CONFIRM_SELECT_OK, 1)


@case
def close_ok_that_nobody_asked_for():
    closes_with(method(1, wire.CHANNEL_CLOSE_OK), 503, "COMMAND_INVALID - unimplemented method", (20, 41))
    closes_with(method(7, wire.CHANNEL_CLOSE_OK), 504, "CHANNEL_ERROR - expected 'channel.open'", (20, 41))


@case
def channel_closed_by_both_sides_at_once():
    with opened() as connection:
        connection.send(queue_declare(1, fresh("missing"), bits=1))
        connection.expect(wire.CHANNEL_CLOSE, 1)
        close = struct.pack(">H", 200) + wire.short("bye") + b"\0\0\0\0"
        connection.send(method(1, wire.CHANNEL_CLOSE, close), method(1, wire.CHANNEL_CLOSE_OK))
        connection.expect(wire.CHANNEL_CLOSE_OK, 1)
        connection.send(method(1, wire.CHANNEL_OPEN, b"\0"))
        connection.expect(wire.CHANNEL_OPEN_OK, 1)


@case
def channel_opened_again_before_its_close_is_answered():
    with opened() as connection:
        connection.send(queue_declare(1, fresh("missing"), bits=1))
        connection.expect(wire.CHANNEL_CLOSE, 1)
        connection.send(method(1, wire.CHANNEL_OPEN, b"\0"))
        expected = (504, "CHANNEL_ERROR - second 'channel.open' seen", wire.CHANNEL_OPEN)
        equal(connection.connection_close(), expected, "connection.close")


@case
def one_channel_too_many_is_no_methods_fault():
    text = "NOT_ALLOWED - number of channels opened (1) has reached the negotiated channel_max (1)"
    closes_with(method(2, wire.CHANNEL_OPEN, b"\0"), 530, text, channel_max=1)


@case
def connection_ends_as_soon_as_its_close_is_answered():
    with opened() as connection:
        connection.send(method(1, wire.CHANNEL_OPEN, b"\0"))
        connection.expect(wire.CONNECTION_CLOSE, 0)
        # Far less than what a broker waits for a client that has yet to read its last word.
        connection.socket.settimeout(3)
        connection.send(method(0, wire.CONNECTION_CLOSE_OK))
        equal(connection.rest(), b"", "what comes behind close-ok")
