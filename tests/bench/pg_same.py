"""pg.same against a script that compares as people do it: psql, a hash of each row's text, pg_dump -s, both sides at once.

    python3 pg_same.py HKRUN [SCALE] [ROUNDS]

The realistic source and a copy of it in two clusters with default settings, on this machine with the client; in turns,
medians of the rounds.
"""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile

import pg_servers

HKRUN = sys.argv[1]
SCALE = float(sys.argv[2]) if len(sys.argv) > 2 else 1
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5

SCRIPT = r"""
set -eu
export PGOPTIONS='-c extra_float_digits=3 -c timezone=UTC -c datestyle=ISO -c search_path=pg_catalog'
side () {
  psql -XAtq "$1" <<'SQL' > "$2.rows"
SELECT format('SELECT %L, count(*), sum(hashtextextended(t::text, 0)::numeric) FROM ONLY %s t', c.oid::regclass, c.oid::regclass)
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'm') AND nspname !~ '^pg_|^information_schema$' ORDER BY c.oid::regclass::text \gexec
SELECT format('SELECT %L, last_value, is_called FROM %s', c.oid::regclass, c.oid::regclass) FROM pg_class c WHERE relkind = 'S' ORDER BY c.oid::regclass::text \gexec
SELECT oid, md5(lo_get(oid)), pg_get_userbyid(lomowner) FROM pg_largeobject_metadata ORDER BY oid;
SQL
  pg_dump -s "$1" | grep -v '^-- Dumped\|restrict' > "$2.schema"
}
side "$1" "$3/a" & side "$2" "$3/b" & wait
cmp "$3/a.rows" "$3/b.rows" && cmp "$3/a.schema" "$3/b.schema"
"""


def ask(code, **names):
    return subprocess.run([HKRUN, "-e", code % names], check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    work = tempfile.mkdtemp(prefix="hkrun-bench-same-", dir=os.environ.get("TMPDIR", "/tmp"))
    os.chmod(work, 0o755)
    servers = []
    try:
        for name in ("a", "b"):
            servers.append(pg_servers.Server(os.path.join(work, name), 8))
        for server in servers:
            server.create("app")
            server.sql("postgres", "ALTER ROLE %s SUPERUSER" % pg_servers.OWNER)
            ask('local s = dofile "tests/support/pg_source.lua" local c <close> = require "pg".open "%(url)s" s.fill(c, %(scale)g)',
                url=server.url("app"), scale=SCALE)
        urls = [s.url("app") for s in servers]
        script = os.path.join(work, "compare.sh")
        with open(script, "w") as f:
            f.write(SCRIPT)
        lines = {
            "pg.same": "%s -e 'print(#require \"pg\".same { \"%s\", \"%s\", progress = false })'" % (HKRUN, *urls),
            "psql, text, pg_dump": "PATH=%s:$PATH sh %s %s %s %s" % (pg_servers.BIN, script, *urls, work),
        }
        runs = {name: [] for name in lines}
        for _ in range(ROUNDS):
            for name, line in lines.items():
                runs[name].append(pg_servers.measure(line, servers))
        print("compare, scale %g: seconds by the clock; CPU seconds of the client, of both servers; peak MB" % SCALE)
        for name, list_ in runs.items():
            print("  %-24s %6.2f (%.2f-%.2f)   %5.2f %6.2f   %5.1f" % (
                name, statistics.median(r["wall"] for r in list_), min(r["wall"] for r in list_), max(r["wall"] for r in list_),
                statistics.median(r["client"] for r in list_), statistics.median(sum(r["servers"]) for r in list_), max(r["peak"] for r in list_)))
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work)


main()
