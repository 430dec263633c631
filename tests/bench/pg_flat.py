"""Memory and descriptors of pg.copy while it copies one table of generated rows, in tenths of the time: they stay flat.

    python3 pg_flat.py HKRUN [GIGABYTES]
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import pg_servers

HKRUN = sys.argv[1]
GIGABYTES = float(sys.argv[2]) if len(sys.argv) > 2 else 5
ROWS = int(GIGABYTES * 1e9 / 1060)
FILL = "CREATE TABLE wide AS SELECT g AS id, repeat(md5(g::text), 32) AS pad FROM generate_series(1, %d) g"


def fill(source):
    source.create("flat")
    source.sql("flat", "SET ROLE %s; ALTER DATABASE flat SET synchronous_commit = off; " % pg_servers.OWNER +
               FILL % ROWS + "; ALTER TABLE wide ALTER pad SET STORAGE EXTERNAL")


def main():
    work = tempfile.mkdtemp(prefix="hkrun-bench-flat-", dir=os.environ.get("TMPDIR", "/tmp"))
    os.chmod(work, 0o755)
    servers = []
    try:
        for name in ("source", "target"):
            servers.append(pg_servers.Server(os.path.join(work, name), 8))
        source, target = servers
        fill(source)
        target.create("flat")
        code = 'local r = require "pg".copy { from = "%s", to = "%s", progress = false } print(r.rows, r.bytes)' % (source.url("flat"), target.url("flat"))
        child = subprocess.Popen([HKRUN, "-e", code], stdout=subprocess.PIPE, text=True)
        samples = []
        while child.poll() is None:
            samples.append((pg_servers.memory(child.pid), len(os.listdir("/proc/%d/fd" % child.pid))))
            time.sleep(0.2)
        print("rows, bytes: " + child.stdout.read().strip())
        if child.returncode or target.sql("flat", "SELECT count(*) FROM wide") != str(ROWS):
            raise SystemExit("the copy is not whole")
        size = max(1, len(samples) // 10)
        for i in range(0, len(samples), size):
            part = samples[i:i + size]
            print("  %5.1f s   %5.1f MB at most   %d descriptors" % (i * 0.2, max(m for m, _ in part), max(n for _, n in part)))
        half = len(samples) // 2
        first, last = (max(m for m, _ in part) for part in (samples[:half], samples[half:]))
        if last > first + 2 or last > 30:
            raise SystemExit("memory grew: %.1f MB, then %.1f MB" % (first, last))
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work)


main()
