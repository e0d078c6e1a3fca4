// Connecting, staying connected and being refused, with amqplib.
'use strict';

const {
  address, amqp, channelError, check, collect, confirming, connected, equal, fresh, main, open, pause, refusal, scenario,
  temporaryQueue, vhost,
} = require('../../harness/cases.js');

scenario(async function missing_queue_and_exchange() {
  await connected(async (connection) => {
    const name = fresh('missing');
    const queue = `404 NOT_FOUND - no queue '${name}' in vhost '${vhost}'`;
    equal(await channelError(connection, (channel) => channel.checkQueue(name)), queue, 'checkQueue');
    equal(await channelError(connection, (channel) => channel.get(name)), queue, 'get');
    equal(await channelError(connection, (channel) => channel.consume(name, () => {})), queue, 'consume');
    const exchange = `404 NOT_FOUND - no exchange '${name}' in vhost '${vhost}'`;
    equal(await channelError(connection, (channel) => channel.checkExchange(name)), exchange, 'checkExchange');
  });
});

scenario(async function inequivalent_arguments() {
  await connected(async (connection) => {
    const name = fresh('inequivalent');
    const channel = await connection.createChannel();
    await channel.assertQueue(name, { durable: false });
    equal(
      await channelError(connection, (other) => other.assertQueue(name, { durable: true })),
      `406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${name}' in vhost '${vhost}':` +
        " received 'true' but current is 'false'",
      'durable',
    );
    equal(
      await channelError(connection, (other) => other.assertQueue(name, { durable: false, messageTtl: 1000 })),
      `406 PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue '${name}' in vhost '${vhost}':` +
        // amqplib sends a number in the narrowest type that holds it.
        " received the value '1000' of type 'short' but current is none",
      'argument',
    );
    await channel.deleteQueue(name);
  });
});

scenario(async function queue_of_another_connection() {
  await connected(async (owner) => {
    const queue = await temporaryQueue(await owner.createChannel());
    await connected(async (other) => {
      equal(
        await channelError(other, (channel) => channel.consume(queue, () => {})),
        `405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '${vhost}'.` +
          ' It could be originally declared on another connection or the exclusive property value does not match' +
          ' that of the original declaration.',
        'refusal',
      );
    });
  });
});

scenario(async function queue_exclusively_consumed() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const queue = await temporaryQueue(channel);
    await channel.consume(queue, () => {}, { exclusive: true });
    equal(
      await channelError(connection, (other) => other.consume(queue, () => {})),
      `403 ACCESS_REFUSED - queue '${queue}' in vhost '${vhost}' in exclusive use`,
      'refusal',
    );
  });
});

scenario(async function unknown_delivery_tag() {
  await connected(async (connection) => {
    equal(
      await channelError(connection, (channel) => channel.ack({ fields: { deliveryTag: 99 } })),
      '406 PRECONDITION_FAILED - unknown delivery tag 99',
      'refusal',
    );
  });
});

scenario(async function delete_if_unused_or_if_empty() {
  await confirming(async (channel, publish, connection) => {
    const queue = fresh('conditional');
    await channel.assertQueue(queue, { durable: false });
    await publish('', queue, 'x');
    equal(
      await channelError(connection, (other) => other.deleteQueue(queue, { ifEmpty: true })),
      `406 PRECONDITION_FAILED - queue '${queue}' in vhost '${vhost}' not empty`,
      'ifEmpty',
    );
    const { consumerTag } = await channel.consume(queue, () => {});
    equal(
      await channelError(connection, (other) => other.deleteQueue(queue, { ifUnused: true })),
      `406 PRECONDITION_FAILED - queue '${queue}' in vhost '${vhost}' in use`,
      'ifUnused',
    );
    await channel.cancel(consumerTag);
    // The consumer holds the message unacknowledged, and only what is ready counts.
    equal(await channel.deleteQueue(queue, { ifUnused: true }), { messageCount: 0 }, 'deleted when unused');
  });
});

scenario(async function reserved_names_and_the_default_exchange() {
  await connected(async (connection) => {
    equal(
      await channelError(connection, (channel) => channel.assertQueue('amq.mine')),
      "403 ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
      'queue name',
    );
    equal(
      await channelError(connection, (channel) => channel.assertExchange('amq.mine', 'direct')),
      "403 ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
      'exchange name',
    );
    equal(
      await channelError(connection, (channel) => channel.deleteExchange('')),
      '403 ACCESS_REFUSED - operation not permitted on the default exchange',
      'deleting the default exchange',
    );
  });
});

async function refusedConnection(overrides) {
  const connection = await open(overrides).catch((error) => error);
  if (connection instanceof Error) return connection.message;
  await connection.close();
  throw new Error('the broker let the client in');
}

scenario(async function wrong_password_and_virtual_host() {
  check(
    (await refusedConnection({ password: 'wrong' })).includes(
      'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.',
    ),
    'text for a wrong password',
  );
  const message = await refusedConnection({ vhost: 'no-such-vhost' });
  // amqplib does not pass on the reason, only that connection.close came where open-ok should have.
  check(message.includes('ConnectionClose'), `wrong vhost: ${message}`);
});

scenario(async function connection_error_is_told_with_its_code() {
  const connection = await open();
  const closed = new Promise((resolve) => connection.on('error', resolve));
  const channel = await connection.createChannel();
  channel.on('error', () => {});
  const queue = await temporaryQueue(channel);
  await channel.consume(queue, () => {}, { consumerTag: 'twice' });
  channel.consume(queue, () => {}, { consumerTag: 'twice' }).catch(() => {});
  equal(refusal(await closed), "530 NOT_ALLOWED - attempt to reuse consumer tag 'twice'", 'refusal');
});

scenario(async function idle_connection_survives_on_heartbeats() {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const lost = [];
    connection.on('error', (error) => lost.push(error));
    // Three times the interval, in which neither side has anything else to say.
    await pause(6000);
    equal(lost, [], 'errors');
    await channel.checkExchange('amq.direct');
  }, { heartbeat: 2 });
});

scenario(async function small_frames_are_enough() {
  const body = Buffer.alloc(100000, 'frames of every size ');
  await confirming(async (channel, publish, connection) => {
    equal(connection.connection.frameMax, 4096, 'frame_max agreed on');
    const queue = await temporaryQueue(channel);
    await publish('', queue, body);
    const [message] = await collect(channel, queue, 1);
    check(message.content.equals(body), 'body differs');
  }, { frameMax: 4096 });
});

scenario(async function what_the_server_says_of_itself() {
  await connected(async ({ connection }) => {
    equal(connection.serverProperties.product, 'RabbitMQ', 'product');
    equal(connection.serverProperties.capabilities['publisher_confirms'], true, 'publisher_confirms');
    equal(connection.serverProperties.capabilities['consumer_cancel_notify'], true, 'consumer_cancel_notify');
  });
});

scenario(async function url_with_its_options_is_understood() {
  const { hostname, port, username, password } = address;
  const name = encodeURIComponent(vhost);
  const login = `${encodeURIComponent(username)}:${encodeURIComponent(password)}`;
  const connection = await amqp.connect(
    `amqp://${login}@${hostname}:${port}/${name}?heartbeat=5&channelMax=10`,
    { clientProperties: { connection_name: 'interop' } },
  );
  equal(connection.connection.heartbeat, 5, 'heartbeat');
  equal(connection.connection.channelMax, 10, 'channel_max');
  await connection.close();
});

main();
