#!/usr/bin/env node
'use strict';
// A judge of a migration that knows nothing of how it was made: compares the shop on two sides, by OLD_DATABASE_URL,
// OLD_REDIS_URL, NEW_DATABASE_URL and NEW_REDIS_URL. Writes nothing on either side.
//
//   MODE          frozen (the default): both sides are quiet, so everything must be equal
//                 after: the new side is in use; nothing may be lost, and each job must have run exactly once
//   ACKNOWLEDGED  the file of traffic.js: each order in it must be on the new side, with its receipt's job
//   WAIT          mode after: seconds to wait first until no job is waiting or active on the new side (0)
//
// Prints the comparison as JSON; its "problems" are sentences. Exit code 0: none; 1: some, or the judge failed.
const fs = require('node:fs');
const { number, required } = require('../lib/config');
const database = require('../lib/compare_db');
const queues = require('../lib/compare_redis');
const redis = require('../lib/redis');

function acknowledgedOrders() {
  if (!process.env.ACKNOWLEDGED) return [];
  return fs.readFileSync(process.env.ACKNOWLEDGED, 'utf8').split('\n').filter(Boolean).map((line) => {
    const id = Number(line.split(' ')[0]);
    if (!Number.isSafeInteger(id) || id < 1) throw new Error(`${process.env.ACKNOWLEDGED}: not an order: ${line}`);
    return id;
  });
}

async function main() {
  const mode = process.env.MODE || 'frozen';
  if (mode !== 'frozen' && mode !== 'after') throw new Error(`MODE is frozen or after, not "${mode}"`);
  const acknowledged = acknowledgedOrders();
  const [oldDb, newDb, oldRedis, newRedis] =
    ['OLD_DATABASE_URL', 'NEW_DATABASE_URL', 'OLD_REDIS_URL', 'NEW_REDIS_URL'].map(required);

  const problems = [];
  const seconds = number('WAIT', 0);
  if (mode === 'after' && seconds > 0) {
    const connection = redis.open(newRedis, { maxRetriesPerRequest: null });
    const left = await queues.settle(connection, seconds);
    connection.disconnect();
    if (left > 0) problems.push(`${left} jobs were still waiting or active after ${seconds} s`);
  }
  const result = await database.compare(oldDb, newDb, mode, acknowledged, problems);
  const redisResult = await queues.compare(oldRedis, newRedis, mode,
    { runs: () => database.runs(newDb), acknowledged }, problems);
  console.log(JSON.stringify({ mode, equal: problems.length === 0, problems, ...result, ...redisResult }, null, 2));
  process.exit(problems.length === 0 ? 0 : 1);
}

main().catch((err) => { console.error(`verify: ${err.message}`); process.exit(1); });
