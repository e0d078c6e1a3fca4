"""Codes and texts of refusals, which clients and frameworks compare word for word, with pika."""

import pika
from pika import spec

from harness.cases import USER, VHOST, case, equal, fresh, main
from harness.pika_client import channel_error, connected, connection_error, refused, temporary_queue


@case
def missing_queue():
    queue = fresh("missing")
    text = f"NOT_FOUND - no queue '{queue}' in vhost '{VHOST}'"
    refused(lambda c: c.queue_declare(queue, passive=True), 404, text)
    refused(lambda c: c.basic_get(queue), 404, text)
    refused(lambda c: c.basic_consume(queue, lambda *_: None), 404, text)
    refused(lambda c: c.queue_purge(queue), 404, text)
    refused(lambda c: c.queue_bind(queue, "amq.direct", "k"), 404, text)
    # A passive declaration takes the empty name as it is, not as the last declared queue.
    text = f"NOT_FOUND - no queue '' in vhost '{VHOST}'"
    refused(lambda c: (temporary_queue(c), c.queue_declare("", passive=True)), 404, text)


@case
def missing_exchange():
    exchange = fresh("missing")
    text = f"NOT_FOUND - no exchange '{exchange}' in vhost '{VHOST}'"
    refused(lambda c: c.exchange_declare(exchange, passive=True), 404, text)
    refused(lambda c: c.basic_publish(exchange, "k", b""), 404, text)
    refused(lambda c: c.queue_bind(temporary_queue(c), exchange, "k"), 404, text)
    refused(lambda c: c.exchange_bind("amq.fanout", exchange, "k"), 404, text)
    refused(lambda c: c.exchange_bind(exchange, "amq.fanout", "k"), 404, text)


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
    refused(lambda c: c.queue_purge(""), 404, "NOT_FOUND - no previously declared queue")


@case
def reserved_names():
    refused(
        lambda c: c.queue_declare("amq.mine"),
        403,
        "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
    )
    refused(
        lambda c: c.exchange_declare("amq.mine", "direct"),
        403,
        "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
    )


@case
def default_and_system_exchanges_are_fixed():
    text = "ACCESS_REFUSED - operation not permitted on the default exchange"
    refused(lambda c: c.queue_bind(temporary_queue(c), "", "k"), 403, text)
    refused(lambda c: c.queue_unbind(temporary_queue(c), "", "k"), 403, text)
    refused(lambda c: c.exchange_delete(""), 403, text)
    refused(lambda c: c.exchange_declare("", "direct"), 403, text)
    text = f"ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '{VHOST}' not allowed"
    refused(lambda c: c.exchange_delete("amq.direct"), 403, text)


@case
def internal_exchange_takes_no_publishes():
    exchange = fresh("internal")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "fanout", internal=True)
        answer = channel_error(connection, lambda c: c.basic_publish(exchange, "", b""))
        channel.exchange_delete(exchange)
    text = f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '{VHOST}'"
    equal(answer, (403, text), "refusal")


@case
def exchange_in_use():
    exchange = fresh("in-use")
    with connected() as connection:
        channel = connection.channel()
        channel.exchange_declare(exchange, "fanout")
        channel.queue_bind(temporary_queue(channel), exchange)
        answer = channel_error(connection, lambda c: c.exchange_delete(exchange, if_unused=True))
        channel.exchange_delete(exchange)
    equal(answer, (406, f"PRECONDITION_FAILED - exchange '{exchange}' in vhost '{VHOST}' in use"), "refusal")


@case
def queue_exclusively_consumed():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.basic_consume(queue, lambda *_: None, exclusive=True)
        answer = channel_error(connection, lambda c: c.basic_consume(queue, lambda *_: None))
    equal(answer, (403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{VHOST}' in exclusive use"), "refusal")


@case
def exclusive_consumer_of_a_consumed_queue():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.basic_consume(queue, lambda *_: None)
        answer = channel_error(connection, lambda c: c.basic_consume(queue, lambda *_: None, exclusive=True))
    equal(answer, (403, f"ACCESS_REFUSED - queue '{queue}' in vhost '{VHOST}' in exclusive use"), "refusal")


@case
def unknown_delivery_tag():
    refused(lambda c: c.basic_ack(99), 406, "PRECONDITION_FAILED - unknown delivery tag 99")
    refused(lambda c: c.basic_ack(99, multiple=True), 406, "PRECONDITION_FAILED - unknown delivery tag 99")
    refused(lambda c: c.basic_nack(7), 406, "PRECONDITION_FAILED - unknown delivery tag 7")
    refused(lambda c: c.basic_reject(1), 406, "PRECONDITION_FAILED - unknown delivery tag 1")


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

    refused(action, 406, "PRECONDITION_FAILED - unknown delivery tag 1")


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
    refused(
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

    refused(confirm_then_tx, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode")
    refused(tx_then_confirm, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode")
    refused(lambda c: c.tx_commit(), 406, "PRECONDITION_FAILED - channel is not transactional")
    refused(lambda c: c.tx_rollback(), 406, "PRECONDITION_FAILED - channel is not transactional")


@case
def direct_reply_to_misused():
    pseudo = "amq.rabbitmq.reply-to"

    def consume(channel, acknowledging=False):
        channel.basic_consume(pseudo, lambda *_: None, auto_ack=not acknowledging)

    start = "PRECONDITION_FAILED - "
    refused(lambda c: consume(c, acknowledging=True), 406, f"{start}reply consumer cannot acknowledge")
    refused(lambda c: (consume(c), consume(c)), 406, f"{start}reply consumer already set")
    refused(
        lambda c: c.basic_publish("", "k", b"", pika.BasicProperties(reply_to=pseudo)),
        406,
        f"{start}fast reply consumer does not exist",
    )


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
