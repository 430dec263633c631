'use strict';
// Orders in the database.
const crypto = require('node:crypto');
const { transaction } = require('./db');

class Refused extends Error {}                     // the customer's mistake

function checkLines(body) {
  const lines = body && body.lines;
  const whole = (n, max) => Number.isInteger(n) && n >= 1 && n <= max;
  if (!body || !whole(body.customer_id, Number.MAX_SAFE_INTEGER)) throw new Refused('customer_id must be a whole number');
  if (!Array.isArray(lines) || lines.length < 1 || lines.length > 100) throw new Refused('lines must hold 1 to 100 lines');
  for (const line of lines) {
    if (!line || !whole(line.product_id, 2 ** 31 - 1) || !whole(line.quantity, 1000)) {
      throw new Refused('each line needs a product_id and a quantity from 1 to 1000');
    }
  }
  return lines;
}

/**
 * Creates an order with its lines, payment and event in one transaction and returns its id.
 * The same key a second time returns the order that the first call made.
 */
async function create(pool, body, { key, client, secret }) {
  const lines = checkLines(body);
  const products = lines.map((line) => line.product_id);
  const quantities = lines.map((line) => line.quantity);
  return transaction(pool, async (db) => {
    const made = await db.query(
      `INSERT INTO orders (customer_id, status, attributes, client_key)
       SELECT id, 'paid', $2, $3 FROM customers WHERE id = $1
       ON CONFLICT (client_key) DO NOTHING RETURNING id`,
      [body.customer_id, { channel: 'web' }, key]);
    if (made.rowCount === 0) {
      const known = key && await db.query('SELECT id FROM orders WHERE client_key = $1', [key]);
      if (known && known.rowCount === 1) return Number(known.rows[0].id);
      throw new Refused(`there is no customer ${body.customer_id}`);
    }
    const id = made.rows[0].id;

    await db.query('SELECT FROM inventory WHERE product_id = ANY ($1) ORDER BY product_id FOR UPDATE', [products]);
    const added = await db.query(
      `INSERT INTO order_lines (order_id, line_no, product_id, quantity, unit_cents)
       SELECT $1, wanted.n, p.id, wanted.quantity, p.price_cents
         FROM unnest($2::integer[], $3::integer[]) WITH ORDINALITY AS wanted (product_id, quantity, n)
         JOIN products p ON p.id = wanted.product_id`,
      [id, products, quantities]);
    if (added.rowCount !== lines.length) throw new Refused('there is no such product');
    await db.query(
      `UPDATE inventory SET reserved = reserved + wanted.quantity
         FROM (SELECT product_id, sum(quantity) AS quantity FROM unnest($1::integer[], $2::integer[])
                 AS line (product_id, quantity) GROUP BY product_id) AS wanted
        WHERE inventory.product_id = wanted.product_id`,
      [products, quantities]);

    const { rows: [order] } = await db.query('SELECT total_cents FROM orders WHERE id = $1', [id]);
    const signature = crypto.createHmac('sha256', secret).update(`${id}:${order.total_cents}`).digest();
    await db.query('INSERT INTO payments (order_id, amount_cents, signature) VALUES ($1, $2, $3)',
      [id, order.total_cents, signature]);
    await db.query(`INSERT INTO events (order_id, kind, client) VALUES ($1, 'order created', $2)`, [id, client]);
    return Number(id);
  });
}

/** One order with its lines, or undefined. */
async function get(pool, id) {
  const order = await pool.query(
    'SELECT id, number, customer_id, status, total_cents, attributes, created_at FROM orders WHERE id = $1', [id]);
  if (order.rowCount === 0) return undefined;
  const lines = await pool.query(
    `SELECT line_no, product_id, quantity, unit_cents, amount_cents FROM order_lines
      WHERE order_id = $1 ORDER BY line_no`, [id]);
  const numbers = (row) => {
    for (const name of ['id', 'customer_id', 'total_cents', 'unit_cents', 'amount_cents']) {
      if (name in row) row[name] = Number(row[name]);
    }
    return row;
  };
  return { ...numbers(order.rows[0]), lines: lines.rows.map(numbers) };
}

/** How many orders there are and what they are worth, in all and by status. */
async function totals(pool) {
  const { rows } = await pool.query('SELECT status, orders, total_cents FROM order_totals ORDER BY status');
  const result = { orders: 0, total_cents: 0, by_status: {} };
  for (const row of rows) {
    const part = { orders: Number(row.orders), total_cents: Number(row.total_cents) };
    result.by_status[row.status] = part;
    result.orders += part.orders;
    result.total_cents += part.total_cents;
  }
  return result;
}

module.exports = { Refused, create, get, totals };
