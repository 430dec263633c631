'use strict';
// The judge must find every kind of loss: each case breaks one thing on the copy, sees it named, and mends it.
const assert = require('node:assert/strict');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { before, after, test } = require('node:test');
const { run, side } = require('./servers');

let old, copy, dir, acknowledged;

before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'shop-'));
  old = await side(13);
  for (const [name, env] of [['migrate.js', {}], ['seed.js', { ORDERS: '200' }], ['seed-jobs.js', { JOBS: '100' }]]) {
    const result = await run(name, { ...old.env, ...env });
    assert.equal(result.code, 0, result.err);
  }
  await old.cache.hset('bull:receipts:receipt-7', 'name', 'receipt', 'data', '{"order":7}', 'opts', '{}', 'timestamp', '1');
  await old.cache.rpush('bull:receipts:wait', 'receipt-7');
  copy = await side(14, old.name);
  await copy.connect();
  const pipeline = old.cache.pipeline();
  for (const key of await old.cache.keys('*')) pipeline.copy(key, key, 'DB', copy.number);
  for (const [err, copied] of await pipeline.exec()) assert.equal(err ? err.message : copied, 1);
  acknowledged = path.join(dir, 'ids');
  fs.writeFileSync(acknowledged, '7 2026-01-01T00:00:00Z\n');
});
after(async () => {
  if (copy) await copy.close();
  await old.close();
  fs.rmSync(dir, { recursive: true });
});

async function judge(env = {}) {
  const result = await run('verify.js', {
    OLD_DATABASE_URL: old.env.DATABASE_URL, OLD_REDIS_URL: old.env.REDIS_URL,
    NEW_DATABASE_URL: copy.env.DATABASE_URL, NEW_REDIS_URL: copy.env.REDIS_URL, ACKNOWLEDGED: acknowledged, ...env,
  });
  assert.equal(result.err, '');
  const verdict = JSON.parse(result.out);
  assert.equal(result.code, verdict.problems.length === 0 ? 0 : 1);
  return verdict;
}

async function finds(pattern, mode, breakIt, mend) {
  await breakIt();
  const { problems } = await judge({ MODE: mode });
  await mend();
  assert.ok(problems.some((text) => pattern.test(text)), `${pattern} in ${JSON.stringify(problems)}`);
  assert.deepEqual((await judge({ MODE: mode })).problems, []);
}

const sql = (text) => () => copy.pool.query(text);
const swap = (breaking, mending) => [sql(breaking), sql(mending)];

test('an exact copy is equal, and both sides are left as they were', async () => {
  const keys = async (s) => (await s.cache.keys('*')).sort().join();
  const was = [await keys(old), await keys(copy)];
  const verdict = await judge();
  assert.deepEqual(verdict.problems, []);
  assert.equal(verdict.acknowledged.found, 1);
  assert.ok(verdict.tables.every((table) => table.equal));
  assert.equal(verdict.tables.find((table) => table.table === 'public.orders').new.rows, 200);
  assert.deepEqual([await keys(old), await keys(copy)], was);
  assert.deepEqual((await judge({ MODE: 'after' })).problems, []);
});

test('a changed value', () => finds(/table public.customers: 40 rows/, 'frozen',
  ...swap(`UPDATE customers SET email = lower(email::text)::citext WHERE id = 3`,
          `UPDATE customers SET email = 'Customer.3@example.com' WHERE id = 3`)));

test('a lost row, also when the new side is in use', async () => {
  const { rows: [row] } = await copy.pool.query('SELECT * FROM reviews WHERE id = 4');
  await finds(/table public.reviews: 1 of 20 old rows/, 'after', sql('DELETE FROM reviews WHERE id = 4'),
    () => copy.pool.query(`INSERT INTO reviews (id, product_id, customer_id, stars, body, created_at)
      VALUES ($1, $2, $3, $4, $5, $6)`, [row.id, row.product_id, row.customer_id, row.stars, row.body, row.created_at]));
});

test('a sequence that would give an id again', () => finds(/sequence public.orders_id_seq goes on at 5/, 'after',
  ...swap(`SELECT setval('orders_id_seq', 4)`, `SELECT setval('orders_id_seq', 200)`)));

test('a lost index, a disabled trigger, an empty materialized view', async () => {
  await finds(/only on the old side: index CREATE INDEX orders_open/, 'frozen',
    ...swap('DROP INDEX orders_open', `CREATE INDEX orders_open ON orders (created_at) WHERE status IN ('pending', 'paid')`));
  await finds(/orders_touch.* enabled D/, 'frozen',
    ...swap('ALTER TABLE orders DISABLE TRIGGER orders_touch', 'ALTER TABLE orders ENABLE TRIGGER orders_touch'));
  await finds(/product_sales/, 'frozen',
    ...swap('REFRESH MATERIALIZED VIEW product_sales WITH NO DATA', 'REFRESH MATERIALIZED VIEW product_sales'));
});

test('an acknowledged order that is not there', async () => {
  fs.appendFileSync(acknowledged, '98765 2026-01-01T00:00:00Z\n');
  const { problems } = await judge({ MODE: 'after' });
  fs.writeFileSync(acknowledged, '7 2026-01-01T00:00:00Z\n');
  assert.ok(problems.some((text) => /of 2 acknowledged orders the new side has 1/.test(text)));
  assert.ok(problems.some((text) => /no receipt job, such as 98765/.test(text)));
});

test('a lost job, a changed job, jobs in another order', async () => {
  const { cache } = copy, list = 'bull:receipts:wait';
  const [first] = await cache.lrange(list, 0, 0);
  for (const [mode, pattern] of [['frozen', /receipts, waiting: .* 1 missing/], ['after', /receipts: 1 waiting jobs are missing/]]) {
    await finds(pattern, mode, () => cache.lpop(list), () => cache.lpush(list, first));
  }
  const data = await cache.hget(`bull:receipts:${first}`, 'data');
  await finds(/1 changed/, 'frozen', () => cache.hset(`bull:receipts:${first}`, 'data', '{"order":1}'),
    () => cache.hset(`bull:receipts:${first}`, 'data', data));
  await finds(/in another order/, 'frozen', () => cache.rpoplpush(list, list), () => cache.lmove(list, list, 'LEFT', 'RIGHT'));
});

test('a job that ran twice, and a done job that waits again', async () => {
  const again = `INSERT INTO job_runs (queue, job_id, attempt, ok, host) VALUES ('receipts', 'seed-completed-1', 1, true, 'again')`;
  await finds(/seed-completed-1 is completed and has 2 successful runs/, 'after',
    ...swap(again, `DELETE FROM job_runs WHERE host = 'again'`));
  const { cache } = copy, done = 'bull:receipts:completed';
  const score = await cache.zscore(done, 'seed-completed-1');
  await finds(/1 completed jobs are no longer so/, 'after',
    async () => { await cache.zrem(done, 'seed-completed-1'); await cache.rpush('bull:receipts:wait', 'seed-completed-1'); },
    async () => { await cache.lrem('bull:receipts:wait', 1, 'seed-completed-1'); await cache.zadd(done, score, 'seed-completed-1'); });
});

test('a session that lost its time to live, a job scheduler that is gone', async () => {
  const { cache } = copy;
  const [key] = (await cache.keys('session:*')).sort();
  const life = await cache.pexpiretime(key);
  await finds(/lives -1 ms on the new side/, 'frozen', () => cache.persist(key), () => cache.pexpireat(key, life));
  const scores = await cache.zrange('bull:reports:repeat', 0, -1, 'WITHSCORES');
  await finds(/queue reports: the job schedulers differ/, 'frozen', () => cache.del('bull:reports:repeat'),
    () => cache.zadd('bull:reports:repeat', scores[1], scores[0]));
});
