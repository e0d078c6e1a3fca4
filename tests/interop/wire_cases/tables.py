"""Field tables that are cut, unknown, very deep or of every type."""

import struct

from harness import wire
from harness.cases import case, equal, fresh, one_of
from harness.wire import method, opened, publish, queue_declare
from wire_cases.answers import DROPPED, SYNTAX_REFUSALS, broker_lives, closes_with, ends_with_one_of


def _declared_with(arguments):
    return queue_declare(1, "", arguments=arguments)


@case
def table_longer_than_its_frame():
    sent = _declared_with(struct.pack(">I", 1000) + b"abc")
    text = "FRAME_ERROR - cannot decode <<0,0,0,4,0,0,3,232,97,98,99>>"
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
