'use strict';
const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const { before, after, test } = require('node:test');
const { run, side, start } = require('./servers');

let shop, web, base;

before(async () => {
  shop = await side(11);
  const migrated = await run('migrate.js', shop.env);
  assert.equal(migrated.code, 0, migrated.err);
  const seeded = await run('seed.js', { ...shop.env, ORDERS: '300' });
  assert.equal(seeded.code, 0, seeded.err);
  await shop.connect();
  web = await start('web.js', /listens/, { ...shop.env, PORT: '0', SHOP_NAME: '<Tea> & Co' });
  base = `http://127.0.0.1:${/port (\d+)/.exec(web.line)[1]}`;
});
after(async () => {
  if (web) await web.stop();
  await shop.close();
});

const get = async (path) => (await fetch(base + path)).json();
const post = (body, key) => fetch(base + '/orders', {
  method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), headers: key ? { 'idempotency-key': key } : {},
});
const ORDER = { customer_id: 3, lines: [{ product_id: 2, quantity: 2 }, { product_id: 5, quantity: 1 }, { product_id: 2, quantity: 1 }] };

test('a second migration changes nothing', async () => {
  const again = await run('migrate.js', shop.env);
  assert.match(again.out, /there already/);
  const seeded = await run('seed.js', shop.env);
  assert.match(seeded.out, /left as it is/);
});

test('the seed makes the order totals that its lines have', async () => {
  const { rows } = await shop.pool.query(
    `SELECT count(*)::int AS n, count(*) FILTER (WHERE total_cents = (SELECT sum(amount_cents) FROM order_lines l
       WHERE l.order_id = o.id))::int AS good FROM orders o`);
  assert.deepEqual(rows[0], { n: 300, good: 300 });
});

test('the totals add up', async () => {
  const totals = await get('/totals');
  const { rows } = await shop.pool.query('SELECT count(*)::int AS orders, sum(total_cents)::float8 AS cents FROM orders');
  assert.equal(totals.orders, rows[0].orders);
  assert.equal(totals.total_cents, rows[0].cents);
  assert.equal(Object.values(totals.by_status).reduce((sum, part) => sum + part.total_cents, 0), totals.total_cents);
});

test('an acknowledged order is in the database with lines, payment and job', async () => {
  const answer = await post(ORDER);
  assert.equal(answer.status, 201);
  const { id } = await answer.json();
  const order = await get(`/orders/${id}`);
  assert.equal(order.lines.length, 3);
  assert.equal(order.total_cents, order.lines.reduce((sum, line) => sum + line.quantity * line.unit_cents, 0));
  const payment = await shop.pool.query('SELECT amount_cents, signature FROM payments WHERE order_id = $1', [id]);
  const signature = crypto.createHmac('sha256', 'stripe-key-for-tests').update(`${id}:${order.total_cents}`).digest();
  assert.deepEqual(payment.rows[0], { amount_cents: String(order.total_cents), signature });
  assert.equal(JSON.parse(await shop.cache.hget(`bull:receipts:receipt-${id}`, 'data')).order, id);
});

test('the same key twice makes one order and one job', async () => {
  const [one, two] = await Promise.all([post(ORDER, 'key-1'), post(ORDER, 'key-1')]);
  const { id } = await one.json();
  assert.equal((await two.json()).id, id);
  const { rows } = await shop.pool.query(`SELECT count(*)::int AS n FROM orders WHERE client_key = 'key-1'`);
  assert.equal(rows[0].n, 1);
  assert.equal((await shop.cache.lrange('bull:receipts:wait', 0, -1)).filter((job) => job === `receipt-${id}`).length, 1);
});

test('a bad order is refused with a sentence and leaves nothing', async () => {
  const { orders } = await get('/totals');
  for (const [bad, why] of [
    ['{"customer', /not JSON/], [{ customer_id: 'x', lines: [] }, /customer_id/], [{ customer_id: 1, lines: [] }, /1 to 100/],
    [{ customer_id: 1, lines: [{ product_id: 1, quantity: 0 }] }, /quantity/],
    [{ customer_id: 1, lines: [{ product_id: 99999, quantity: 1 }] }, /no such product/],
    [{ customer_id: 99999, lines: [{ product_id: 1, quantity: 1 }] }, /no customer 99999/],
    ['"' + 'x'.repeat(70000) + '"', /too long/],
  ]) {
    const answer = await post(bad);
    assert.equal(answer.status, 422);
    assert.match((await answer.json()).error, why);
  }
  assert.equal((await get('/totals')).orders, orders);
});

test('the trigger keeps the total when lines go', async () => {
  await shop.pool.query('DELETE FROM order_lines WHERE order_id = 2 AND line_no = 1');
  const order = await get('/orders/2');
  assert.equal(order.total_cents, order.lines.reduce((sum, line) => sum + line.amount_cents, 0));
});

test('the front page escapes the name and a session counts its visits', async () => {
  const first = await fetch(base + '/');
  const cookie = first.headers.get('set-cookie').split(';')[0];
  assert.match(await first.text(), /&#60;Tea&#62; &#38; Co/);
  const second = await (await fetch(base + '/', { headers: { cookie } })).text();
  assert.match(second, /visits: 2\./);
  const forged = await (await fetch(base + '/', { headers: { cookie: cookie.slice(0, -2) + 'zz' } })).text();
  assert.match(forged, /visits: 1\./);
});

test('unknown paths are 404, and health is 200', async () => {
  assert.equal((await fetch(base + '/orders/999999')).status, 404);
  assert.equal((await fetch(base + '/nothing')).status, 404);
  const health = await fetch(base + '/health');
  assert.equal(health.status, 200);
  assert.deepEqual(await health.json(), { status: 'ok', database: 'ok', redis: 'ok' });
});

test('SIGTERM lets the request in flight finish and exits with 0', async () => {
  const client = await shop.pool.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM inventory WHERE product_id = 9 FOR UPDATE');
  const pending = post({ customer_id: 1, lines: [{ product_id: 9, quantity: 1 }] });
  const waits = async () => (await shop.pool.query(
    `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`)).rowCount > 0;
  while (!await waits()) await new Promise((resolve) => setTimeout(resolve, 20));
  const stopped = web.stop();
  while (!web.lines.some((line) => /finishing/.test(line))) await new Promise((resolve) => setTimeout(resolve, 20));
  await client.query('COMMIT');
  client.release();
  assert.equal((await pending).status, 201);
  assert.equal(await stopped, 0);
  web = undefined;
});

test('a missing config var is named', async () => {
  const result = await run('web.js', { ...shop.env, STRIPE_SECRET_KEY: '' });
  assert.equal(result.code, 1);
  assert.match(result.err, /STRIPE_SECRET_KEY is not set/);
});
