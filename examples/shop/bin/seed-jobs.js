#!/usr/bin/env node
'use strict';
// Fills empty queues through BullMQ itself, with the same job ids every time; the finished jobs are run by real
// workers. Run it after bin/seed.js and before the worker starts. JOBS: how many jobs (5000), and one scheduler.
const crypto = require('node:crypto');
const { Queue } = require('bullmq');
const { number, required, wait } = require('../lib/config');
const { QUEUES, RETRY, workers } = require('../lib/jobs');
const db = require('../lib/db');
const redis = require('../lib/redis');

const MINUTE = 60 * 1000, HOUR = 60 * MINUTE;

const receipt = (orders) => (i) => ({ name: 'receipt', data: { order: 1 + i % orders } });
const email = (i) => ({ name: 'email', data: { to: `customer.${i}@example.com`, subject: `Bücher & more, part ${i}` } });
const bounced = (i) => ({ name: 'email', data: { to: `customer.${i}@bounce.example`, subject: 'Returned' } });
const report = (i) => ({ name: 'sales', data: { day: i } });

/** The parts: queue, state, share of all jobs in percent, the job, its options. */
function parts(orders) {
  return {
    finished: [
      ['receipts', 'completed', 20, receipt(orders)],
      ['emails', 'completed', 10, email],
      ['emails', 'failed', 6, bounced],
    ],
    open: [
      ['receipts', 'waiting', 24, receipt(orders)],
      ['emails', 'waiting', 20, (i) => (i % 50 === 49 ? bounced(i) : email(i))],
      ['emails', 'prioritized', 8, email, (i) => ({ priority: 1 + i % 10 })],
      ['emails', 'hour', 6, email, () => ({ delay: HOUR })],
      ['emails', 'minutes', 4, email, (i) => ({ delay: (3 + i % 10) * MINUTE })],
      ['reports', 'waiting', 1, report],
      ['reports', 'hour', 1, report, () => ({ delay: HOUR })],
    ],
  };
}

async function add(queues, list, jobs) {
  for (const [queue, label, percent, make, options = () => ({})] of list) {
    const count = Math.round(jobs * percent / 100);
    await queues[queue].addBulk(Array.from({ length: count }, (_, i) => {
      const { name, data } = make(i);
      return { name, data, opts: { ...RETRY, ...options(i), jobId: `seed-${label}-${i}` } };
    }));
    console.log(`seed-jobs: ${count} ${queue}: ${label}`);
  }
}

async function finish(queues, pool, connection) {
  const running = workers(pool, connection, { concurrency: 20, log: () => {} });
  const open = async () => {
    const counts = await Promise.all(QUEUES.map((name) => queues[name].getJobCountByTypes('waiting', 'active', 'delayed')));
    return counts.reduce((a, b) => a + b);
  };
  while (await open() > 0) await wait(50);
  await Promise.all(running.map((worker) => worker.close()));
}

async function addSessions(connection, count) {
  const pipeline = connection.pipeline();
  for (let i = 0; i < count; i++) {
    const key = `session:${crypto.createHash('md5').update(`session ${i}`).digest('hex')}`;
    pipeline.hset(key, 'visits', 1 + i % 9).expire(key, 24 * 60 * 60);
  }
  await pipeline.exec();
  console.log(`seed-jobs: ${count} sessions`);
}

async function main() {
  const jobs = number('JOBS', 5000);
  const pool = await db.open(required('DATABASE_URL'), { max: 20 });
  const connection = redis.open(required('REDIS_URL'), { maxRetriesPerRequest: null });
  const queues = Object.fromEntries(QUEUES.map((name) => [name, new Queue(name, { connection })]));

  const before = await Promise.all(QUEUES.map((name) => queues[name].getJobCountByTypes()));
  if (before.some((count) => count > 0)) {
    console.log('seed-jobs: the queues are not empty; left as they are');
  } else {
    const orders = Number((await pool.query('SELECT count(*) FROM orders')).rows[0].count);
    if (orders === 0) throw new Error('there are no orders yet: run bin/seed.js first');
    const { finished, open } = parts(orders);
    await add(queues, finished, jobs);
    await finish(queues, pool, connection);
    await add(queues, open, jobs);
    await queues.reports.upsertJobScheduler('hourly-sales', { pattern: '0 * * * *' }, { name: 'sales', opts: RETRY });
    await addSessions(connection, Math.round(jobs / 25));
  }
  await Promise.all(QUEUES.map((name) => queues[name].close()));
  connection.disconnect();
  await pool.end();
}

main().catch((err) => { console.error(`seed-jobs: ${err.message}`); process.exit(1); });
