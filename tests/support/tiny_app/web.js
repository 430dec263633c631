'use strict';
// The smallest app: it answers, and needs nothing but node.
const server = require('node:http').createServer((request, response) => {
  const known = request.url === '/' || request.url === '/health';
  response.writeHead(known ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ ok: known, database: Boolean(process.env.DATABASE_URL) }) + '\n');
});
server.listen(process.env.PORT || 3000);
process.on('SIGTERM', () => process.exit(0));
