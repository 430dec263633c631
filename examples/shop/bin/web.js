#!/usr/bin/env node
'use strict';
// The web process: GET /, /health, /totals, /orders/ID; POST /orders.
const http = require('node:http');
const { Queue } = require('bullmq');
const { number, required } = require('../lib/config');
const { RETRY, receiptId } = require('../lib/jobs');
const db = require('../lib/db');
const orders = require('../lib/orders');
const page = require('../lib/page');
const redis = require('../lib/redis');
const sessions = require('../lib/sessions');

const MOST_BODY = 64 * 1024;                       // bytes

function readJson(request) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    let size = 0;
    request.on('data', (chunk) => {
      size += chunk.length;
      if (size <= MOST_BODY) chunks.push(chunk);
    });
    request.on('end', () => {
      if (size > MOST_BODY) return reject(new orders.Refused('the body is too long'));
      try {
        resolve(JSON.parse(Buffer.concat(chunks).toString('utf8')));
      } catch {
        reject(new orders.Refused('the body is not JSON'));
      }
    });
    request.on('error', reject);
  });
}

function routes({ pool, cache, receipts, name, sessionSecret, stripeKey }) {
  const json = (status, value, headers) =>
    ({ status, headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(value) + '\n' });

  const state = async (check) => { try { await check(); return 'ok'; } catch (err) { return err.message; } };

  return {
    async 'GET /'(request) {
      const visit = await sessions.visit(cache, request.headers.cookie, sessionSecret);
      return {
        status: 200,
        headers: { 'content-type': 'text/html; charset=utf-8', 'set-cookie': visit.cookie },
        body: page.front(name, await orders.totals(pool), visit.count),
      };
    },
    async 'GET /health'() {
      const [database, queue] = await Promise.all([
        state(() => pool.query('SELECT 1')), state(() => cache.ping())]);
      const well = database === 'ok' && queue === 'ok';
      return json(well ? 200 : 503, { status: well ? 'ok' : 'unwell', database, redis: queue });
    },
    async 'GET /totals'() {
      return json(200, await orders.totals(pool));
    },
    async 'GET /orders/:id'(request, id) {
      const order = await orders.get(pool, id);
      return order ? json(200, order) : json(404, { error: `there is no order ${id}` });
    },
    async 'POST /orders'(request) {
      const key = request.headers['idempotency-key'] || null;
      const id = await orders.create(pool, await readJson(request),
        { key, client: request.socket.remoteAddress, secret: stripeKey });
      // The order is durable; the customer hears of it only when its receipt is queued too. When this fails, the
      // same request with the same key finds the order and queues the job again, under the same job id.
      await receipts.add('receipt', { order: id }, { jobId: receiptId(id), ...RETRY });
      return json(201, { id }, { location: `/orders/${id}` });
    },
  };
}

function find(table, method, path) {
  const order = /^\/orders\/([0-9]{1,18})$/.exec(path);
  return order ? [table[`${method} /orders/:id`], order[1]] : [table[`${method} ${path}`]];
}

async function answer(table, request) {
  const [handler, argument] = find(table, request.method, request.url.split('?')[0]);
  if (!handler) return { status: 404, headers: { 'content-type': 'text/plain' }, body: 'not found\n' };
  try {
    return await handler(request, argument);
  } catch (err) {
    const status = err instanceof orders.Refused ? 422 : 503;
    if (status === 503) console.log(`web: ${request.method} ${request.url}: ${err.message}`);
    return { status, headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ error: status === 422 ? err.message : 'try again' }) + '\n' };
  }
}

async function main() {
  const name = process.env.SHOP_NAME || 'Shop';
  const sessionSecret = required('SESSION_SECRET'), stripeKey = required('STRIPE_SECRET_KEY');
  const port = number('PORT', 5000);
  const pool = await db.open(required('DATABASE_URL'), { max: number('DB_POOL', 10) });
  const cache = redis.open(required('REDIS_URL'));
  const receipts = new Queue('receipts', { connection: cache });
  receipts.on('error', () => {});                  // lib/redis.js has said it
  const table = routes({ pool, cache, receipts, name, sessionSecret, stripeKey });

  let stopping = false;
  const server = http.createServer(async (request, response) => {
    const start = Date.now();
    const { status, headers, body } = await answer(table, request);
    if (stopping) headers.connection = 'close';
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
    response.end(body);
    if (status !== 200 || request.url !== '/health') {
      console.log(`web: ${request.method} ${request.url} ${status} ${Date.now() - start}ms`);
    }
  });
  server.keepAliveTimeout = 65000;                 // longer than a load balancer's

  const stop = (signal) => {                       // finish the requests in flight, leave within 10 s
    if (stopping) return;
    stopping = true;
    console.log(`web: ${signal}, finishing the requests in flight`);
    setTimeout(() => fail(new Error('requests were still running after 9 s')), 9000).unref();
    server.close(async () => {
      await receipts.close();
      cache.disconnect();
      await pool.end();
      console.log('web: stopped');
      process.exit(0);
    });
    server.closeIdleConnections();
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop(signal));

  server.on('error', fail);
  server.listen(port, () => console.log(`web: ${name} listens on port ${server.address().port}`));
}

const fail = (err) => { console.error(`web: ${err.message}`); process.exit(1); };
main().catch(fail);
