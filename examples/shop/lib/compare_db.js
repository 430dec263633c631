'use strict';
// Compares the shop's database on two sides. Asks PostgreSQL alone; nothing here knows how the copy was made.
const db = require('./db');

const SETTINGS = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = 'postgres';
                  SET bytea_output = 'hex'; SET extra_float_digits = 1`;

// The application changes these rows in place; to all other tables it only adds.
const CHANGED_BY_THE_SHOP = new Set(['public.inventory']);

// A row's hash covers the partition that it lies in.
const ROW_HASHES = (table) => `SELECT md5(t.tableoid::regclass || t::text) COLLATE "C" AS hash FROM ${table} AS t`;
const CHECKSUM = (table) => `SELECT count(*)::integer AS rows, md5(coalesce(string_agg(hash, '' ORDER BY hash), '')) AS md5
                               FROM (${ROW_HASHES(table)}) AS h`;

const mine = (schema) => `${schema} NOT LIKE 'pg\\_%' AND ${schema} <> 'information_schema'`;
const notOfAnExtension = (oid) => `NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = ${oid} AND e.deptype = 'e')`;
const TABLES = `SELECT format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND ${mine('n.nspname')} ORDER BY 1`;

// Everything that a copy must bring besides rows, one line of text each.
const OBJECTS = `
  SELECT format('%s %s.%s owner %s %s %s', c.relkind, n.nspname, c.relname, pg_get_userbyid(c.relowner) = current_user,
                pg_get_expr(c.relpartbound, c.oid),
                CASE WHEN c.relkind IN ('v', 'm') THEN md5(pg_get_viewdef(c.oid)) || c.relispopulated END) AS line
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE ${mine('n.nspname')} AND ${notOfAnExtension('c.oid')}
  UNION ALL SELECT format('column %s.%s %s %s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                          a.attnotnull, a.attidentity::text || a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm') AND ${mine('n.nspname')}
  UNION ALL SELECT format('index %s valid %s', pg_get_indexdef(i.indexrelid), i.indisvalid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ${mine('n.nspname')}
  UNION ALL SELECT format('constraint %s %s %s validated %s', conrelid::regclass, conname, pg_get_constraintdef(k.oid), convalidated)
    FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace WHERE k.contype <> 't' AND ${mine('n.nspname')}
  UNION ALL SELECT format('trigger %s enabled %s', pg_get_triggerdef(oid), tgenabled) FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT format('function %s %s', p.oid::regprocedure, md5(p.prosrc))
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE ${mine('n.nspname')} AND ${notOfAnExtension('p.oid')}
  UNION ALL SELECT format('enum %s %s', enumtypid::regtype, string_agg(enumlabel, ',' ORDER BY enumsortorder))
    FROM pg_enum GROUP BY enumtypid
  UNION ALL SELECT format('comment %s %s', objoid::regclass, description)
    FROM pg_description JOIN pg_class c ON c.oid = objoid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE classoid = 'pg_class'::regclass AND ${mine('n.nspname')}
  UNION ALL SELECT format('extension %s', extname) FROM pg_extension WHERE extname IN ('citext', 'pg_trgm')`;

const list = async (client, sql, column) => (await client.query(sql)).rows.map((row) => row[column]);

async function each(clients, fn) { return Promise.all(clients.map(fn)); }

async function sequences(client) {
  const names = await list(client, `SELECT format('%I.%I', schemaname, sequencename) AS name FROM pg_sequences ORDER BY 1`, 'name');
  const next = {};
  for (const name of names) {
    const { rows: [row] } = await client.query(`SELECT last_value::text AS last, is_called FROM ${name}`);
    next[name] = Number(row.last) + (row.is_called ? 1 : 0);
  }
  return next;
}

async function tables(clients, mode, problems) {
  const [oldNames, newNames] = await each(clients, (c) => list(c, TABLES, 'name'));
  for (const name of newNames) if (!oldNames.includes(name)) problems.push(`table ${name} is only on the new side`);
  const result = [];
  for (const name of oldNames) {
    if (!newNames.includes(name)) { problems.push(`table ${name} is missing on the new side`); continue; }
    const [before, after] = await each(clients, async (c) => (await c.query(CHECKSUM(name))).rows[0]);
    const row = { table: name, old: before, new: after, equal: before.rows === after.rows && before.md5 === after.md5 };
    if (!row.equal && mode === 'after') {          // the new side lives: all old rows must still be there
      const [was, is] = await each(clients, (c) => list(c, ROW_HASHES(name), 'hash'));
      const now = new Set(is);
      row.missing = was.filter((hash) => !now.has(hash)).length;
      const fine = CHANGED_BY_THE_SHOP.has(name) ? before.rows <= after.rows : row.missing === 0;
      if (!fine) problems.push(`table ${name}: ${row.missing} of ${before.rows} old rows are missing or changed on the new side`);
    } else if (!row.equal) {
      problems.push(`table ${name}: ${before.rows} rows (${before.md5}) on the old side, ${after.rows} (${after.md5}) on the new`);
    }
    result.push(row);
  }
  return result;
}

// The orders that the old side has: the new one goes on from there.
const TOTAL = 'SELECT count(*)::integer AS orders, coalesce(sum(total_cents), 0)::text AS total_cents FROM orders WHERE id <= $1';

/** Compares; mode "frozen": both sides are quiet; "after": the new side is in use. Appends to problems. */
async function compare(oldUrl, newUrl, mode, acknowledged, problems) {
  const pools = await each([oldUrl, newUrl], (url) => db.open(url, { max: 1 }));
  const clients = await each(pools, (pool) => pool.connect());
  try {
    await each(clients, (c) => c.query(SETTINGS));
    const result = { tables: await tables(clients, mode, problems) };

    const [oldObjects, newObjects] = await each(clients, async (c) => new Set(await list(c, OBJECTS, 'line')));
    result.objects = { old: oldObjects.size, new: newObjects.size };
    for (const line of oldObjects) if (!newObjects.has(line)) problems.push(`only on the old side: ${line}`);
    for (const line of newObjects) if (!oldObjects.has(line)) problems.push(`only on the new side: ${line}`);

    const [oldNext, newNext] = await each(clients, sequences);
    result.sequences = { old: oldNext, new: newNext };
    for (const [name, next] of Object.entries(oldNext)) {
      if (!(newNext[name] >= next)) problems.push(`sequence ${name} goes on at ${newNext[name]} on the new side, at ${next} on the old`);
    }

    const last = (await clients[0].query('SELECT max(id) AS id FROM orders')).rows[0].id;
    const [oldTotal, newTotal] = await each(clients, async (c) => (await c.query(TOTAL, [last])).rows[0]);
    result.totals = { old: oldTotal, new: newTotal };
    if (oldTotal.total_cents !== newTotal.total_cents) {
      problems.push(`the orders of the old side come to ${oldTotal.total_cents} cents there, to ${newTotal.total_cents} on the new side`);
    }

    const found = await clients[1].query('SELECT count(DISTINCT id)::integer AS n FROM orders WHERE id = ANY ($1)', [acknowledged]);
    result.acknowledged = { orders: new Set(acknowledged).size, found: found.rows[0].n };
    if (result.acknowledged.orders !== result.acknowledged.found) {
      problems.push(`of ${result.acknowledged.orders} acknowledged orders the new side has ${result.acknowledged.found}`);
    }
    return result;
  } finally {
    for (const client of clients) client.release();
    await each(pools, (pool) => pool.end());
  }
}

/** Successful runs in job_runs: "queue id" -> how many. */
async function runs(url) {
  const pool = await db.open(url, { max: 1 });
  const { rows } = await pool.query(
    'SELECT queue, job_id, count(*)::integer AS runs FROM job_runs WHERE ok GROUP BY queue, job_id');
  await pool.end();
  return new Map(rows.map((row) => [`${row.queue} ${row.job_id}`, row.runs]));
}

module.exports = { compare, runs };
