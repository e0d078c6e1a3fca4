"""How the wire cases look at the end of a connection, and that the broker outlives it."""

from harness import wire
from harness.cases import equal, one_of
from harness.wire import opened, queue_declare

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
