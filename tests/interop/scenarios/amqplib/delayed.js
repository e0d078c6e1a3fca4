// The x-delayed-message exchange, with amqplib.
'use strict';

const {
  check, confirming, drain, equal, fresh, main, needsDelayed, temporaryQueue, waitFor,
} = require('../../harness/cases.js');

// How late a delivery may come on a busy machine. Too early is never allowed.
const LATENESS = 2000;

async function delayedExchange(channel, inner = 'direct') {
  const name = fresh('delayed');
  await channel.assertExchange(name, 'x-delayed-message', {
    durable: false, autoDelete: true, arguments: { 'x-delayed-type': inner },
  });
  return name;
}

needsDelayed(async function messages_come_by_due_time_and_not_early() {
  await confirming(async (channel, publish) => {
    const exchange = await delayedExchange(channel);
    const queue = await temporaryQueue(channel);
    await channel.bindQueue(queue, exchange, 'k');
    const sent = {};
    // Without waiting for each confirm, so that slow ones do not change the order of due times.
    await Promise.all([900, 300, 600].map((delay) => {
      sent[delay] = performance.now();
      return publish(exchange, 'k', String(delay), { headers: { 'x-delay': delay } });
    }));
    const got = [];
    await channel.consume(queue, (message) => got.push([message, performance.now()]), { noAck: true });
    await waitFor(() => got.length >= 3, 'three deliveries');
    equal(got.map(([message]) => message.content.toString()), ['300', '600', '900'], 'order');
    for (const [message, when] of got) {
      const delay = Number(message.content);
      const waited = when - sent[delay];
      check(waited >= delay - 1 && waited <= delay + LATENESS, `${delay} came after ${waited} ms`);
      equal(message.properties.headers['x-delay'], -delay, 'the delivered header is negative');
    }
  });
});

needsDelayed(async function without_a_positive_delay_routing_is_immediate() {
  await confirming(async (channel, publish) => {
    const exchange = await delayedExchange(channel, 'fanout');
    const queue = await temporaryQueue(channel);
    await channel.bindQueue(queue, exchange, '');
    for (const headers of [{}, { 'x-delay': 0 }, { 'x-delay': -5 }]) {
      await publish(exchange, '', 'now', { headers });
      equal(await drain(channel, queue), ['now'], `right after the confirm with ${JSON.stringify(headers)}`);
    }
  });
});

main();
