// A Node worker answers remote calls whose replies come directly, without a reply queue.
'use strict';

const path = require('node:path');
const { spawn } = require('node:child_process');
const { check, connected, equal, fresh, main, scenario, waitFor } = require('../harness/cases.js');

const REPLY_TO = 'amq.rabbitmq.reply-to';

// The worker as a process of its own, listening on a queue that goes with the job.
async function withWorker(job) {
  await connected(async (connection) => {
    const channel = await connection.createChannel();
    const queue = fresh('rpc');
    await channel.assertQueue(queue);
    const worker = spawn(process.execPath, [path.join(__dirname, 'rpc_worker.js'), queue], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = [];
    let rest = '';
    worker.stdout.on('data', (data) => {
      const parts = (rest + data).split('\n');
      rest = parts.pop();
      lines.push(...parts);
    });
    const ended = new Promise((resolve) => worker.once('exit', resolve));
    try {
      await waitFor(() => lines.includes('waiting'), 'the worker');
      await job({ queue, worker, lines });
      equal((await channel.checkQueue(queue)).messageCount, 0, 'requests left in the queue');
      worker.kill('SIGTERM');
      equal(await ended, 0, 'exit code of the worker');
    } finally {
      worker.kill('SIGKILL');
      await channel.deleteQueue(queue);
    }
  });
}

// One channel that asks; the replies are collected as they come.
async function caller(connection) {
  const channel = await connection.createChannel();
  const replies = [];
  await channel.consume(REPLY_TO, (message) => replies.push(message), { noAck: true });
  const ask = (queue, request, correlationId) =>
    channel.sendToQueue(queue, Buffer.from(JSON.stringify(request)), { replyTo: REPLY_TO, correlationId });
  return { channel, replies, ask };
}

const answers = (replies) =>
  Object.fromEntries(replies.map((one) => [one.properties.correlationId, JSON.parse(one.content.toString()).result]));

scenario(async function replies_match_their_requests() {
  await withWorker(async ({ queue }) => {
    await connected((first) =>
      connected(async (second) => {
        const callers = [await caller(first), await caller(first), await caller(second)];
        // The same ids from all callers: only the address in reply-to can tell them apart.
        const expected = callers.map((one, which) => {
          const wanted = {};
          for (let number = 0; number < 100; number++) {
            const square = which * 1000 + number;
            one.ask(queue, { square }, `call-${number}`);
            wanted[`call-${number}`] = square * square;
          }
          return wanted;
        });
        await waitFor(() => callers.every((one) => one.replies.length >= 100), 'all replies');
        callers.forEach((one, which) => {
          equal(one.replies.length, 100, `replies to caller ${which}`);
          equal(answers(one.replies), expected[which], `answers to caller ${which}`);
          for (const { fields } of one.replies) {
            equal([fields.exchange, fields.redelivered], ['', false], 'how a reply is delivered');
            check(fields.routingKey.startsWith(`${REPLY_TO}.`), `a routing key of its own, not ${fields.routingKey}`);
          }
        });
        const addresses = new Set(callers.map((one) => one.replies[0].fields.routingKey));
        equal(addresses.size, 3, 'reply addresses');
      })
    );
  });
});

scenario(async function replies_come_in_the_order_of_the_requests() {
  await withWorker(async ({ queue }) => {
    await connected(async (connection) => {
      const one = await caller(connection);
      const ids = Array.from({ length: 200 }, (_, number) => `call-${number}`);
      ids.forEach((id, square) => one.ask(queue, { square }, id));
      await waitFor(() => one.replies.length >= ids.length, 'all replies');
      equal(one.replies.map((reply) => reply.properties.correlationId), ids, 'order of the replies');
    });
  });
});

scenario(async function reply_to_a_caller_that_left_is_returned_and_the_worker_goes_on() {
  await withWorker(async ({ queue, worker, lines }) => {
    await connected(async (connection) => {
      const leaving = await caller(connection);
      leaving.ask(queue, { square: 2, hold: true }, 'too-late');
      await waitFor(() => lines.some((line) => line.startsWith('holding ')), 'the worker holding the request');
      const told = lines.find((line) => line.startsWith('holding ')).slice('holding '.length);
      check(told.startsWith(`${REPLY_TO}.`), `the worker sees an address of its own, not ${told}`);
      await leaving.channel.close();
      worker.stdin.write('answer\n');
      await waitFor(() => lines.includes('returned too-late'), 'the reply coming back to the worker');
      const other = await caller(connection);
      other.ask(queue, { square: 3 }, 'in-time');
      await waitFor(() => other.replies.length > 0, 'a reply to the next caller');
      equal(answers(other.replies), { 'in-time': 9 }, 'its answer');
      equal(leaving.replies, [], 'replies to the caller that left');
    });
  });
});

main();
