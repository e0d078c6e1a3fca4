"""tx.select, tx.commit and tx.rollback, with pika."""

from pika import exceptions

from harness.cases import VHOST, case, equal, fresh, main
from harness.pika_client import confirming, connected, drain, temporary_queue, wait_for


@case
def publishes_appear_at_commit():
    with connected() as connection:
        channel = connection.channel()
        reader = connection.channel()
        queue = temporary_queue(channel)
        other = temporary_queue(channel)
        channel.tx_select()
        channel.basic_publish("", queue, b"1")
        channel.basic_publish("", other, b"2")
        # Answered after the publishes, as both came on this channel.
        equal(channel.queue_declare(queue, passive=True).method.message_count, 0, "before the commit")
        equal(drain(reader, other), [], "before the commit")
        channel.tx_commit()
        equal(drain(reader, queue), [b"1"], "after the commit")
        equal(drain(reader, other), [b"2"], "after the commit, other queue")


@case
def rollback_forgets_publishes():
    with connected() as connection:
        channel = connection.channel()
        queue = temporary_queue(channel)
        channel.tx_select()
        channel.basic_publish("", queue, b"forgotten")
        channel.tx_rollback()
        channel.basic_publish("", queue, b"kept")
        channel.tx_commit()
        equal(drain(connection.channel(), queue), [b"kept"], "queue")


@case
def acknowledgements_count_at_commit():
    with confirming() as publisher:
        queue = temporary_queue(publisher)
        for body in (b"1", b"2"):
            publisher.basic_publish("", queue, body)
        channel = publisher.connection.channel()
        channel.tx_select()
        first, _, _ = channel.basic_get(queue)
        channel.basic_ack(first.delivery_tag)
        channel.tx_rollback()
        # Rolled back, the message is unacknowledged as before and can be acknowledged again.
        equal(drain(publisher, queue), [b"2"], "the first is still out")
        channel.basic_ack(first.delivery_tag)
        channel.tx_commit()
        channel.close()
        equal(drain(publisher, queue), [], "acknowledged for good")


@case
def uncommitted_acknowledgement_is_lost_with_the_channel():
    with confirming() as publisher:
        queue = temporary_queue(publisher)
        publisher.basic_publish("", queue, b"1")
        channel = publisher.connection.channel()
        channel.tx_select()
        method, _, _ = channel.basic_get(queue)
        channel.basic_ack(method.delivery_tag)
        channel.close()
        got = []
        wait_for(lambda: got.extend(drain(publisher, queue)) or got, "the message to come back")
        equal(got, [b"1"], "comes back")


@case
def unroutable_mandatory_message_returns_at_commit():
    with connected() as connection:
        channel = connection.channel()
        returned = []
        channel.add_on_return_callback(lambda _, method, __, body: returned.append((method.reply_code, body)))
        channel.tx_select()
        channel.basic_publish("", fresh("nobody"), b"back", mandatory=True)
        channel.queue_declare("", exclusive=True)
        equal(returned, [], "before the commit")
        channel.tx_commit()
        connection.process_data_events(time_limit=0)
        equal(returned, [(312, b"back")], "with the commit")


@case
def missing_exchange_in_a_transaction_closes_the_channel():
    exchange = fresh("missing")
    with connected() as connection:
        channel = connection.channel()
        channel.tx_select()
        channel.basic_publish(exchange, "k", b"x")
        try:
            channel.tx_commit()
        except exceptions.ChannelClosedByBroker as error:
            text = f"NOT_FOUND - no exchange '{exchange}' in vhost '{VHOST}'"
            equal((error.reply_code, error.reply_text), (404, text), "refusal")
        else:
            raise AssertionError("committed")


if __name__ == "__main__":
    main()
