'use strict';
// The queues and what their jobs do. Each run of a job leaves one row in job_runs, written in the transaction of its
// work, so that SQL can tell how often each job ran.
const os = require('node:os');
const { Worker } = require('bullmq');
const { transaction } = require('./db');
const { wait } = require('./config');

const QUEUES = ['receipts', 'emails', 'reports'];
const RETRY = { attempts: 3, backoff: { type: 'fixed', delay: 200 } };
const HOST = process.env.DYNO || os.hostname();

const receiptId = (order) => `receipt-${order}`;

function record(db, job, ok) {
  return db.query('INSERT INTO job_runs (queue, job_id, attempt, ok, host) VALUES ($1, $2, $3, $4, $5)',
    [job.queueName, job.id, job.attemptsMade + 1, ok, HOST]);
}

const work = {
  async receipts(db, job) {
    const order = await db.query('SELECT number, total_cents FROM orders WHERE id = $1', [job.data.order]);
    if (order.rowCount === 0) throw new Error(`there is no order ${job.data.order}`);
    await db.query(`INSERT INTO events (order_id, kind) VALUES ($1, 'receipt sent')`, [job.data.order]);
    return { number: order.rows[0].number };
  },
  async emails(db, job) {
    if (job.data.to.endsWith('@bounce.example')) throw new Error(`550 ${job.data.to}: no such mailbox`);
    return { sent: job.data.to };
  },
  async reports(db) {
    await db.query('REFRESH MATERIALIZED VIEW CONCURRENTLY product_sales');
    return { rows: (await db.query('SELECT FROM product_sales')).rowCount };
  },
};

/** Runs one job. data.ms: how long it takes at least. */
async function run(pool, job) {
  if (job.data.ms) await wait(job.data.ms);
  try {
    return await transaction(pool, async (db) => {
      const result = await work[job.queueName](db, job);
      await record(db, job, true);
      return result;
    });
  } catch (err) {
    await record(pool, job, false);
    throw err;
  }
}

/** A worker for each queue. rate: most jobs a second per queue, 0 for no limit. */
function workers(pool, connection, { rate = 0, concurrency = 5, log = console.log } = {}) {
  const limiter = rate >= 1 ? { max: Math.floor(rate), duration: 1000 } : { max: 1, duration: Math.round(1000 / rate) };
  return QUEUES.map((queue) => {
    const worker = new Worker(queue, (job) => run(pool, job),
      { connection, concurrency, ...(rate > 0 && { limiter }) });
    worker.on('completed', (job) => log(`worker: ${queue} ${job.id} done`));
    worker.on('failed', (job, err) => log(`worker: ${queue} ${job ? job.id : '?'} failed: ${err.message}`));
    let last;
    worker.on('error', (err) => {                  // BullMQ tries again for ever; say each reason once
      if (err.message !== last) log(`worker: ${queue}: ${err.message}`);
      last = err.message;
    });
    worker.on('ready', () => { last = undefined; });
    return worker;
  });
}

module.exports = { QUEUES, RETRY, receiptId, workers };
