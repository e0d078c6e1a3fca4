// Confirms, returns, large messages and properties, with amqplib.
'use strict';

const crypto = require('node:crypto');
const {
  check, collect, confirming, connected, drain, equal, fresh, main, scenario, temporaryQueue, user,
} = require('../../harness/cases.js');

scenario(async function confirms_come_for_many_publishes_in_flight() {
  await confirming(async (channel) => {
    const queue = await temporaryQueue(channel);
    const numbers = [...Array(1000).keys()].map(String);
    let confirmed = 0;
    for (const number of numbers) {
      channel.sendToQueue(queue, Buffer.from(number), { persistent: true }, (error) => {
        if (!error) confirmed += 1;
      });
    }
    await channel.waitForConfirms();
    equal(confirmed, 1000, 'confirmed');
    equal(await drain(channel, queue), numbers, 'order');
  });
});

scenario(async function unroutable_mandatory_message_comes_back_before_its_confirm() {
  await confirming(async (channel, publish) => {
    const key = fresh('nobody');
    const events = [];
    channel.on('return', (message) => events.push(message));
    await publish('amq.direct', key, 'come back', { mandatory: true, messageId: 'm1' });
    events.push('confirmed');
    equal(events.length, 2, 'events');
    const [{ fields, properties, content }, last] = events;
    equal(last, 'confirmed', 'the confirm is last');
    equal([fields.replyCode, fields.replyText], [312, 'NO_ROUTE'], 'reason');
    equal([fields.exchange, fields.routingKey], ['amq.direct', key], 'where it was published');
    equal([properties.messageId, content.toString()], ['m1', 'come back'], 'message');
  });
});

scenario(async function five_mebibytes_arrive_unchanged() {
  const body = crypto.randomBytes(5 * 1024 * 1024);
  await confirming(async (channel, publish) => {
    const queue = await temporaryQueue(channel);
    await publish('', queue, body);
    const [message] = await collect(channel, queue, 1, { noAck: true }, 30000);
    check(message.content.equals(body), `delivered body differs; ${message.content.length} bytes came`);
  });
});

scenario(async function full_queue_that_rejects_publishes_nacks() {
  await confirming(async (channel, publish) => {
    const queue = await temporaryQueue(channel, { 'x-max-length': 1, 'x-overflow': 'reject-publish' });
    await publish('', queue, 'fits');
    const refused = await publish('', queue, 'does not fit').then(() => false, () => true);
    equal(refused, true, 'second publish nacked');
    equal(await drain(channel, queue), ['fits'], 'queue');
  });
});

scenario(async function all_properties_round_trip() {
  await confirming(async (channel, publish) => {
    const queue = await temporaryQueue(channel);
    const sent = {
      contentType: 'application/json', contentEncoding: 'gzip', deliveryMode: 2, priority: 9,
      correlationId: 'c1', replyTo: 'reply', expiration: '60000', messageId: 'm1', timestamp: 1709209815,
      type: 'order.created', userId: user, appId: 'interop', clusterId: undefined,
    };
    await publish('', queue, 'x', sent);
    const [{ properties }] = await collect(channel, queue, 1);
    const { headers, ...rest } = properties;
    equal(rest, sent, 'properties');
    equal(headers, {}, 'headers');
  });
});

scenario(async function header_values_of_every_kind_round_trip() {
  const headers = {
    text: 'grüße, 世界', empty: '', yes: true, no: false, small: 7, negative: -5, 'below 32 bits': -(2 ** 31),
    'over 32 bits': 2 ** 40, 'below -32 bits': -(2 ** 40), half: -1234.5, huge: 1e300, none: null,
    bytes: Buffer.from([0, 255, 254]), array: [1, -1, 'two', true, null, ['nested', [2]], { in: 'array' }],
    'empty array': [], table: { level: 1, table: { level: 2, array: [{ level: 3 }] } }, 'empty table': {},
  };
  const typed = {
    time: { '!': 'timestamp', value: 1709209815 }, byte: { '!': 'int8', value: -7 },
    short: { '!': 'int16', value: -300 }, float: { '!': 'float', value: 0.5 },
    decimal: { '!': 'decimal', value: { digits: 1234, places: 2 } },
  };
  await confirming(async (channel, publish) => {
    const queue = await temporaryQueue(channel);
    await publish('', queue, 'x', { headers: { ...headers, ...typed } });
    const [{ properties }] = await collect(channel, queue, 1);
    const { time, byte, short, float, decimal, ...rest } = properties.headers;
    // amqplib reads byte arrays as Buffers and keeps the types it has no value for.
    equal(rest, headers, 'headers');
    equal(time, { '!': 'timestamp', value: 1709209815 }, 'timestamp');
    equal([byte, short, float], [-7, -300, 0.5], 'numbers of given width');
    equal(decimal, { '!': 'decimal', value: { digits: 1234, places: 2 } }, 'decimal');
  });
});

scenario(async function publish_to_a_missing_exchange_closes_only_its_channel() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const closed = new Promise((resolve) => channel.on('error', resolve));
    const missing = fresh('missing');
    channel.publish(missing, 'k', Buffer.from('x'));
    const error = await closed;
    equal(error.code, 404, 'code');
    check(error.message.includes(`NOT_FOUND - no exchange '${missing}' in vhost`), error.message);
    const other = await connection.createChannel();
    await other.checkExchange('amq.direct');
  });
});

main();
