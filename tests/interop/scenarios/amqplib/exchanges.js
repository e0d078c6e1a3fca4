// Routing through each kind of exchange, with amqplib.
'use strict';

const { confirming, drain, equal, fresh, main, scenario, temporaryQueue } = require('../../harness/cases.js');

async function exchange(channel, kind, options = {}) {
  const name = fresh(kind);
  await channel.assertExchange(name, kind, { durable: false, autoDelete: true, ...options });
  return name;
}

async function bound(channel, source, keys, args) {
  const queue = await temporaryQueue(channel);
  for (const key of keys) await channel.bindQueue(queue, source, key, args);
  return queue;
}

scenario(async function default_exchange_routes_to_the_queue_of_that_name() {
  await confirming(async (channel, publish) => {
    const queue = await temporaryQueue(channel);
    await publish('', queue, 'for you');
    equal(await drain(channel, queue), ['for you'], 'queue');
  });
});

scenario(async function direct_routes_by_exact_key() {
  await confirming(async (channel, publish) => {
    const direct = await exchange(channel, 'direct');
    const red = await bound(channel, direct, ['red']);
    const both = await bound(channel, direct, ['red', 'blue']);
    for (const key of ['red', 'blue', 'Red', 'red.blue', '']) await publish(direct, key, key);
    equal(await drain(channel, red), ['red'], 'queue bound with red');
    equal(await drain(channel, both), ['red', 'blue'], 'queue bound with red and blue');
  });
});

scenario(async function fanout_ignores_the_key() {
  await confirming(async (channel, publish) => {
    const fanout = await exchange(channel, 'fanout');
    const queues = [await bound(channel, fanout, ['']), await bound(channel, fanout, ['a'])];
    const unbound = await temporaryQueue(channel);
    await publish(fanout, 'whatever', '1');
    for (const queue of queues) equal(await drain(channel, queue), ['1'], 'bound queue');
    equal(await drain(channel, unbound), [], 'unbound queue');
  });
});

scenario(async function topic_matches_words_and_wildcards() {
  const expected = {
    '*.orange.*': ['quick.orange.rabbit'],
    'lazy.#': ['lazy', 'lazy.brown.fox.jumps'],
    '#.fox.#': ['lazy.brown.fox.jumps', 'fox'],
    'a.#.b': ['a.b', 'a.x.y.b'],
    '*': ['lazy', 'fox'],
  };
  await confirming(async (channel, publish) => {
    const topic = await exchange(channel, 'topic');
    const queues = {};
    for (const pattern of Object.keys(expected)) queues[pattern] = await bound(channel, topic, [pattern]);
    for (const key of ['quick.orange.rabbit', 'lazy', 'lazy.brown.fox.jumps', 'fox', 'a.b', 'a.x.y.b', '']) {
      await publish(topic, key, key);
    }
    for (const [pattern, keys] of Object.entries(expected)) {
      equal(await drain(channel, queues[pattern]), keys, `keys matched by ${pattern}`);
    }
  });
});

async function headersExchange(match, expected) {
  await confirming(async (channel, publish) => {
    const headers = await exchange(channel, 'headers');
    const queue = await bound(channel, headers, [''], { ...match, format: 'pdf', pages: 3, signed: true });
    const messages = {
      all: { format: 'pdf', pages: 3, signed: true, more: 'x' },
      two: { format: 'pdf', pages: 3, signed: false },
      one: { signed: true },
      'wrong type': { pages: '3' },
      none: { format: 'zip' },
    };
    for (const [name, values] of Object.entries(messages)) await publish(headers, 'k', name, { headers: values });
    // The same number in another width is the same number.
    await publish(headers, 'k', 'wide', {
      headers: { format: 'pdf', pages: { '!': 'int64', value: 3 }, signed: true },
    });
    equal(await drain(channel, queue), expected, JSON.stringify(match));
  });
}

scenario(async function headers_all_wants_every_pair() {
  await headersExchange({ 'x-match': 'all' }, ['all', 'wide']);
  await headersExchange({}, ['all', 'wide']);
});

scenario(async function headers_any_wants_one_pair() {
  await headersExchange({ 'x-match': 'any' }, ['all', 'two', 'one', 'wide']);
});

scenario(async function exchange_to_exchange_binding_and_unbinding() {
  await confirming(async (channel, publish) => {
    const source = await exchange(channel, 'topic');
    const target = await exchange(channel, 'fanout', { autoDelete: false });
    const queue = await bound(channel, target, ['']);
    await channel.bindExchange(target, source, 'logs.*');
    await publish(source, 'logs.info', 'info');
    await publish(source, 'audit', 'not bound');
    equal(await drain(channel, queue), ['info'], 'bound');
    await channel.unbindExchange(target, source, 'logs.*');
    await publish(target, '', 'straight');
    equal(await drain(channel, queue), ['straight'], 'unbound');
    await channel.deleteExchange(target);
  });
});

scenario(async function alternate_exchange_takes_what_nothing_else_takes() {
  await confirming(async (channel, publish) => {
    const alternate = await exchange(channel, 'fanout');
    const unrouted = await bound(channel, alternate, ['']);
    const direct = await exchange(channel, 'direct', { alternateExchange: alternate });
    const known = await bound(channel, direct, ['known']);
    await publish(direct, 'known', '1');
    await publish(direct, 'unknown', '2');
    equal(await drain(channel, known), ['1'], 'bound queue');
    equal(await drain(channel, unrouted), ['2'], 'queue of the alternate exchange');
  });
});

main();
