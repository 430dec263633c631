'use strict';
// PostgreSQL: a pool made from a URL.
//
// TLS, by sslmode in the URL, else by PGSSLMODE:
//   disable                  never
//   prefer (the default)     when the server offers it, whatever its certificate: Heroku's are self-signed
//   require, no-verify       always, whatever the certificate
//   verify-ca, verify-full   always, and the certificate is checked: against sslrootcert (in the URL) or
//                            PGSSLROOTCERT, else against Node's own list, which NODE_EXTRA_CA_CERTS extends
const fs = require('node:fs');
const net = require('node:net');
const pg = require('pg');

/** Asks the server whether it speaks TLS (SSLRequest, PostgreSQL documentation 55.2.10). */
function offersTls(host, port) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, host);
    socket.setTimeout(10000, () => socket.destroy(new Error(`no answer from ${host}:${port}`)));
    socket.once('connect', () => socket.write(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])));
    socket.once('data', (bytes) => { socket.destroy(); resolve(bytes[0] === 0x53); });
    socket.once('error', reject);
    socket.once('close', () => reject(new Error(`${host}:${port} closed the connection`)));
  });
}

async function tlsOptions(url) {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const mode = url.searchParams.get('sslmode') || process.env.PGSSLMODE || 'prefer';
  const root = url.searchParams.get('sslrootcert') || process.env.PGSSLROOTCERT;
  switch (mode) {
    case 'disable': return false;
    case 'allow': case 'prefer':
      return await offersTls(host, Number(url.port) || 5432) && { rejectUnauthorized: false };
    case 'require': case 'no-verify': return { rejectUnauthorized: false };
    case 'verify-ca': case 'verify-full': {
      const tls = { rejectUnauthorized: true, host };
      if (root && root !== 'system') tls.ca = fs.readFileSync(root, 'utf8');
      if (mode === 'verify-ca') tls.checkServerIdentity = () => undefined;
      return tls;
    }
    default: throw new Error(`unknown sslmode "${mode}"`);
  }
}

/** A pool for the database at `address`; `options` as in pg.Pool. */
async function open(address, options = {}) {
  const url = new URL(address);
  const ssl = await tlsOptions(url);
  url.searchParams.delete('sslmode');
  url.searchParams.delete('sslrootcert');
  const pool = new pg.Pool({
    connectionString: url.href, ssl, max: 5, connectionTimeoutMillis: 10000, ...options,
  });
  pool.on('error', (err) => console.log(`db: ${err.message}`));   // an idle connection was closed by the server
  return pool;
}

/** Runs fn(client) in a transaction. */
async function transaction(pool, fn) {
  const client = await pool.connect();
  let broken;
  try {
    await client.query('BEGIN');
    const result = await fn(client);
    await client.query('COMMIT');
    return result;
  } catch (err) {
    await client.query('ROLLBACK').catch((e) => { broken = e; });
    throw err;
  } finally {
    client.release(broken);
  }
}

module.exports = { open, transaction };
