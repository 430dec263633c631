'use strict';
// Redis: a connection made from a URL. rediss:// is TLS; REDIS_SSLMODE=verify-full checks the certificate (against
// Node's list, which NODE_EXTRA_CA_CERTS extends), otherwise any is accepted: Heroku's are self-signed.
const Redis = require('ioredis');

function open(address, options = {}) {
  const settings = { maxRetriesPerRequest: 2, connectTimeout: 10000, ...options };
  const url = new URL(address);
  if (url.protocol === 'rediss:') {
    settings.tls = { rejectUnauthorized: process.env.REDIS_SSLMODE === 'verify-full', host: url.hostname };
  }
  const redis = new Redis(address, settings);
  let last;
  redis.on('error', (err) => {                     // ioredis connects again by itself; say each reason once
    if (err.message !== last) console.log(`redis: ${err.message}`);
    last = err.message;
  });
  redis.on('ready', () => { last = undefined; });
  return redis;
}

module.exports = { open };
