// What one writes in Node: SCAN, then PTTL and DUMP pipelined, then RESTOREs pipelined; the next keys are read when those
// are written or, as a second thought, while they are (overlap).
//   node redis_ioredis.mjs SOURCE_PORT TARGET_PORT [KEYS_A_ROUND [overlap]]        in a folder that has ioredis
import { createRequire } from 'node:module';
const Redis = createRequire(process.cwd() + '/')('ioredis');
const [sourcePort, targetPort, batch = '1000', mode = ''] = process.argv.slice(2);

async function restore(target, names, replies) {
  const pipeline = target.pipeline();
  names.forEach((name, i) => {
    const ttl = replies[2 * i][1], payload = replies[2 * i + 1][1];
    if (payload === null) return;
    if (ttl > 0) pipeline.restore(name, Date.now() + ttl, payload, 'REPLACE', 'ABSTTL');
    else pipeline.restore(name, 0, payload, 'REPLACE');
  });
  for (const [error] of await pipeline.exec()) if (error) throw error;
}

for (const db of [0, 1]) {
  const source = new Redis(+sourcePort, '127.0.0.1', { db }), target = new Redis(+targetPort, '127.0.0.1', { db });
  let cursor = '0', writing = Promise.resolve();
  do {
    const [next, names] = await source.scanBuffer(cursor, 'COUNT', +batch);
    cursor = next.toString();
    if (names.length === 0) continue;
    const pipeline = source.pipeline();
    for (const name of names) pipeline.pttl(name).dumpBuffer(name);
    const replies = await pipeline.exec();
    await writing;
    writing = restore(target, names, replies);
    if (mode !== 'overlap') await writing;
  } while (cursor !== '0');
  await writing;
  source.disconnect();
  target.disconnect();
}
