'use strict';
const assert = require('node:assert/strict');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { before, after, test } = require('node:test');
const { Queue } = require('bullmq');
const { run, side, start } = require('./servers');

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let shop, queues;

before(async () => {
  shop = await side(12);
  for (const [name, env] of [['migrate.js', {}], ['seed.js', { ORDERS: '200' }], ['seed-jobs.js', { JOBS: '200' }]]) {
    const result = await run(name, { ...shop.env, ...env });
    assert.equal(result.code, 0, result.err);
  }
  await shop.connect();
  queues = Object.fromEntries(['receipts', 'emails', 'reports'].map((name) => [name, new Queue(name, { connection: shop.cache })]));
});
after(async () => {
  for (const queue of Object.values(queues || {})) await queue.close();
  await shop.close();
});

const counts = async (name) => {
  const all = await queues[name].getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'completed', 'failed');
  return Object.fromEntries(Object.entries(all).filter(([, count]) => count > 0));
};

test('the seed leaves jobs in every state, and runs them once only', async () => {
  assert.deepEqual(await counts('receipts'), { waiting: 48, completed: 40 });
  assert.deepEqual(await counts('emails'), { waiting: 40, prioritized: 16, delayed: 20, completed: 20, failed: 12 });
  assert.deepEqual(await counts('reports'), { waiting: 2, delayed: 3 });
  const { rows } = await shop.pool.query(
    'SELECT queue, ok, count(*)::int AS runs, count(DISTINCT job_id)::int AS jobs FROM job_runs GROUP BY 1, 2 ORDER BY 1, 2');
  assert.deepEqual(rows, [
    { queue: 'emails', ok: false, runs: 36, jobs: 12 },
    { queue: 'emails', ok: true, runs: 20, jobs: 20 },
    { queue: 'receipts', ok: true, runs: 40, jobs: 40 },
  ]);
  assert.match((await run('seed-jobs.js', shop.env)).out, /left as they are/);
});

test('on SIGTERM the worker finishes its active jobs and takes no other', async () => {
  for (let i = 0; i < 3; i++) await queues.reports.add('sales', { ms: 1000 }, { jobId: `slow-${i}`, lifo: true });
  const worker = await start('worker.js', /ready/, { ...shop.env, WORKER_CONCURRENCY: '1' });
  while (await queues.reports.getActiveCount() === 0) await wait(20);
  const [active] = await queues.reports.getActive();
  assert.equal(await worker.stop(), 0);
  assert.equal(await active.getState(), 'completed');
  const { rows } = await shop.pool.query(`SELECT job_id FROM job_runs WHERE job_id LIKE 'slow-%'`);
  assert.deepEqual(rows, [{ job_id: active.id }]);
  for (const name of Object.keys(queues)) assert.equal(await queues[name].getActiveCount(), 0);
});

test('a worker drains the queues: each job once, the bounced ones stay failed', async () => {
  const worker = await start('worker.js', /ready/, shop.env);
  const left = async () => {
    const all = await Promise.all(Object.values(queues).map((q) => q.getJobCountByTypes('waiting', 'prioritized', 'active')));
    const retries = (await queues.emails.getDelayed()).filter((job) => job.attemptsMade > 0).length;
    return all.reduce((a, b) => a + b) + retries;
  };
  while (await left() > 0) await wait(50);
  assert.equal(await worker.stop(), 0);
  const { rows } = await shop.pool.query('SELECT job_id FROM job_runs WHERE ok GROUP BY queue, job_id HAVING count(*) > 1');
  assert.deepEqual(rows, []);
  assert.deepEqual(await counts('emails'), { delayed: 20, completed: 76, failed: 12 });
  assert.deepEqual(await counts('receipts'), { completed: 88 });
  const [failed] = await queues.emails.getFailed(0, 0);
  assert.equal(failed.attemptsMade, 3);
  assert.match(failed.failedReason, /no such mailbox/);
});

test('WORKER_RATE holds a backlog back', async () => {
  await queues.emails.addBulk(Array.from({ length: 50 }, (_, i) =>
    ({ name: 'email', data: { to: 'a@example.com' }, opts: { jobId: `many-${i}` } })));
  const worker = await start('worker.js', /ready/, { ...shop.env, WORKER_RATE: '2' });
  while ((await queues.emails.getWaitingCount()) > 48) await wait(20);
  assert.equal(await worker.stop(), 0);
  assert.ok(await queues.emails.getWaitingCount() > 20);
});

test('traffic takes 503 as closed, follows the file and counts what was acknowledged', async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'shop-'));
  const keys = [];
  const serve = (status) => new Promise((resolve) => {
    const server = http.createServer((request, response) => {
      keys.push([status, request.headers['idempotency-key'], request.headers.host]);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ id: keys.length }));
    }).listen(0, '127.0.0.1', () => resolve(server));
  });
  const url = (server, host = '') => fs.writeFileSync(path.join(dir, 'url'), `http://127.0.0.1:${server.address().port} ${host}\n`);
  const first = await serve(201), closed = await serve(503), second = await serve(201);
  url(first);
  const env = { RATE: '200', ACKNOWLEDGED: path.join(dir, 'ids'), SUMMARY: path.join(dir, 'summary') };
  const running = run('traffic.js', env, [path.join(dir, 'url')]);
  const until = async (status, count) => { while (keys.filter(([s]) => s === status).length < count) await wait(10); };
  await until(201, 5);
  url(closed);
  await until(503, 3);
  url(second, 'shop.example.com');
  while (!keys.some(([, , host]) => host === 'shop.example.com')) await wait(10);
  const count = keys.length;
  while (keys.length < count + 5) await wait(10);
  running.child.kill('SIGTERM');
  const { code, out } = await running;
  for (const server of [first, closed, second]) server.close();
  assert.equal(code, 0);
  const summary = JSON.parse(out);
  assert.deepEqual(JSON.parse(fs.readFileSync(env.SUMMARY)), summary);
  const ids = fs.readFileSync(env.ACKNOWLEDGED, 'utf8').trim().split('\n');
  assert.equal(summary.acknowledged, ids.length);
  assert.equal(summary.acknowledged, keys.filter(([s]) => s === 201).length);
  assert.equal(summary.refusals['503'], keys.filter(([s]) => s === 503).length);
  assert.ok(summary.longest_gap_ms >= 200);
  const [, refused] = keys.find(([s]) => s === 503);
  assert.ok(keys.some(([s, key]) => s === 201 && key === refused), 'the refused order was placed again with its key');
  fs.rmSync(dir, { recursive: true });
});
