"""Codes and texts of refusals, which clients and frameworks compare word for word, with pika."""

import pika
from pika import exceptions, spec

from harness.cases import USER, VHOST, case, check, equal, fresh, main, one_of
from harness.pika_client import channel_error, connected, connection_error, temporary_queue


def _refused(action, code, text, **overrides):
    with connected(**overrides) as connection:
        equal(channel_error(connection, action), (code, text), "refusal")


@case
def missing_queue():
    queue = fresh("missing")
    text = f"NOT_FOUND - no queue '{queue}' in vhost '{VHOST}'"
    _refused(lambda c: c.queue_declare(queue, passive=True), 404, text)
    _refused(lambda c: c.basic_get(queue), 404, text)
    _refused(lambda c: c.basic_consume(queue, lambda *_: None), 404, text)
    _refused(lambda c: c.queue_purge(queue), 404, text)
    _refused(lambda c: c.queue_bind(queue, "amq.direct", "k"), 404, text)
    # A passive declaration takes the empty name as it is, not as the last declared queue.
    text = f"NOT_FOUND - no queue '' in vhost '{VHOST}'"
    _refused(lambda c: (temporary_queue(c), c.queue_declare("", passive=True)), 404, text)


@case
def missing_exchange():
    exchange = fresh("missing")
    text = f"NOT_FOUND - no exchange '{exchange}' in vhost '{VHOST}'"
    _refused(lambda c: c.exchange_declare(exchange, passive=True), 404, text)
    _refused(lambda c: c.basic_publish(exchange, "k", b""), 404, text)
    _refused(lambda c: c.queue_bind(temporary_queue(c), exchange, "k"), 404, text)
    _refused(lambda c: c.exchange_bind("amq.fanout", exchange, "k"), 404, text)
    _refused(lambda c: c.exchange_bind(exchange, "amq.fanout", "k"), 404, text)


@case
def deleting_or_unbinding_what_is_missing_is_fine():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.exchange_delete(fresh("missing"))
        channel.queue_unbind(queue, "amq.direct", "never bound")
        channel.basic_cancel("no such consumer")


@case
def no_queue_was_declared_before():
    _refused(lambda c: c.queue_purge(""), 404, "NOT_FOUND - no previously declared queue")


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
        "soon": 'no_integer,<<"soon">>',
        "-1": "value_negative,-1",
        "10s": 'leftover_string,<<"s">>',
    }.items():
        code, text = publish(value)
        equal(code, 406, f"code for {value}")
        check(text.startswith(f"PRECONDITION_FAILED - invalid expiration '{value}'"), text)


@case
def reserved_names():
    _refused(
        lambda c: c.queue_declare("amq.mine"),
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    )
    _refused(
        lambda c: c.exchange_declare("amq.mine", "direct"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    )


@case
def default_and_system_exchanges_are_fixed():
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    _refused(lambda c: c.queue_bind(temporary_queue(c), "", "k"), 403, text)
    _refused(lambda c: c.queue_unbind(temporary_queue(c), "", "k"), 403, text)
    _refused(lambda c: c.exchange_delete(""), 403, text)
    with connected() as connection:
        code, text = channel_error(connection, lambda c: c.exchange_delete("amq.direct"))
        equal(code, 403, "code for deleting amq.direct")
        check(text.startswith("ACCESS_REFUSED - "), text)


@case
def internal_exchange_takes_no_publishes():
    exchange = fresh("internal")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "fanout", internal=True)
        refused = channel_error(connection, lambda c: c.basic_publish(exchange, "", b""))
        channel.exchange_delete(exchange)
    text = f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '{VHOST}'"
    equal(refused, (403, text), "refusal")


@case
def exchange_in_use():
    exchange = fresh("in-use")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "fanout")
        channel.queue_bind(temporary_queue(channel), exchange)
        refused = channel_error(connection, lambda c: c.exchange_delete(exchange, if_unused=True))
        channel.exchange_delete(exchange)
    equal(refused, (406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '{VHOST}' in use"), "refusal")


@case
def queue_exclusively_consumed():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.basic_consume(queue, lambda *_: None, exclusive=True)
        refused = channel_error(connection, lambda c: c.basic_consume(queue, lambda *_: None))
    equal(refused, (403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{VHOST}' in exclusive use"), "refusal")


@case
def exclusive_consumer_of_a_consumed_queue():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.basic_consume(queue, lambda *_: None)
        refused = channel_error(connection, lambda c: c.basic_consume(queue, lambda *_: None, exclusive=True))
    equal(refused, (403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{VHOST}' in exclusive use"), "refusal")


@case
def unknown_delivery_tag():
    _refused(lambda c: c.basic_ack(99), 406, "PRECONDITION_FAILED - unknown delivery tag 99")
    _refused(lambda c: c.basic_ack(99, multiple=True), 406, "PRECONDITION_FAILED - unknown delivery tag 99")
    _refused(lambda c: c.basic_nack(7), 406, "PRECONDITION_FAILED - unknown delivery tag 7")
    _refused(lambda c: c.basic_reject(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@case
def delivery_tag_acknowledged_twice():
    def action(channel):
        queue = temporary_queue(channel)
        channel.basic_publish("", queue, b"x")
        method = None
        while method is None:
            method, _, _ = channel.basic_get(queue)
        channel.basic_ack(method.delivery_tag)
        channel.basic_ack(method.delivery_tag)

    _refused(action, 406, "PRECONDITION_FAILED - unknown delivery tag 1")


@case
def acknowledging_everything_when_there_is_nothing_is_fine():
    with connected() as connection:
        channel = connection.channel()
        channel.basic_ack(0, multiple=True)
        channel.exchange_declare("amq.direct", passive=True)


@case
def consumer_tag_used_twice():
    def action(connection):
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.basic_consume(queue, lambda *_: None, consumer_tag="twice")
        # pika itself refuses a tag it knows, so the method goes past its check.
        channel._impl._send_method(spec.Basic.Consume(queue=queue, consumer_tag="twice", no_ack=True))

    equal(connection_error(action), (530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"), "refusal")


@case
def user_id_of_somebody_else():
    _refused(
        lambda c: c.basic_publish("", "k", b"", pika.BasicProperties(user_id="mallory")),
        406,
        f"PRECONDITION_FAILED - user_id property set to 'mallory' but authenticated user was '{USER}'",
    )


@case
def unsupported_methods():
    def publish_immediate(connection):
        channel = connection.channel()
        channel._impl._send_method(
            spec.Basic.Publish(exchange="", routing_key="k", immediate=True), (pika.BasicProperties(), b"x")
        )

    equal(connection_error(publish_immediate), (540, "NOT_IMPLEMENTED - immediate=true"), "immediate")
    equal(
        connection_error(lambda c: c.channel().basic_qos(prefetch_size=5)),
        (540, "NOT_IMPLEMENTED - prefetch_size!=0 (5)"),
        "prefetch size",
    )
    equal(
        connection_error(lambda c: c.channel().basic_recover(requeue=False)),
        (540, "NOT_IMPLEMENTED - requeue=false"),
        "recover without requeue",
    )
    equal(
        connection_error(lambda c: c.channel().flow(False)), (540, "NOT_IMPLEMENTED - active=false"), "channel.flow"
    )


@case
def transactions_and_confirms_exclude_each_other():
    def confirm_then_tx(channel):
        channel.confirm_delivery()
        channel.tx_select()

    def tx_then_confirm(channel):
        channel.tx_select()
        channel.confirm_delivery()

    _refused(confirm_then_tx, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
    _refused(tx_then_confirm, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    _refused(lambda c: c.tx_commit(), 406, "PRECONDITION_FAILED - channel is not transactional")
    _refused(lambda c: c.tx_rollback(), 406, "PRECONDITION_FAILED - channel is not transactional")


@case
def unknown_exchange_type():
    # RabbitMQ up to 3.12 closes the connection (503), from 3.13 on the channel (406).
    kind = "x-nobody-has-this"
    with connected() as connection:
        channel = connection.channel()
        try:
            channel.exchange_declare(fresh("unknown"), kind)
        except (exceptions.ChannelClosedByBroker, exceptions.ConnectionClosedByBroker) as error:
            refused = (type(error).__name__, error.reply_code, error.reply_text)
        else:
            raise AssertionError("declared")
    one_of(
        refused,
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
    with connected() as connection:
        code, text = channel_error(
            connection,
            lambda c: c.queue_bind(temporary_queue(c), "amq.headers", "", arguments={"x-match": "some"}),
        )
    equal(code, 406, "code")
    check(text.startswith("PRECONDITION_FAILED - Invalid x-match field value"), text)


@case
def error_of_one_channel_leaves_the_others_alone():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        for _ in range(3):
            equal(channel_error(connection, lambda c: c.queue_declare(fresh("missing"), passive=True))[0], 404, "code")
        equal(channel.queue_declare(queue, passive=True).method.queue, queue, "the other channel works on")


if __name__ == "__main__":
    main()
