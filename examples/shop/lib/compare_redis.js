'use strict';
// Compares the queues, by BullMQ's own API, and the other keys of the shop's Redis on two sides.
const crypto = require('node:crypto');
const { Queue } = require('bullmq');
const { QUEUES, receiptId } = require('./jobs');
const { wait } = require('./config');
const redis = require('./redis');

const STATES = ['paused', 'waiting', 'prioritized', 'active', 'delayed', 'waiting-children', 'completed', 'failed'];

// The order of reading: on a side that is in use a job moves on while we read, and is then seen where it came to.
// A job that fails goes from active back to delayed, so delayed stands there twice.
const READING = ['delayed', ...STATES];

const digest = (value) => crypto.createHash('md5').update(JSON.stringify(value)).digest('hex');

/** states: { state: [ [id, digest of the whole job], ... in the queue's own order ] }, each job in one state. */
async function read(connection, name) {
  const queue = new Queue(name, { connection, skipMetasUpdate: true });       // a judge writes nothing
  const states = {}, seen = new Map();
  for (const state of READING) {
    const jobs = (await queue.getJobs([state], 0, -1, true)).filter(Boolean);
    states[state] = jobs.map((job) => [job.id, digest(job.asJSON())]);
    for (const job of jobs) seen.set(job.id, state);
  }
  const where = Object.fromEntries(STATES.map((state) => [state, states[state].filter(([id]) => seen.get(id) === state)]));
  const result = { states: where, schedulers: digest(await queue.getJobSchedulers()), paused: await queue.isPaused() };
  await queue.close();
  return result;
}

/** Waits until no job is waiting or active, at most `seconds`. */
async function settle(connection, seconds) {
  const queues = QUEUES.map((name) => new Queue(name, { connection, skipMetasUpdate: true }));
  const until = Date.now() + seconds * 1000;
  const busy = async () => {
    const counts = await Promise.all(queues.map((q) => q.getJobCountByTypes('waiting', 'prioritized', 'active')));
    return counts.reduce((a, b) => a + b);
  };
  let left = await busy();
  while (left > 0 && Date.now() < until) { await wait(200); left = await busy(); }
  await Promise.all(queues.map((q) => q.close()));
  return left;
}

const counts = (states) => Object.fromEntries(Object.entries(states).map(([state, jobs]) => [state, jobs.length])
  .filter(([, count]) => count > 0));

/** Both sides are quiet: the same jobs, whole, in the same states and the same order. */
function same(name, before, after, problems) {
  for (const state of STATES) {
    const was = before.states[state], is = after.states[state];
    if (digest(was) === digest(is)) continue;
    const now = new Map(is);
    const lost = was.filter(([id]) => !now.has(id)).length;
    const changed = was.filter(([id, hash]) => now.has(id) && now.get(id) !== hash).length;
    problems.push(`queue ${name}, ${state}: ${was.length} jobs on the old side, ${is.length} on the new;`
      + ` ${lost} missing, ${changed} changed${lost + changed === 0 && was.length === is.length ? ', in another order' : ''}`);
  }
  if (before.schedulers !== after.schedulers) problems.push(`queue ${name}: the job schedulers differ`);
  if (before.paused !== after.paused) problems.push(`queue ${name}: paused is ${before.paused} on the old side, ${after.paused} on the new`);
}

/** The new side is in use: no job is lost, none that was done is undone, and each ran as often as its state says. */
function inOrder(name, before, after, ran, problems) {   // ran.before, ran.after: when the queues were read
  const state = new Map();
  for (const [now, jobs] of Object.entries(after.states)) for (const [id] of jobs) state.set(id, now);
  for (const [was, jobs] of Object.entries(before.states)) {
    const lost = jobs.filter(([id]) => !state.has(id)).map(([id]) => id);
    if (lost.length > 0) problems.push(`queue ${name}: ${lost.length} ${was} jobs are missing on the new side, such as ${lost[0]}`);
    if (was !== 'completed' && was !== 'failed') continue;
    const undone = jobs.filter(([id]) => state.has(id) && state.get(id) !== was);
    if (undone.length > 0) problems.push(`queue ${name}: ${undone.length} ${was} jobs are no longer so, such as ${undone[0][0]}`);
  }
  let once = 0;
  for (const [id, now] of state) {
    const key = `${name} ${id}`, runs = ran.after.get(key) || 0;
    if (now === 'completed' && runs === 1) once += 1;
    else if (now === 'completed' || runs > 1 || (now !== 'active' && ran.before.has(key))) {
      problems.push(`queue ${name}: job ${id} is ${now} and has ${runs} successful runs`);
    }
  }
  return once;
}

/** The keys outside BullMQ: name -> { type, value, ttl in ms }. */
async function others(connection) {
  const keys = new Map();
  for await (const page of connection.scanStream({ count: 1000 })) {
    for (const key of page.filter((k) => !k.startsWith('bull:'))) keys.set(key, undefined);
  }
  for (const key of keys.keys()) {
    const type = await connection.type(key);
    const value = type === 'hash' ? Object.entries(await connection.hgetall(key)).sort()
      : type === 'string' ? await connection.get(key) : undefined;
    keys.set(key, { type, value: digest(value ?? null), ttl: await connection.pttl(key) });
  }
  return keys;
}

async function compareOthers(connections, mode, problems) {
  const [before, after] = await Promise.all(connections.map(others));
  let equal = 0;
  for (const [key, was] of before) {
    const is = after.get(key);
    if (was.type === 'none' || (was.ttl >= 0 && was.ttl < 60000)) continue;   // it is about to expire by itself
    if (!is || is.type !== was.type) problems.push(`key ${key} is missing on the new side`);
    else if (is.value !== was.value && mode === 'frozen') problems.push(`key ${key} differs`);
    else if ((is.ttl < 0) !== (was.ttl < 0) || (mode === 'frozen' && Math.abs(is.ttl - was.ttl) > 5000)) {
      problems.push(`key ${key} lives ${is.ttl} ms on the new side, ${was.ttl} ms on the old`);
    } else equal += 1;
  }
  return { old: before.size, new: after.size, equal };
}

/** Compares; mode and problems as in compare_db; runs(): how often each job of the new side ran; acknowledged: order ids. */
async function compare(oldUrl, newUrl, mode, { runs, acknowledged }, problems) {
  const connections = [oldUrl, newUrl].map((url) => redis.open(url, { maxRetriesPerRequest: null }));
  try {
    const ran = { before: await runs() };
    const sides = await Promise.all(connections.map(async (connection) => {
      const side = {};
      for (const name of QUEUES) side[name] = await read(connection, name);
      return side;
    }));
    ran.after = await runs();

    const queues = [];
    for (const name of QUEUES) {
      const [before, after] = sides.map((side) => side[name]);
      const row = { queue: name, old: counts(before.states), new: counts(after.states) };
      if (mode === 'frozen') same(name, before, after, problems);
      else row.processed_exactly_once = inOrder(name, before, after, ran, problems);
      if (name === 'receipts') {
        const known = new Set(Object.values(after.states).flat().map(([id]) => id));
        const lost = acknowledged.filter((id) => !known.has(receiptId(id)));
        if (lost.length > 0) problems.push(`${lost.length} acknowledged orders have no receipt job, such as ${lost[0]}`);
      }
      queues.push(row);
    }
    return { queues, keys: await compareOthers(connections, mode, problems) };
  } finally {
    for (const connection of connections) connection.disconnect();
  }
}

module.exports = { compare, settle };
