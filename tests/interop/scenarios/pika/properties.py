"""Every basic property and every kind of header value goes through unchanged, with pika."""

from datetime import datetime, timezone
from decimal import Decimal

import pika

from harness.cases import USER, case, equal, main
from harness.pika_client import collect, confirming, temporary_queue

WHEN = datetime(2024, 2, 29, 12, 30, 15, tzinfo=timezone.utc)

HEADERS = {
    "text": "grüße, 世界",
    "empty": "",
    "true": True,
    "false": False,
    "small": 7,
    "negative": -5,
    "below 32 bits": -(2**31),
    "over 32 bits": 2**40,
    "most negative": -(2**63),
    "largest": 2**63 - 1,
    "decimal": Decimal("12.34"),
    "none": None,
    "bytes": b"\x00\xff\xfe raw",
    "time": WHEN,
    "array": [1, -1, "two", True, None, ["nested", [2]], {"in": "array"}],
    "empty array": [],
    "table": {"level": 1, "table": {"level": 2, "array": [{"level": 3, "when": WHEN}]}},
    "empty table": {},
    "a key of exactly one hundred and twenty-eight characters".ljust(128, "."): 1,
}


def _without_zone(value):
    """pika gives timestamps back without their zone, which is UTC."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, dict):
        return {key: _without_zone(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_zone(item) for item in value]
    return value


def _sent_and_delivered(properties):
    with confirming() as channel:
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, b"body", properties)
        ((method, delivered, body),) = collect(channel, queue, 1, auto_ack=True)
        equal(body, b"body", "body")
        equal(method.routing_key, queue, "routing key")
        return delivered


@case
def all_fourteen_properties_round_trip():
    sent = pika.BasicProperties(
        content_type="application/json",
        content_encoding="gzip",
        headers={"h": "v"},
        delivery_mode=2,
        priority=9,
        correlation_id="correlation-1",
        reply_to="reply.queue",
        expiration="60000",
        message_id="message-1",
        timestamp=1709209815,
        type="order.created",
        user_id=USER,
        app_id="interop",
        cluster_id="reserved but transparent",
    )
    delivered = _sent_and_delivered(sent)
    equal(vars(delivered), vars(sent), "properties")


@case
def absent_properties_stay_absent():
    delivered = _sent_and_delivered(pika.BasicProperties())
    equal({k: v for k, v in vars(delivered).items() if v is not None}, {}, "properties")


@case
def zero_and_empty_properties_are_not_absent():
    sent = pika.BasicProperties(priority=0, timestamp=0, content_type="", correlation_id="", headers={})
    equal(vars(_sent_and_delivered(sent)), vars(sent), "properties")


@case
def header_values_of_every_kind_round_trip():
    delivered = _sent_and_delivered(pika.BasicProperties(headers=HEADERS))
    expected = _without_zone(HEADERS)
    got = _without_zone(delivered.headers)
    equal(sorted(got), sorted(expected), "header names")
    for name, value in expected.items():
        equal(got[name], value, f"header {name}")
        if isinstance(value, bool):
            equal(type(got[name]), bool, f"type of header {name}")


if __name__ == "__main__":
    main()
