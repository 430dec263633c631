#!/usr/bin/env node
'use strict';
// Brings the database to db/schema.sql. Does nothing when that very schema was applied before.
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { required } = require('../lib/config');
const { open, transaction } = require('../lib/db');

async function main() {
  const sql = fs.readFileSync(path.join(__dirname, '..', 'db', 'schema.sql'), 'utf8');
  const version = crypto.createHash('sha256').update(sql).digest('hex').slice(0, 16);
  const pool = await open(required('DATABASE_URL'), { max: 1 });
  const applied = await transaction(pool, async (db) => {
    await db.query('SELECT pg_advisory_xact_lock(7221)');          // one migration at a time
    if ((await db.query(`SELECT to_regclass('schema_versions') AS found`)).rows[0].found !== null) {
      if ((await db.query('SELECT FROM schema_versions WHERE version = $1', [version])).rowCount > 0) return false;
    } else {
      await db.query('CREATE TABLE schema_versions (version text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())');
    }
    await db.query(sql);
    await db.query('INSERT INTO schema_versions (version) VALUES ($1)', [version]);
    return true;
  });
  await pool.end();
  console.log(applied ? `migrate: schema ${version} applied` : `migrate: schema ${version} is there already`);
}

main().catch((err) => { console.error(`migrate: ${err.message}`); process.exit(1); });
