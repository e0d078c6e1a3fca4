// One TLS connection with amqplib: PORT HOST CERTIFICATES AUTHORITY CLIENT (a name, or -).
// Prints `ok`, or `refused` and why.
'use strict';

const { readFileSync } = require('node:fs');
const amqp = require('amqplib');

const [port, host, folder, authority, client] = process.argv.slice(2);

async function main() {
  const options = { ca: [readFileSync(`${folder}/${authority}.pem`)], timeout: 10000 };
  let user = 'guest:guest@';
  if (client !== '-') {
    options.cert = readFileSync(`${folder}/${client}.pem`);
    options.key = readFileSync(`${folder}/${client}.key`);
    options.credentials = amqp.credentials.external();
    user = '';
  }
  const connection = await amqp.connect(`amqps://${user}${host}:${port}/%2f`, options);
  const channel = await connection.createConfirmChannel();
  const { queue } = await channel.assertQueue('', { exclusive: true });
  const body = Buffer.alloc(300000, 'w');
  channel.sendToQueue(queue, body);
  await channel.waitForConfirms();
  const message = await channel.get(queue, { noAck: true });
  if (!message || !message.content.equals(body)) throw new Error('the message came back different');
  await connection.close();
  console.log('ok');
}

main().catch((error) => {
  console.log(`refused ${error.code || ''} ${error.message}`);
});
