'use strict';
// Sessions: a signed cookie, and a key in Redis that lives a day.
const crypto = require('node:crypto');

const DAY = 24 * 60 * 60;                          // seconds

const sign = (id, secret) => crypto.createHmac('sha256', secret).update(id).digest('base64url');

function read(cookies, secret) {
  const found = /(?:^|;\s*)session=([0-9a-f]{32})\.([\w-]{43})(?:;|$)/.exec(cookies || '');
  if (!found) return undefined;
  const good = crypto.timingSafeEqual(Buffer.from(sign(found[1], secret)), Buffer.from(found[2]));
  return good ? found[1] : undefined;
}

/** Counts a visit: { count, cookie }. */
async function visit(cache, cookies, secret) {
  const id = read(cookies, secret) || crypto.randomBytes(16).toString('hex');
  const key = `session:${id}`;
  const [[, count]] = await cache.multi().hincrby(key, 'visits', 1).expire(key, DAY).exec();
  return { count, cookie: `session=${id}.${sign(id, secret)}; Path=/; HttpOnly; SameSite=Lax; Max-Age=${DAY}` };
}

module.exports = { visit };
