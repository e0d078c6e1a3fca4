// What every scenario file in Node shares: the same lines on stdout as cases.py, and
// how the scenarios connect, wait and look at errors.
'use strict';

const crypto = require('node:crypto');
const { isDeepStrictEqual, inspect } = require('node:util');
const amqp = require('amqplib');

const url = process.env.AMQP_URL || 'amqp://guest:guest@127.0.0.1:5672/';
const skipDelayed = process.env.INTEROP_SKIP_DELAYED === '1';
const parsed = new URL(url);
const vhost = decodeURIComponent(parsed.pathname.slice(1)) || '/';
const user = decodeURIComponent(parsed.username) || 'guest';

// amqplib takes the vhost of an object as it is, and of a URL with the path "/" as the empty name.
const address = {
  protocol: 'amqp',
  hostname: parsed.hostname,
  port: Number(parsed.port) || 5672,
  username: user,
  password: decodeURIComponent(parsed.password) || 'guest',
  vhost,
};

const cases = [];

// A case is an async function; its name is the case's.
function scenario(run, options = {}) {
  cases.push({ name: run.name, run, ...options });
}

function needsDelayed(run) {
  scenario(run, { needsDelayed: true });
}

function chosen(args) {
  if (args[0] === '--after') return cases.slice(cases.findIndex((one) => one.name === args[1]) + 1);
  if (args.length === 0) return cases;
  const found = cases.filter((one) => args.includes(one.name));
  const missing = args.filter((name) => !cases.some((one) => one.name === name));
  if (missing.length) throw new Error(`no such case: ${missing.join(', ')}`);
  return found;
}

async function main() {
  let failed = false;
  for (const { name, run, needsDelayed: delayed } of chosen(process.argv.slice(2))) {
    console.log(`start ${name}`);
    if (delayed && skipDelayed) {
      console.log(`skip ${name}: needs x-delayed-message`);
      continue;
    }
    try {
      await run();
      console.log(`ok ${name}`);
    } catch (error) {
      failed = true;
      console.error(error);
      console.log(`FAIL ${name}: ${String(error).split(/\s+/).join(' ').slice(0, 500)}`);
    }
  }
  // A socket or timer a failed case left would keep the process alive.
  process.exit(failed ? 1 : 0);
}

const fresh = (label) => `interop.${label}.${crypto.randomBytes(6).toString('hex')}`;

function equal(actual, expected, what) {
  if (!isDeepStrictEqual(actual, expected)) {
    throw new Error(`${what}: expected ${inspect(expected, { depth: 6 })}, got ${inspect(actual, { depth: 6 })}`);
  }
}

function check(condition, what) {
  if (!condition) throw new Error(what);
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function waitFor(condition, what, limit = 10000) {
  const end = Date.now() + limit;
  let answer;
  while (!(answer = await condition())) {
    if (Date.now() > end) throw new Error(`waited ${limit} ms in vain for ${what}`);
    await pause(20);
  }
  return answer;
}

async function open(overrides = {}, socketOptions = {}) {
  const connection = await amqp.connect({ ...address, ...overrides }, { timeout: 15000, ...socketOptions });
  // Without a listener an error the case provokes would end the process.
  connection.on('error', () => {});
  return connection;
}

async function connected(work, overrides) {
  const connection = await open(overrides);
  try {
    return await work(connection);
  } finally {
    await connection.close().catch(() => {});
  }
}

// A confirm channel on a connection of its own; `publish` resolves when the broker confirmed.
async function confirming(work, overrides) {
  return connected(async (connection) => {
    const channel = await connection.createConfirmChannel();
    channel.on('error', () => {});
    const publish = (exchange, key, body, options = {}) =>
      new Promise((resolve, reject) => {
        channel.publish(exchange, key, Buffer.from(body), options, (error) => (error ? reject(error) : resolve()));
      });
    return work(channel, publish, connection);
  }, overrides);
}

async function temporaryQueue(channel, args = {}) {
  return (await channel.assertQueue('', { exclusive: true, arguments: args })).queue;
}

// Bodies of all that is ready; behind confirmed publishes this is exact.
async function drain(channel, queue) {
  const bodies = [];
  for (let message; (message = await channel.get(queue, { noAck: true })); ) bodies.push(message.content.toString());
  return bodies;
}

async function collect(channel, queue, count, options = { noAck: true }, limit = 10000) {
  const got = [];
  const { consumerTag } = await channel.consume(queue, (message) => got.push(message), options);
  await waitFor(() => got.length >= count, `${count} deliveries`, limit);
  await channel.cancel(consumerTag);
  return got;
}

// "406 PRECONDITION_FAILED - ..." with which the broker closes the channel `action` is done on.
async function channelError(connection, action) {
  const channel = await connection.createChannel();
  const closed = new Promise((resolve) => channel.once('error', resolve));
  const done = (async () => {
    await action(channel);
    // An asynchronous method has no answer of its own: the next one meets the closed channel.
    await channel.checkExchange('amq.direct');
    return new Error('the channel stayed open');
  })().catch(() => closed);
  const error = await done;
  if (error.code === undefined) throw error;
  return refusal(error);
}

// amqplib wraps the reply as `... with message "TEXT"`, quotes inside unescaped.
function refusal(error) {
  const text = /with message "([\s\S]*)"/.exec(error.message);
  return `${error.code} ${text ? text[1] : error.message}`;
}

module.exports = {
  address, amqp, channelError, check, collect, confirming, connected, drain, equal, fresh, main, needsDelayed,
  open, pause, refusal, scenario, temporaryQueue, user, vhost, waitFor,
};
