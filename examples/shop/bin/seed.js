#!/usr/bin/env node
'use strict';
// Fills an empty, migrated database by db/seed.sql. ORDERS: how many orders (100000).
const fs = require('node:fs');
const path = require('node:path');
const { number, required } = require('../lib/config');
const { open, transaction } = require('../lib/db');

async function main() {
  const orders = number('ORDERS', 100000);
  if (!Number.isInteger(orders) || orders < 1) throw new Error('ORDERS must be a whole number from 1');
  const sql = fs.readFileSync(path.join(__dirname, '..', 'db', 'seed.sql'), 'utf8');
  const pool = await open(required('DATABASE_URL'), { max: 1 });
  const seeded = await transaction(pool, async (db) => {
    if ((await db.query('SELECT FROM categories LIMIT 1')).rowCount > 0) return false;
    await db.query(`SELECT set_config('shop.orders', $1, true)`, [String(orders)]);
    await db.query(sql);
    return true;
  });
  await pool.end();
  console.log(seeded ? `seed: ${orders} orders and all that belongs to them` : 'seed: the database is not empty; left as it is');
}

main().catch((err) => { console.error(`seed: ${err.message}`); process.exit(1); });
