#!/usr/bin/env node
'use strict';
// A customer: traffic.js URL|FILE places orders until SIGTERM. A FILE holds the URL, and after a space the name to
// send as Host, if any; it is read again for each attempt, as a name server would be asked.
//
//   RATE           orders a second (10)            CUSTOMERS     orders come from customers 1 to this (10)
//   ACKNOWLEDGED   file: one line for each acknowledged order, its id first (acknowledged.txt)
//   SUMMARY        file for the summary, which is printed too
//
// An order that is not acknowledged is placed again, with the same key, every 100 ms: 503 means "closed, try again".
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const https = require('node:https');
const { number, wait } = require('../lib/config');

const RETRY_EVERY = 100, PATIENCE = 10000;         // ms

function target(argument) {
  if (/^https?:/.test(argument)) return { url: argument };
  const [url, host] = fs.readFileSync(argument, 'utf8').trim().split(/\s+/);
  return { url, host };
}

function post({ url, host }, key, order) {
  return new Promise((resolve, reject) => {
    const to = new URL('/orders', url);
    const body = JSON.stringify(order);
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'idempotency-key': key };
    if (host) headers.host = host;
    const request = (to.protocol === 'https:' ? https : http).request(to,
      { method: 'POST', headers, agent: false, timeout: PATIENCE }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(chunks).toString('utf8') }));
        response.on('error', reject);
      });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.end(body);
  });
}

/** The id of the acknowledged order, or why there is none. */
async function place(argument, key, order) {
  try {
    const answer = await post(target(argument), key, order);
    if (answer.status === 201) return { id: JSON.parse(answer.body).id };
    return { why: String(answer.status) };
  } catch (err) {
    return { why: err.code || err.message };
  }
}

async function main() {
  const argument = process.argv[2];
  if (!argument) { console.error('usage: traffic.js URL|FILE'); process.exit(2); }
  const rate = number('RATE', 10), customers = number('CUSTOMERS', 10);
  const file = process.env.ACKNOWLEDGED || 'acknowledged.txt';
  const run = crypto.randomBytes(6).toString('hex');
  const summary = { acknowledged: 0, refused: 0, refusals: {}, longest_gap_ms: 0, gap_from: null, gap_until: null };
  let stopping = false, last;
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { stopping = true; });

  const acknowledge = (id) => {
    const now = Date.now();
    fs.appendFileSync(file, `${id} ${new Date(now).toISOString()}\n`);
    summary.acknowledged += 1;
    if (last !== undefined && now - last > summary.longest_gap_ms) {
      summary.longest_gap_ms = now - last;
      summary.gap_from = new Date(last).toISOString();
      summary.gap_until = new Date(now).toISOString();
    }
    last = now;
  };

  for (let n = 0; !stopping; n++) {
    const next = Date.now() + 1000 / rate;
    const order = {
      customer_id: 1 + n % customers,
      lines: [{ product_id: 1 + n % 20, quantity: 1 + n % 3 }, { product_id: 1 + (n + 7) % 20, quantity: 1 }],
    };
    while (!stopping) {
      const { id, why } = await place(argument, `${run}-${n}`, order);
      if (id !== undefined) { acknowledge(id); break; }
      summary.refused += 1;
      summary.refusals[why] = (summary.refusals[why] || 0) + 1;
      await wait(RETRY_EVERY);
    }
    if (!stopping) await wait(Math.max(0, next - Date.now()));
  }

  const text = JSON.stringify(summary) + '\n';
  if (process.env.SUMMARY) fs.writeFileSync(process.env.SUMMARY, text);
  process.stdout.write(text);
}

main().catch((err) => { console.error(`traffic: ${err.message}`); process.exit(1); });
