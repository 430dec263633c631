"""pg.copy against pgcopydb, against pg_dump, pg_restore and vacuumdb together, and against a bare relay of the bytes.

    python3 pg.py HKRUN RELAY LINK [SCALE] [ROUNDS]

Two clusters with default settings, the client on the same machine; peers in turns, medians of the rounds, the target
anew and a checkpoint on both sides before each. hkrun runs as an ordinary owner that may have three connections to
either side, which the servers enforce; the others run as superuser. What hkrun made is compared with the source by
pg.same and by pg_dump -s. PGCOPYDB is pgcopydb 0.18 (tools/pgcopydb.sh): with its defaults, and with those options that
make it fastest. It loses CLUSTER ON: it does a little less.
"""
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import pg_servers

HKRUN, RELAY, LINK = sys.argv[1:4]
SCALE = float(sys.argv[4]) if len(sys.argv) > 4 else 1
ROUNDS = int(sys.argv[5]) if len(sys.argv) > 5 else 5
PGCOPYDB = os.environ.get("PGCOPYDB")
MISSED = []


def goal(what, value, limit, unit=""):
    yes = value <= limit
    if not yes:
        MISSED.append(what)
    print("  %-58s %8.2f%s  at most %.2f%s" % (what, value, unit, limit, "" if yes else "   MISSED"), flush=True)


def copy(source, target, options="", code=""):
    return "%s -e 'local r = require \"pg\".copy { from = \"%s\", to = \"%s\", progress = false, %s } print(r.bytes) %s'" % (
        HKRUN, source, target, options, code)


def dump_text(server, database):
    """The schema without what is new in each dump; the ownership of what belongs to nobody's copy stays out."""
    line = [os.path.join(pg_servers.BIN, "pg_dump"), "-s", "-h", "127.0.0.1", "-p", str(server.port), "-U", "postgres", database]
    text = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.sub(r"(?m)^(\\(un)?restrict .*|-- Dumped .*)\n", "", text)


def make_sources(source):
    source.create("app")
    code = "local s = require \"tests.support.pg_source\"; local c <close> = require \"pg\".open(\"%s\"); s.fill(c, %g)"
    path = "package.path = \"./?.lua;\" .. package.path; "
    source.sql("postgres", "ALTER ROLE %s SUPERUSER" % pg_servers.OWNER)
    subprocess.run([HKRUN, "-e", path + code % (source.url("app"), SCALE)], check=True)
    source.sql("postgres", "ALTER ROLE %s NOSUPERUSER" % pg_servers.OWNER)
    source.create("bench")
    subprocess.run([os.path.join(pg_servers.BIN, "pgbench"), "-i", "-q", "-s", str(max(1, int(50 * SCALE))), "-h", "127.0.0.1", "-p", str(source.port),
                    "-U", pg_servers.OWNER, "bench"], check=True, stderr=subprocess.DEVNULL)
    source.create("dominant")
    source.sql("dominant", "SET ROLE %s; CREATE SCHEMA app" % pg_servers.OWNER)
    pipe = "{0}/pg_dump -s -t app.events --section=pre-data {1} | grep -v setval | {0}/psql -Xq {2}; {0}/psql -Xc 'COPY app.events TO STDOUT (FORMAT binary)' {1} | " \
           "{0}/psql -Xc 'COPY app.events FROM STDIN (FORMAT binary)' {2}"
    subprocess.run(pipe.format(pg_servers.BIN, source.url("app"), source.url("dominant")), shell=True, check=True, stdout=subprocess.DEVNULL)
    source.sql("dominant", "VACUUM (FREEZE, ANALYZE)")


def peers(source, target, work, database):
    from_, to = source.url(database, "postgres"), target.url(database, "postgres")
    found = {"hkrun": copy(source.url(database), target.url(database))}
    if PGCOPYDB:
        line = "rm -rf {0}/w; {1} clone --source {2} --target {3} --table-jobs 2 --index-jobs 2 --dir {0}/w".format(work, PGCOPYDB, from_, to)
        found["pgcopydb"] = line
        found["pgcopydb, binary, split"] = line + " --use-copy-binary --split-tables-larger-than 200MB"
    found["pg_dump and pg_restore"] = "rm -rf {0}/d; {1}/pg_dump -Fd -j2 -Z0 -f {0}/d {2} && {1}/pg_restore -j2 -d {3} {0}/d && {1}/vacuumdb -qZ -j2 -d {3}".format(
        work, pg_servers.BIN, from_, to)
    return found


def rounds(source, target, database, commands, before=None):
    """The median of each, and all runs of hkrun."""
    runs = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, line in commands.items():
            target.create(database)
            if before:
                before()
            for server in (source, target):
                server.sql("postgres", "CHECKPOINT")
            runs[name].append(pg_servers.measure(line, (source, target)))
    print("%s: seconds by the clock; CPU seconds of the client, the source, the target; peak MB" % database)
    medians = {}
    for name, list_ in runs.items():
        m = {k: statistics.median(r[k] for r in list_) for k in ("wall", "client", "peak")}
        m["servers"] = [statistics.median(r["servers"][i] for r in list_) for i in (0, 1)]
        medians[name] = m
        print("  %-24s %6.2f (%.2f-%.2f)   %5.2f %5.2f %5.2f   %5.1f" % (name, m["wall"], min(r["wall"] for r in list_), max(r["wall"] for r in list_),
              m["client"], *m["servers"], m["peak"]), flush=True)
    return medians, runs


def verify(source, target, database):
    began = time.perf_counter()
    subprocess.run([HKRUN, "-e", "require \"pg\".same { \"%s\", \"%s\", progress = false }" % (source.url(database), target.url(database))], check=True, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - began
    if dump_text(source, database) != dump_text(target, database):
        raise SystemExit("pg_dump -s of %s differs" % database)
    return took


def whole(source, target, work, database, limits):
    medians, runs = rounds(source, target, database, peers(source, target, work, database))
    target.create(database)
    pg_servers.measure(copy(source.url(database), target.url(database)), ())
    took = statistics.median(verify(source, target, database) for _ in range(ROUNDS))
    ours = medians["hkrun"]
    for name, limit in limits.items():
        if name in medians:
            goal("%s: by the clock, to %s" % (database, name), ours["wall"] / medians[name]["wall"], limit)
    if database == "app":
        goal("app: copied and compared, to copied", (ours["wall"] + took) / ours["wall"], 1.35)
    return runs["hkrun"]


def dominant(source, target):
    """One table, no index: against two streams that only pass bytes on."""
    blocks = source.sql("dominant", "SELECT pg_relation_size('app.events') / 8192")
    commands = {"hkrun": copy(source.url("dominant"), target.url("dominant"), "analyze = false"),
                "two bare streams": "%s %d %d %s dominant app.events %s 2" % (RELAY, source.port, target.port, pg_servers.OWNER, blocks)}
    schema = dump_text(source, "dominant")
    table = os.path.join(source.folder, "dominant.sql")
    with open(table, "w") as f:
        f.write(schema)

    def only_for_relay():
        pass
    commands["two bare streams"] = "%s/psql -Xq -f %s %s > /dev/null && %s" % (pg_servers.BIN, table, target.url("dominant"), commands["two bare streams"])
    medians, runs = rounds(source, target, "dominant", commands, only_for_relay)
    moved = int(runs["hkrun"][0]["said"].split()[-1])
    goal("one table: by the clock, to two bare streams", medians["hkrun"]["wall"] / medians["two bare streams"]["wall"], 1.05)
    goal("one table: CPU of the client a GB", medians["hkrun"]["client"] / moved * 1e9, 0.5, " s")


def slow_link(source, target):
    port = pg_servers.free_port()
    link = subprocess.Popen([LINK, str(port), str(target.port), str(200e6 / 8)], stdout=subprocess.PIPE)
    target.create("app")
    pg_servers.measure(copy(source.url("app"), target.url("app", port=port)), (source, target))
    link.terminate()
    moved, seconds = link.communicate()[0].split()
    share = int(moved) / float(seconds) / (200e6 / 8)
    goal("20 ms, 200 Mbit/s: share of the link that is not used", 1 - share, 0.05)


def main():
    work = tempfile.mkdtemp(prefix="hkrun-bench-pg-", dir=os.environ.get("TMPDIR", "/tmp"))
    os.chmod(work, 0o755)
    servers = []
    try:
        for name in ("source", "target"):
            servers.append(pg_servers.Server(os.path.join(work, name), 3 if name == "target" else 8))
        source, target = servers
        make_sources(source)
        source.sql("postgres", "ALTER ROLE %s CONNECTION LIMIT 3" % pg_servers.OWNER)
        runs = whole(source, target, work, "app", {"pgcopydb": 0.80, "pgcopydb, binary, split": 0.95, "pg_dump and pg_restore": 0.95})
        runs += whole(source, target, work, "bench", {"pgcopydb": 0.9})
        goal("memory of the client, highest of all runs", max(r["peak"] for r in runs), 30, " MB")
        dominant(source, target)
        slow_link(source, target)
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work)
    if MISSED:
        raise SystemExit("missed: " + ", ".join(MISSED))


main()
