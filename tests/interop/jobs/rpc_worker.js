// A worker that answers requests on a queue: `rpc_worker.js QUEUE`. To `{"square": n}` it answers n * n
// under the request's correlation id, wherever its reply-to points.
'use strict';

const amqp = require('amqplib');

async function run(queue) {
  const parsed = new URL(process.env.AMQP_URL);
  const connection = await amqp.connect({
    hostname: parsed.hostname,
    port: Number(parsed.port) || 5672,
    username: decodeURIComponent(parsed.username) || 'guest',
    password: decodeURIComponent(parsed.password) || 'guest',
    vhost: decodeURIComponent(parsed.pathname.slice(1)) || '/',
  });
  const channel = await connection.createChannel();
  // A reply that nobody waits for any more comes back, and is told.
  channel.on('return', (message) => console.log(`returned ${message.properties.correlationId}`));
  await channel.prefetch(10);
  await channel.consume(queue, (message) => {
    const { square, hold } = JSON.parse(message.content.toString());
    if (hold) console.log(`holding ${message.properties.replyTo}`);
    const answer = () => {
      channel.sendToQueue(message.properties.replyTo, Buffer.from(JSON.stringify({ result: square * square })), {
        correlationId: message.properties.correlationId,
        mandatory: true,
      });
      channel.ack(message);
    };
    if (hold) process.stdin.once('data', answer);
    else answer();
  });
  process.once('SIGTERM', async () => {
    await connection.close();
    process.exit(0);
  });
  console.log('waiting');
}

run(process.argv[2]).catch((error) => {
  console.error(error);
  process.exit(1);
});
