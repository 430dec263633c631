"""The data sets of `make bench-redis`, as commands for redis-cli --pipe; the same bytes each time.

    python3 redis_source.py small|mixed [SCALE]

small: 1,000,000 strings of 100 bytes. mixed: some 200,000 keys of every type in two databases, about 500 MB in memory:
documents, counters, binary names, hashes, lists, sets, sorted sets, streams with groups and pending entries, job queues
as BullMQ lays them out, a sixth of the keys with an expiry, and five keys of 10 to 35 MB.
"""
import json
import random
import sys

KIND = sys.argv[1]
SCALE = float(sys.argv[2]) if len(sys.argv) > 2 else 1
RANDOM = random.Random(11)
WORDS = "order invoice customer retry worker queue tenant payload refund webhook commit latency naïve 東京".split()
TEXT = " ".join(RANDOM.choice(WORDS) for _ in range(50000))
BYTES = RANDOM.randbytes(1 << 20)
EXPIRY = 4102444800000                       # the year 2100, in milliseconds
out, waiting = sys.stdout.buffer, []


def send(*words):
    parts = [b"*%d\r\n" % len(words)]
    for w in words:
        w = w if isinstance(w, bytes) else str(w).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(w), w))
    waiting.append(b"".join(parts))
    if len(waiting) >= 1000:
        flush()


def flush():
    out.write(b"".join(waiting))
    waiting.clear()


def text(n):
    at = RANDOM.randrange(len(TEXT) - n)
    return TEXT[at:at + n]


def raw(n):
    at = RANDOM.randrange(len(BYTES) - n)
    return BYTES[at:at + n]


def many(n):
    return range(max(2, int(n * SCALE)))


def small():
    for i in many(1000000):
        send("SET", "key:%010d" % i, raw(100))


def strings():
    for i in many(70000):
        send("SET", "page:%d" % i, json.dumps({"id": i, "title": text(24), "body": text(RANDOM.choice((50, 220, 800, 2600)))}),
             *(("PXAT", EXPIRY + i * 977) if i % 3 == 0 else ()))
    for i in many(10000):
        send("SET", "count:%d" % i, i * 13)
    for i in many(3000):
        send("SET", "blob:%d" % i, raw(RANDOM.choice((16, 400, 9000))))
    for i in many(500):
        send("SET", b"odd:\x00\xff\r\n \"" + raw(8) + b"%d" % i, raw(24))
    send("SET", "", "")


def collections():
    for i in many(35000):
        send("HSET", "session:%d" % i, *(w for k in range(50) for w in ("field_%d" % k, text(8 + (i + k) % 30))))
        if i % 4 == 0:
            send("PEXPIREAT", "session:%d" % i, EXPIRY + i)
    for i in many(12000):
        send("RPUSH", "list:%d" % i, *(text(10 + (i + k) % 20) for k in range(200)))
    for i in many(14000):
        send("SADD", "set:%d" % i, *("m%d" % ((i * 31 + k * 7) % 100000) for k in range(120)))
    for i in many(4000):
        send("SADD", "numbers:%d" % i, *(i + k * 3 for k in range(60)))
    for i in many(14000):
        send("ZADD", "rank:%d" % i, *(w for k in range(100) for w in (i * k % 977 + k / 7, "user:%d" % ((i * 17 + k * 13) % 100000))))
    send("PFADD", "visitors", *range(5000))
    send("SETBIT", "bits", 800001, 1)
    send("GEOADD", "places", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")


def streams():
    for i in many(1500):
        key = "stream:%d" % i
        for e in range(60):
            send("XADD", key, "%d-%d" % (1700000000000 + e, e), "event", "paid", "note", text(40))
        send("XGROUP", "CREATE", key, "mailer", "0")
        send("XGROUP", "CREATE", key, "audit", "$", "ENTRIESREAD", 3)
        send("XREADGROUP", "GROUP", "mailer", "worker%d" % (i % 3), "COUNT", 10, "STREAMS", key, ">")
        send("XACK", key, "mailer", "1700000000001-1")
        send("XDEL", key, "1700000000050-50")


def queues():
    for q in range(8):
        key = "bull:queue%d:" % q
        jobs = many(4500)
        send("HSET", key + "meta", "opts.maxLenEvents", 10000)
        send("SET", key + "id", len(jobs))
        for j in jobs:
            send("HSET", key + str(j), "name", "mail", "data", json.dumps({"to": "u%d@example.com" % j, "html": text(300)}), "opts", '{"attempts":3}',
                 "timestamp", 1700000000000 + j, "delay", 0, "priority", j % 5, "attemptsMade", 1, "stacktrace", "[]")
            state = ("wait", "completed", "delayed", "failed")[j // 500 % 4]
            if state == "wait":
                send("LPUSH", key + "wait", j)
            else:
                send("ZADD", key + state, (1800000000000 + j) * 4096 if state == "delayed" else 1700000002000 + j, j)
        for e in many(3000):
            send("XADD", key + "events", "%d-0" % (1700000000000 + e), "event", "completed", "jobId", e)


def large():
    for j in range(0, len(many(200000)), 1000):
        send("HSET", "large:hash", *(w for i in range(j, j + 1000) for w in ("f%d" % i, text(40))))
        send("SADD", "large:set", *("x%d" % i for i in range(j, j + 1000)))
    for j in range(0, len(many(300000)), 1000):
        send("ZADD", "large:zset", *(w for i in range(j, j + 1000) for w in (i * 1.1, "member:%d" % i)))
    for j in range(0, len(many(400000)), 1000):
        send("RPUSH", "large:list", *(text(24) for _ in range(1000)))
    send("SET", "large:string", BYTES * max(1, int(35 * SCALE)))


if KIND == "small":
    small()
else:
    for fill in (strings, collections, streams, queues, large):
        fill()
    send("SELECT", 1)
    for n in many(2000):
        send("SET", "one:%d" % n, text(50))
flush()
