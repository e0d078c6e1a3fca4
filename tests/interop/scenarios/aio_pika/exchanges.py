"""Routing through each kind of exchange, with aio-pika."""

from aio_pika import ExchangeType

from harness.aio_client import drain, opened, publish, temporary_queue
from harness.cases import case, equal, fresh, main


async def _exchange(channel, kind, **arguments):
    return await channel.declare_exchange(fresh(kind.value), kind, auto_delete=True, **arguments)


async def _bound(channel, exchange, *keys, arguments=None):
    queue = await temporary_queue(channel)
    for key in keys:
        await queue.bind(exchange, key, arguments=arguments)
    return queue


@case
async def default_exchange_routes_to_the_queue_of_that_name():
    async with opened() as channel:
        queue = await temporary_queue(channel)
        await publish(channel, None, queue.name, b"for you")
        equal(await drain(queue), [b"for you"], "queue")


@case
async def direct_routes_by_exact_key():
    async with opened() as channel:
        exchange = await _exchange(channel, ExchangeType.DIRECT)
        red = await _bound(channel, exchange, "red")
        both = await _bound(channel, exchange, "red", "blue")
        for key in ("red", "blue", "Red", "red.blue", ""):
            await publish(channel, exchange, key, key.encode())
        equal(await drain(red), [b"red"], "queue bound with red")
        equal(await drain(both), [b"red", b"blue"], "queue bound with red and blue")


@case
async def fanout_ignores_the_key():
    async with opened() as channel:
        exchange = await _exchange(channel, ExchangeType.FANOUT)
        queues = [await _bound(channel, exchange, key) for key in ("", "a")]
        unbound = await temporary_queue(channel)
        await publish(channel, exchange, "whatever", b"1")
        for queue in queues:
            equal(await drain(queue), [b"1"], "bound queue")
        equal(await drain(unbound), [], "unbound queue")


@case
async def topic_matches_words_and_wildcards():
    expected = {
        "*.orange.*": [b"quick.orange.rabbit"],
        "lazy.#": [b"lazy", b"lazy.brown.fox.jumps"],
        "#.fox.#": [b"lazy.brown.fox.jumps", b"fox"],
        "a.#.b": [b"a.b", b"a.x.y.b"],
        "*": [b"lazy", b"fox"],
        "": [b""],
    }
    async with opened() as channel:
        exchange = await _exchange(channel, ExchangeType.TOPIC)
        queues = {pattern: await _bound(channel, exchange, pattern) for pattern in expected}
        for key in ("quick.orange.rabbit", "lazy", "lazy.brown.fox.jumps", "fox", "a.b", "a.x.y.b", ""):
            await publish(channel, exchange, key, key.encode())
        for pattern, keys in expected.items():
            equal(await drain(queues[pattern]), keys, f"keys matched by {pattern!r}")


async def _headers_case(match, expected):
    messages = {
        b"all": {"format": "pdf", "pages": 3, "signed": True},
        b"two": {"format": "pdf", "pages": 3, "signed": False},
        b"one": {"signed": True},
        b"none": {"format": "zip", "pages": "3"},
        b"empty": {},
    }
    async with opened() as channel:
        exchange = await _exchange(channel, ExchangeType.HEADERS)
        arguments = {"x-match": match, "format": "pdf", "pages": 3, "signed": True}
        queue = await _bound(channel, exchange, "", arguments=arguments)
        for body, headers in messages.items():
            await publish(channel, exchange, "any", body, headers=headers)
        equal(await drain(queue), expected, f"x-match {match}")


@case
async def headers_all_wants_every_pair():
    await _headers_case("all", [b"all"])


@case
async def headers_any_wants_one_pair():
    await _headers_case("any", [b"all", b"two", b"one"])


@case
async def exchange_to_exchange_binding_and_unbinding():
    async with opened() as channel:
        source = await _exchange(channel, ExchangeType.TOPIC)
        target = await channel.declare_exchange(fresh("target"), ExchangeType.FANOUT)
        queue = await _bound(channel, target, "")
        await target.bind(source, "logs.*")
        await publish(channel, source, "logs.info", b"info")
        await publish(channel, source, "audit", b"not bound")
        equal(await drain(queue), [b"info"], "bound")
        await target.unbind(source, "logs.*")
        await publish(channel, target, "", b"straight")
        equal(await drain(queue), [b"straight"], "unbound")
        await target.delete()


@case
async def alternate_exchange_takes_what_nothing_else_takes():
    async with opened() as channel:
        alternate = await _exchange(channel, ExchangeType.FANOUT)
        unrouted = await _bound(channel, alternate, "")
        exchange = await _exchange(channel, ExchangeType.DIRECT, arguments={"alternate-exchange": alternate.name})
        known = await _bound(channel, exchange, "known")
        await publish(channel, exchange, "known", b"1")
        await publish(channel, exchange, "unknown", b"2")
        equal(await drain(known), [b"1"], "bound queue")
        equal(await drain(unrouted), [b"2"], "queue of the alternate exchange")


if __name__ == "__main__":
    main()
