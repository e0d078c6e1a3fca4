// Deliveries and acknowledgements, with amqplib.
'use strict';

const {
  check, collect, confirming, connected, drain, equal, fresh, main, scenario, temporaryQueue, waitFor,
} = require('../../harness/cases.js');

async function filled(channel, publish, count) {
  const queue = await temporaryQueue(channel);
  for (let number = 1; number <= count; number += 1) await publish('', queue, String(number));
  return queue;
}

async function getAll(channel, queue) {
  const got = [];
  for (let message; (message = await channel.get(queue)); ) got.push(message);
  return got;
}

const seen = (messages) => messages.map(({ content, fields }) => [content.toString(), fields.redelivered]);

scenario(async function nack_with_requeue_returns_to_its_place_marked_redelivered() {
  await confirming(async (channel, publish) => {
    const queue = await filled(channel, publish, 4);
    const first = await getAll(channel, queue);
    equal(seen(first), [['1', false], ['2', false], ['3', false], ['4', false]], 'first time');
    channel.ack(first[3]);
    for (const position of [2, 0, 1]) channel.nack(first[position], false, true);
    await publish('', queue, '5');
    const second = await getAll(channel, queue);
    equal(seen(second), [['1', true], ['2', true], ['3', true], ['5', false]], 'second time');
    channel.nackAll(true);
    equal((await getAll(channel, queue)).length, 4, 'after nackAll');
    channel.ackAll();
    equal(await getAll(channel, queue), [], 'after ackAll');
  });
});

scenario(async function reject_without_requeue_dead_letters() {
  await confirming(async (channel, publish) => {
    const dead = await temporaryQueue(channel);
    const queue = await temporaryQueue(channel, {
      'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': dead,
    });
    await publish('', queue, 'unwanted');
    channel.reject(await channel.get(queue), false);
    const [message] = await collect(channel, dead, 1);
    equal(message.content.toString(), 'unwanted', 'body');
    const [death] = message.properties.headers['x-death'];
    equal([death.reason, death.queue, death.count], ['rejected', queue, 1], 'x-death');
    equal(death.time['!'], 'timestamp', 'type of its time');
  });
});

scenario(async function prefetch_bounds_what_is_unacknowledged() {
  await confirming(async (channel, publish, connection) => {
    const queue = await filled(channel, publish, 10);
    const consumer = await connection.createChannel();
    await consumer.prefetch(3);
    const got = [];
    await consumer.consume(queue, (message) => got.push(message));
    await waitFor(() => got.length >= 3, 'three deliveries');
    equal((await drain(channel, queue)).length, 7, 'left in the queue');
    await publish('', queue, 'more');
    consumer.ack(got[0]);
    await waitFor(() => got.length >= 4, 'the delivery an ack makes room for');
    equal(got.map((message) => message.content.toString()), ['1', '2', '3', 'more'], 'order');
  });
});

scenario(async function thousand_messages_are_shared_by_two_consumers() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const queue = await temporaryQueue(channel);
    const shares = [[], []];
    for (const share of shares) {
      const consumer = await connection.createChannel();
      await consumer.consume(queue, (message) => share.push(Number(message.content)), { noAck: true });
    }
    for (let number = 0; number < 1000; number += 1) channel.sendToQueue(queue, Buffer.from(String(number)));
    await waitFor(() => shares[0].length + shares[1].length >= 1000, 'all deliveries', 30000);
    // A consumer that is slow for a moment may be passed over, so halves need not be exact.
    const sizes = shares.map((share) => share.length);
    check(Math.min(...sizes) >= 250, `messages of each: ${sizes}`);
    const all = [...shares[0], ...shares[1]].sort((a, b) => a - b);
    equal(all, [...Array(1000).keys()], 'all messages, each once');
  });
});

scenario(async function cancel_is_told_when_the_queue_is_deleted() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const queue = await temporaryQueue(channel);
    const got = [];
    await channel.consume(queue, (message) => got.push(message));
    const other = await connection.createChannel();
    await other.deleteQueue(queue);
    await waitFor(() => got.length, 'basic.cancel');
    // amqplib tells a cancelled consumer by a null message.
    equal(got, [null], 'what the consumer was given');
    await channel.checkExchange('amq.direct');
  });
});

scenario(async function consumer_tags_are_given_by_the_server_or_the_client() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const queue = await temporaryQueue(channel);
    const { consumerTag } = await channel.consume(queue, () => {});
    check(consumerTag.startsWith('amq.ctag-'), `tag of the server: ${consumerTag}`);
    const named = await channel.consume(queue, () => {}, { consumerTag: 'mine' });
    equal(named.consumerTag, 'mine', 'tag of the client');
    equal((await channel.checkQueue(queue)).consumerCount, 2, 'consumers');
    await channel.cancel('mine');
    equal((await channel.checkQueue(queue)).consumerCount, 1, 'consumers left');
  });
});

scenario(async function get_tells_what_is_left_and_when_nothing_is() {
  await confirming(async (channel, publish) => {
    const queue = await filled(channel, publish, 2);
    const first = await channel.get(queue, { noAck: true });
    equal([first.fields.messageCount, first.fields.redelivered], [1, false], 'first');
    await channel.get(queue, { noAck: true });
    equal(await channel.get(queue), false, 'empty');
  });
});

scenario(async function recover_gives_the_messages_again() {
  await confirming(async (channel, publish) => {
    const queue = await filled(channel, publish, 2);
    await getAll(channel, queue);
    await channel.recover();
    equal(seen(await getAll(channel, queue)), [['1', true], ['2', true]], 'again');
  });
});

scenario(async function queue_life() {
  await confirming(async (channel, publish) => {
    const queue = fresh('life');
    const declared = await channel.assertQueue(queue, { durable: false });
    equal(declared, { queue, messageCount: 0, consumerCount: 0 }, 'declare-ok');
    for (let number = 0; number < 3; number += 1) await publish('', queue, 'x');
    equal((await channel.checkQueue(queue)).messageCount, 3, 'messages');
    equal(await channel.purgeQueue(queue), { messageCount: 3 }, 'purge-ok');
    await publish('', queue, 'x');
    equal(await channel.deleteQueue(queue), { messageCount: 1 }, 'delete-ok');
    equal(await channel.deleteQueue(queue), { messageCount: 0 }, 'delete-ok for a missing queue');
  });
});

scenario(async function auto_delete_queue_goes_with_its_last_consumer() {
  await confirming(async (channel, publish, connection) => {
    const queue = fresh('auto-delete');
    await channel.assertQueue(queue, { autoDelete: true, durable: false });
    const { consumerTag } = await channel.consume(queue, () => {});
    await channel.cancel(consumerTag);
    await waitFor(async () => {
      const probe = await connection.createChannel();
      probe.on('error', () => {});
      return probe.checkQueue(queue).then(() => probe.close().then(() => false), (error) => error.code === 404);
    }, 'the queue to go');
  });
});

main();
