"""What is said to arguments that are invalid or differ from those at first, with pika."""

import pika
from pika import exceptions

from harness.cases import VHOST, case, check, equal, fresh, main, one_of
from harness.pika_client import channel_error, connected, refused, temporary_queue


@case
def inequivalent_queue():
    with connected() as connection:
        channel = connection.channel()

        def redeclared(first, **second):
            queue = fresh("inequivalent")
            channel.queue_declare(queue, **first)
            try:
                code, text = channel_error(connection, lambda c: c.queue_declare(queue, **second))
            finally:
                channel.queue_delete(queue)
            equal(code, 406, "code")
            return text.replace(queue, "Q")

        start = "PRECONDITION_FAILED - inequivalent arg"
        place = f"for queue 'Q' in vhost '{VHOST}': received"
        equal(
            redeclared({"durable": True}, durable=False),
            f"{start} 'durable' {place} 'false' but current is 'true'",
            "durable",
        )
        equal(
            redeclared({"auto_delete": False}, auto_delete=True),
            f"{start} 'auto_delete' {place} 'true' but current is 'false'",
            "auto_delete",
        )
        equal(
            redeclared({}, arguments={"x-message-ttl": 1000}),
            f"{start} 'x-message-ttl' {place} the value '1000' of type 'signedint' but current is none",
            "argument added",
        )
        equal(
            redeclared({"arguments": {"x-message-ttl": 1000}}),
            f"{start} 'x-message-ttl' {place} none but current is the value '1000' of type 'signedint'",
            "argument left out",
        )
        equal(
            redeclared({"arguments": {"x-max-length": 1}}, arguments={"x-max-length": 2}),
            f"{start} 'x-max-length' {place} '2' but current is '1'",
            "another number",
        )
        equal(
            redeclared({"arguments": {"x-dead-letter-exchange": "a"}}, arguments={"x-dead-letter-exchange": "b"}),
            f"{start} 'x-dead-letter-exchange' {place} 'b' but current is 'a'",
            "another text",
        )


@case
def inequivalent_exchange():
    with connected() as connection:
        channel = connection.channel()

        def redeclared(first, **second):
            exchange = fresh("inequivalent")
            channel.exchange_declare(exchange, **first)
            try:
                code, text = channel_error(connection, lambda c: c.exchange_declare(exchange, **second))
            finally:
                channel.exchange_delete(exchange)
            equal(code, 406, "code")
            return text.replace(exchange, "X")

        start = "PRECONDITION_FAILED - inequivalent arg"
        place = f"for exchange 'X' in vhost '{VHOST}': received"
        equal(
            redeclared({"exchange_type": "direct"}, exchange_type="fanout"),
            f"{start} 'type' {place} 'fanout' but current is 'direct'",
            "type",
        )
        equal(redeclared({"durable": True}), f"{start} 'durable' {place} 'false' but current is 'true'", "durable")
        equal(redeclared({}, internal=True), f"{start} 'internal' {place} 'true' but current is 'false'", "internal")
        equal(
            redeclared({}, arguments={"alternate-exchange": "other"}),
            f"{start} 'alternate-exchange' {place} the value 'other' of type 'longstr' but current is none",
            "argument",
        )


@case
def invalid_queue_arguments():
    def declared(**arguments):
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        queue = fresh("invalid")
        with connected() as connection:
            code, text = channel_error(
                connection, lambda c: c.queue_declare(queue, exclusive=True, arguments=arguments)
            )
        equal(code, 406, f"code for {arguments}")
        check(text.startswith("PRECONDITION_FAILED - invalid arg '"), text)
        check(f"for queue '{queue}' in vhost '{VHOST}'" in text, text)
        return text.removeprefix("PRECONDITION_FAILED - invalid arg ").replace(queue, "Q")

    place = f"for queue 'Q' in vhost '{VHOST}'"
    equal(declared(x_max_length=-1), f"'x-max-length' {place}: {{value_negative,-1}}", "negative length")
    equal(declared(x_message_ttl=-1), f"'x-message-ttl' {place}: {{value_negative,-1}}", "negative TTL")
    equal(declared(x_overflow="nope"), f"'x-overflow' {place}: invalid_overflow", "unknown overflow")
    equal(
        declared(x_queue_type="nope"),
        f"'x-queue-type' {place}: \"unsupported queue type 'nope'\"",
        "unknown queue type",
    )
    equal(declared(x_expires=0), f"'x-expires' {place}: {{value_zero,0}}", "zero expiry")
    equal(
        declared(x_message_ttl="1000"), f"'x-message-ttl' {place}: \"expected integer, got longstr\"", "TTL as a string"
    )
    equal(
        declared(x_max_priority=256), f"'x-max-priority' {place}: {{max_value_exceeded,256}}", "priorities over 255"
    )
    equal(
        declared(x_dead_letter_routing_key="k"),
        f"'x-dead-letter-routing-key' {place}: routing_key_but_no_dlx_defined",
        "key without exchange",
    )


@case
def invalid_expiration():
    def publish(value):
        def action(channel):
            channel.basic_publish("", temporary_queue(channel), b"", pika.BasicProperties(expiration=value))

        with connected() as connection:
            return channel_error(connection, action)

    for value, reason in {
        "soon": "no_integer",
        "": "no_integer",
        "-1": "{value_negative,-1}",
        "10s": '{leftover_string,"s"}',
        "1.5": '{leftover_string,".5"}',
    }.items():
        equal(publish(value), (406, f"PRECONDITION_FAILED - invalid expiration '{value}': {reason}"), "refusal")


@case
def unknown_exchange_type():
    # RabbitMQ up to 3.12 closes the connection (503), from 3.13 on the channel (406).
    kind = "x-nobody-has-this"
    with connected() as connection:
        channel = connection.channel()
        try:
            channel.exchange_declare(fresh("unknown"), kind)
        except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
            answer = (type(error).__name__, error.reply_code, error.reply_text)
        else:
            raise AssertionError("declared")
    one_of(
        answer,
        [
            ("ChannelClosedByBroker", 406, f"PRECONDITION_FAILED - unknown exchange type '{kind}'"),
            ("ConnectionClosedByBroker", 503, f"COMMAND_INVALID - unknown exchange type '{kind}'"),
        ],
        "refusal",
    )


@case
def nonsense_exchange_arguments_are_kept_without_complaint():
    with connected() as connection:
        channel = connection.channel()
        exchange = fresh("nonsense")
        arguments = {"x-message-ttl": 5000, "x-delayed-message": True, "anything": {"at": ["all"]}}
        for _ in range(2):
            channel.exchange_declare(exchange, "topic", arguments=arguments)
        channel.exchange_delete(exchange)


@case
def x_match_must_be_known():
    def bind(value):
        return lambda c: c.queue_bind(temporary_queue(c), "amq.headers", "", arguments={"x-match": value})

    start = "PRECONDITION_FAILED - Invalid x-match field"
    text = f'{start} value <<"some">>; expected all, any, all-with-x, or any-with-x'
    refused(bind("some"), 406, text)
    refused(bind(1), 406, f"{start} type signedint (value 1); expected longstr")


@case
def cc_header_must_be_an_array():
    refused(
        lambda c: c.basic_publish("", "k", b"", pika.BasicProperties(headers={"CC": "x"})),
        406,
        'PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,"CC",longstr}',
    )


if __name__ == "__main__":
    main()
