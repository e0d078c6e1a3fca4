"""What the broker answers to bytes no client library sends, over a bare socket.

The expectations are what RabbitMQ 3.10.8 was seen to answer. Where it answers with
nothing but the end of the connection, or with an internal error, a broker may be
better: such cases name all answers they take, and these are the deliberate ones.

- Unknown classes and methods, and tables with unknown types or values cut short: 3.10
  drops the connection without a word. A connection.close with 501, 502, 503 or 540 is
  taken as well.
- A content header whose properties cannot be read: 3.10 says 541 without a text; 501
  and 502 are taken as well.
- More body than the header announced: 3.10 waits for ever. 501 or 505 are taken as well;
  in either case nothing may be routed.
- Limits out of range while tuning and an unknown mechanism: 3.10 drops the connection
  after three silent seconds. connection.close with 530 or 503 is taken as well.
- Tables nested thousands deep: 3.10 takes them. A refusal is taken as well, as long as
  the broker lives on.
- A frame may be up to eight bytes longer than agreed in 3.10. The case that wants a
  refusal goes further over the limit.
"""

import socket
import struct
import time

from harness import wire
from harness.cases import case, check, equal, fresh, main, one_of
from harness.wire import frame, method, opened, peer, publish, queue_declare

DROPPED = "dropped"
SYNTAX_REFUSALS = (501, 502, 503, 540)


def declares_a_queue(connection, channel=1):
    connection.send(queue_declare(channel, ""))
    connection.expect(wire.QUEUE_DECLARE_OK, channel)


def broker_lives():
    with opened() as other:
        declares_a_queue(other)
        other.close()


def end_of(connection):
    """The code of connection.close, or DROPPED when the connection just ends."""
    try:
        return connection.connection_close()[0]
    except wire.Closed:
        return DROPPED


def closes_with(sent, code, text, about=(0, 0), **options):
    with opened(**options) as connection:
        connection.send(sent)
        equal(connection.connection_close(), (code, text, about), "connection.close")
    broker_lives()


def ends_with_one_of(sent, codes, **options):
    with opened(**options) as connection:
        connection.send(sent)
        one_of(end_of(connection), codes, "end of the connection")
    broker_lives()


# --- before the connection is open ---


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
        equal(connection.connection_close()[:2], (403, text), "with the capability")
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


# --- frames ---


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


# --- channels and methods ---


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
        connection.send(queue_declare(1, queue, bits=0b11000), queue_declare(1, queue))
        # The one answer is to the second, and there is nothing behind it.
        connection.expect(wire.QUEUE_DECLARE_OK, 1)
        connection.send(method(1, wire.CONFIRM_SELECT, b"\0"))
        connection.expect(wire.CONFIRM_SELECT_OK, 1)


# --- content ---


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


# --- field tables ---


def _declared_with(arguments):
    return queue_declare(1, "", arguments=arguments)


@case
def table_longer_than_its_frame():
    sent = _declared_with(struct.pack(">I", 1000) + b"abc")
    text = "FRAME_ERROR - cannot decode <<0,0,0,8,0,0,3,232,97,98,99>>"
    closes_with(sent, 501, text, wire.QUEUE_DECLARE)


@case
def table_with_an_unknown_type_or_a_cut_value():
    for arguments in (
        wire.table(("a", b"?", b"xx")),
        wire.long(wire.short("a") + b"I\0"),
        wire.long(wire.short("a") + b"S" + struct.pack(">I", 9999) + b"abc"),
        wire.long(wire.short("a") + b"A" + struct.pack(">I", 9999) + b"abc"),
        wire.long(b"\xffshort"),
    ):
        ends_with_one_of(_declared_with(arguments), (DROPPED, 541, *SYNTAX_REFUSALS))


def _nested(depth):
    arguments = b"\0\0\0\0"
    for _ in range(depth):
        arguments = wire.table(("a", b"F", arguments))
    return arguments


@case
def tables_nested_a_little_are_fine():
    with opened() as connection:
        connection.send(_declared_with(_nested(30)))
        connection.expect(wire.QUEUE_DECLARE_OK, 1)


@case
def tables_nested_thousands_deep_do_no_harm():
    with opened() as connection:
        connection.send(_declared_with(_nested(10_000)))
        try:
            _, identity, _ = connection.method()
        except wire.Closed:
            identity = DROPPED
        taken = (wire.QUEUE_DECLARE_OK, wire.CONNECTION_CLOSE, wire.CHANNEL_CLOSE, DROPPED)
        one_of(identity, taken, "answer")
    broker_lives()


@case
def arrays_nested_thousands_deep_do_no_harm():
    value = b""
    for _ in range(10_000):
        value = b"A" + wire.long(value)
    with opened() as connection:
        headers = wire.long(wire.short("a") + value)
        connection.send(publish(1, fresh("nobody")), wire.content_header(1, 0, 0x2000, headers))
        connection.send(queue_declare(1, ""))
        try:
            _, identity, _ = connection.method()
        except wire.Closed:
            identity = DROPPED
        taken = (wire.QUEUE_DECLARE_OK, wire.CONNECTION_CLOSE, wire.CHANNEL_CLOSE, DROPPED)
        one_of(identity, taken, "answer")
    broker_lives()


@case
def every_header_type_is_passed_on_byte_for_byte():
    fields = wire.table(
        ("bool", b"t", b"\x01"),
        ("int8", b"b", b"\xff"),
        ("uint8", b"B", b"\xff"),
        ("int16", b"s", b"\x80\x00"),
        ("uint16", b"u", b"\xff\xfe"),
        ("int32", b"I", b"\x80\x00\x00\x00"),
        ("uint32", b"i", b"\xff\xff\xff\xff"),
        ("int64", b"l", b"\x80" + b"\0" * 7),
        ("float", b"f", struct.pack(">f", -1.5)),
        ("double", b"d", struct.pack(">d", 1e300)),
        ("decimal", b"D", b"\x02" + struct.pack(">I", 1234)),
        ("text", b"S", wire.long("grüße")),
        ("no utf-8", b"S", wire.long(b"\xff\x00\xfe")),
        ("bytes", b"x", wire.long(b"\x00\x01")),
        ("array", b"A", wire.long(b"I\0\0\0\x01" + b"S" + wire.long("a") + b"V")),
        ("time", b"T", struct.pack(">Q", 1709209815)),
        ("table", b"F", wire.table(("in", b"V", b""))),
        ("void", b"V", b""),
        ("", b"t", b"\x00"),
    )
    with opened() as connection:
        queue = fresh("header-types")
        connection.send(queue_declare(1, queue))
        connection.expect(wire.QUEUE_DECLARE_OK)
        connection.send(publish(1, queue), wire.content_header(1, 0, 0x2000, fields))
        connection.send(method(1, wire.BASIC_GET, b"\0\0" + wire.short(queue) + b"\x01"))
        connection.expect(wire.BASIC_GET_OK, 1)
        _, _, payload = connection.frame()
        equal(payload, struct.pack(">HHQH", 60, 0, 0, 0x2000) + fields, "content header")


# --- heartbeats ---


@case
def heartbeats_come_twice_per_interval_and_silence_ends_it():
    with opened(heartbeat=1) as connection:
        begin = time.monotonic()
        beats = 0
        try:
            while True:
                kind, channel, payload = connection.frame()
                if kind == wire.METHOD:
                    # A broker may say goodbye before it drops the connection.
                    break
                equal((kind, channel, payload), (wire.HEARTBEAT, 0, b""), "frame")
                beats += 1
        except wire.Closed:
            pass
        took = time.monotonic() - begin
        check(1.5 <= took <= 5, f"a silent client was kept for {took:.1f} s at a heartbeat of 1 s")
        check(beats >= 2, f"{beats} heartbeats came in {took:.1f} s")


@case
def any_traffic_counts_as_a_heartbeat():
    with opened(heartbeat=1) as connection:
        end = time.monotonic() + 4
        while time.monotonic() < end:
            # Only whole methods, no heartbeat frame among them.
            declares_a_queue(connection)
            time.sleep(0.3)
        connection.close()


if __name__ == "__main__":
    main()
