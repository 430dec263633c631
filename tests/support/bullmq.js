'use strict';
// BullMQ itself, as the judge of lua/stdlib/bullmq.lua. bullmq.js serve URL: commands as lines of standard input, an answer
// in JSON as a line each:
//
//   fill            jobs of every kind, in the queues mail (prefix bull), orders and parts (prefix {shop})
//   add COUNT NAME  so many plain jobs NAME-1, ... to mail; and as many that BullMQ numbers
//   counts          of each queue getJobCounts, isPaused, the ids by state, the schedulers
//   promote         delayed jobs are due now
//   pause, resume   as an app does it
//
// bullmq.js work URL SIDE FILE STALLED: workers, until SIGTERM; each run that ends well is a line "SIDE QUEUE ID LATE" in FILE,
// LATE being how many milliseconds after its time the job began. Every STALLED milliseconds they look for jobs whose worker
// is gone. A job "slow" takes an hour when it is begun for the first time.
const fs = require('node:fs');
const readline = require('node:readline');
const { FlowProducer, Queue, Worker } = require('bullmq');
const Redis = require('ioredis');

const PREFIXES = { mail: 'bull', orders: '{shop}', parts: '{shop}' };
const HOUR = 3600 * 1000;
const [command, url, ...rest] = process.argv.slice(2);
const connection = new Redis(url, { maxRetriesPerRequest: null });
const queues = Object.fromEntries(Object.entries(PREFIXES).map(([name, prefix]) => [name, new Queue(name, { connection, prefix })]));
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const list = (count, make) => Array.from({ length: count }, (_, i) => make(i + 1));

async function fill() {
  const job = (name, opts = {}, data = {}) => (i) => ({ name, data, opts: { jobId: `${name}-${i}`, ...opts } });
  await queues.mail.addBulk([
    ...list(20, job('plain')), ...list(3, job('far', { delay: HOUR })), ...list(4, job('late', { delay: 1500 })),
    ...list(6, (i) => job('prio', { priority: 1 + i % 3 })(i)),
    ...list(4, job('retry', { attempts: 3, backoff: { type: 'fixed', delay: 50 } })), ...list(2, job('bad')),
  ]);
  await queues.mail.upsertJobScheduler('hourly', { every: HOUR }, { name: 'plain' });
  const flows = new FlowProducer({ connection, prefix: '{shop}' });
  await flows.addBulk(list(3, (i) => ({
    name: 'plain', queueName: 'orders', opts: { jobId: `order-${i}` },
    children: list(2, (n) => ({ name: 'plain', queueName: 'parts', opts: { jobId: `part-${i}-${n}` } })),
  })));
  await flows.close();
}

async function counts() {
  const all = {};
  for (const [name, queue] of Object.entries(queues)) {
    const ids = {};
    for (const state of ['waiting', 'paused', 'prioritized', 'delayed', 'waiting-children', 'active', 'completed', 'failed']) {
      ids[state] = (await queue.getJobs([state], 0, -1)).map((job) => job.id).sort();
    }
    ids.waiting = ids.waiting.filter((id) => !ids.paused.includes(id));      // getJobs calls both waiting
    all[name] = { counts: await queue.getJobCounts(), paused: await queue.isPaused(), ids,
      schedulers: (await queue.getJobSchedulers()).map((one) => one.key) };
  }
  return all;
}

async function run(job, side, file) {
  if (job.name === 'bad' || (job.name === 'retry' && job.attemptsMade === 0)) throw new Error('not this time');
  if (job.name === 'slow' && job.attemptsStarted === 1) { console.log(`slow ${job.id}`); await wait(HOUR); }
  await wait(20);
  const late = job.processedOn - job.timestamp - (job.opts.delay || 0);
  fs.appendFileSync(file, `${side} ${job.queueName} ${job.id} ${late}\n`);
}

async function work(side, file, stalledInterval) {
  const workers = Object.entries(PREFIXES).map(([name, prefix]) => new Worker(name, (job) => run(job, side, file),
    { connection, prefix, concurrency: 3, lockDuration: 30000, stalledInterval: Number(stalledInterval), drainDelay: 1 }));
  for (const worker of workers) worker.on('error', (err) => console.error(err.message));
  await Promise.all(workers.map((worker) => worker.waitUntilReady()));
  process.on('SIGTERM', () => Promise.all(workers.map((worker) => worker.close())).then(() => process.exit(0)));
  console.log('ready');
  await new Promise(() => {});
}

const commands = {
  fill, counts,
  add: (count, name) => queues.mail.addBulk([
    ...list(Number(count), (i) => ({ name, data: {}, opts: { jobId: `${name}-${i}` } })),
    ...list(Number(count), () => ({ name: 'numbered', data: {} })),
  ]).then(() => true),
  promote: () => queues.mail.promoteJobs(),
  pause: () => queues.mail.pause(),
  resume: () => queues.mail.resume(),
};

async function serve() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...words] = line.split(' ');
    console.log(JSON.stringify(await commands[name](...words) ?? true));
  }
  process.exit(0);
}

(command === 'work' ? work(...rest) : serve()).catch((err) => { console.error(err); process.exit(1); });
