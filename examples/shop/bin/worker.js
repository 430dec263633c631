#!/usr/bin/env node
'use strict';
// The worker process. WORKER_RATE: most jobs a second per queue (no limit); WORKER_CONCURRENCY: jobs at a time (5).
const { number, required } = require('../lib/config');
const { workers } = require('../lib/jobs');
const db = require('../lib/db');
const redis = require('../lib/redis');

async function main() {
  const rate = number('WORKER_RATE', 0), concurrency = number('WORKER_CONCURRENCY', 5);
  const pool = await db.open(required('DATABASE_URL'));
  const connection = redis.open(required('REDIS_URL'), { maxRetriesPerRequest: null });
  const running = workers(pool, connection, { rate, concurrency });

  let stopping = false;
  const stop = async (signal) => {                 // take no further job, finish the active ones, leave
    if (stopping) return;
    stopping = true;
    console.log(`worker: ${signal}, finishing the active jobs`);
    setTimeout(() => fail(new Error('jobs were still active after 25 s')), 25000).unref();   // Heroku kills after 30
    await Promise.all(running.map((worker) => worker.close()));
    await pool.end();
    connection.disconnect();
    console.log('worker: stopped');
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => stop(signal).catch(fail));

  await Promise.all(running.map((worker) => worker.waitUntilReady()));
  console.log(`worker: ready, ${rate > 0 ? `${rate} jobs a second per queue` : 'no rate limit'}`);
}

const fail = (err) => { console.error(`worker: ${err.message}`); process.exit(1); };
main().catch(fail);
