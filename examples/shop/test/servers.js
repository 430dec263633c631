'use strict';
// What the tests share: a migrated, seeded scratch database and Redis database, and the shop's programs as children.
const { spawn } = require('node:child_process');
const crypto = require('node:crypto');
const path = require('node:path');
const readline = require('node:readline');
const db = require('../lib/db');
const redis = require('../lib/redis');
const { required } = require('../lib/config');

const ROOT = path.join(__dirname, '..');
const SECRETS = { SESSION_SECRET: 'session-secret-for-tests', STRIPE_SECRET_KEY: 'stripe-key-for-tests', DYNO: 'test.1' };

/** Runs one of bin/: { code, out, err }. The promise's `child` is the process. */
function run(name, env = {}, args = []) {
  let started;
  const result = new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [path.join('bin', name), ...args],
      { cwd: ROOT, env: { ...process.env, ...SECRETS, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    started = child;
    let out = '', err = '';
    child.stdout.on('data', (text) => { out += text; });
    child.stderr.on('data', (text) => { err += text; });
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, out, err }));
  });
  result.child = started;
  return result;
}

/** Starts one of bin/ and waits for a line that matches: { line, stop() -> exit code, lines }. */
async function start(name, pattern, env = {}, args = []) {
  const child = spawn(process.execPath, [path.join('bin', name), ...args],
    { cwd: ROOT, env: { ...process.env, ...SECRETS, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = [];
  const exit = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
  const program = { child, lines, exit, stop() { child.kill('SIGTERM'); return exit; } };
  await new Promise((resolve, reject) => {
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (pattern.test(line)) { program.line = line; resolve(); }
    });
    exit.then((code) => reject(new Error(`${name} ended with ${code}: ${lines.join('\n')}`)));
  });
  return program;
}

/** A side: an empty database of its own and the Redis database `number`, emptied. { env, pool, cache, close() } */
async function side(number, template) {
  const admin = await db.open(required('DATABASE_URL'), { max: 1 });
  const name = `shop_test_${crypto.randomBytes(6).toString('hex')}`;
  await admin.query(`CREATE DATABASE ${name}` + (template ? ` TEMPLATE ${template}` : ''));
  const address = new URL(required('DATABASE_URL')), queue = new URL(required('REDIS_URL'));
  address.pathname = `/${name}`;
  queue.pathname = `/${number}`;
  const cache = redis.open(queue.href, { maxRetriesPerRequest: null });
  await cache.flushdb();
  const made = { name, number, cache, env: { DATABASE_URL: address.href, REDIS_URL: queue.href } };
  made.connect = async () => { made.pool = await db.open(address.href); };
  made.disconnect = async () => { if (made.pool) await made.pool.end(); made.pool = undefined; };
  made.close = async () => {
    await made.disconnect();
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.end();
    await cache.flushdb();
    cache.disconnect();
  };
  return made;
}

module.exports = { run, start, side };
