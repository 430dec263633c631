"""redis.copy against a bare relay of DUMP and RESTORE, a script on ioredis, plain and overlapping, and RedisShake.

    python3 redis.py HKRUN RELAY [SCALE] [ROUNDS]

Two redis-servers with default settings and no persistence, the client on the same machine; peers in turns, medians of the
rounds, the target empty before each. What hkrun made is compared by DEBUG DIGEST and by redis.same, which sees expiry
times and streams too. ioredis comes from npm; RedisShake is measured where redis-shake is in the PATH.
"""
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HKRUN, RELAY = sys.argv[1:3]
SCALE = float(sys.argv[3]) if len(sys.argv) > 3 else 1
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 5
HERE = os.path.dirname(os.path.abspath(__file__))
MISSED = []


def goal(what, value, limit, unit=""):
    yes = value <= limit
    if not yes:
        MISSED.append(what)
    print("  %-58s %8.2f%s  at most %.2f%s" % (what, value, unit, limit, "" if yes else "   MISSED"), flush=True)


class Server:
    def __init__(self, work, name):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = "redis://127.0.0.1:%d" % self.port
        os.mkdir(os.path.join(work, name))
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--save", "", "--enable-debug-command", "local",
                                         "--bind", "127.0.0.1", "--dir", os.path.join(work, name)], stdout=subprocess.DEVNULL)
        for _ in range(200):
            if self.ask("PING", check=False) == "PONG":
                break
            time.sleep(0.05)

    def ask(self, *words, check=True):
        run = subprocess.run(["redis-cli", "-p", str(self.port), *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if check and run.returncode != 0:
            raise SystemExit("redis-cli %s failed" % words[0])
        return run.stdout.strip()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def measured(line, cwd):
    """Seconds, seconds of CPU, MB of the client at its largest."""
    began = time.monotonic()
    p = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=cwd)
    said = p.stderr.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = status
    if status != 0:
        raise SystemExit("%s failed: %s" % (line[0], said.decode(errors="replace")[-500:]))
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def copy(source, target, more=""):
    return [HKRUN, "-e", 'require "redis".copy { from = "%s", to = "%s", %s }' % (source.url, target.url, more)]


def ioredis(work):
    """The folder that has it, or None."""
    if not shutil.which("npm"):
        return None
    run = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", work, "ioredis@6.0.0"],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return work if run.returncode == 0 else None


def peers(source, target, work, node):
    ports = [str(source.port), str(target.port)]
    found = {"hkrun": copy(source, target), "bare relay": [RELAY, *ports]}
    if node:
        found["ioredis"] = ["node", os.path.join(HERE, "redis_ioredis.mjs"), *ports, "1000"]
        found["ioredis, overlapping"] = found["ioredis"] + ["overlap"]
    if shutil.which("redis-shake"):
        with open(os.path.join(work, "shake.toml"), "w") as f:
            f.write('[scan_reader]\naddress = "127.0.0.1:%s"\nscan = true\ncount = 1000\n[redis_writer]\naddress = "127.0.0.1:%s"\n' % tuple(ports))
        found["RedisShake"] = ["redis-shake", os.path.join(work, "shake.toml")]
    return found


def is_same(source, target, compare):
    """By the servers' own digest and by redis.same, of which the seconds are kept."""
    code = 'require "redis".same { "%s", "%s", ttl_tolerance = 0 }' % (source.url, target.url)
    began = time.monotonic()
    run = subprocess.run([HKRUN, "-e", code], stdout=subprocess.DEVNULL)
    compare.append(time.monotonic() - began)
    return run.returncode == 0 and source.ask("DEBUG", "DIGEST") == target.ask("DEBUG", "DIGEST")


def compare(kind, source, target, work, node):
    keys = int(source.ask("DBSIZE")) + int(source.ask("-n", "1", "DBSIZE"))
    print("%s: %d keys, %.0f MB" % (kind, keys, int(source.ask("INFO", "memory").split("used_memory:")[1].split()[0]) / 1e6), flush=True)
    commands = peers(source, target, work, node)
    runs, comparisons = {name: [] for name in commands}, []
    for n in range(ROUNDS):
        for name, line in commands.items():
            target.ask("FLUSHALL")
            runs[name].append(measured(line, work))
            if name == "hkrun" and not is_same(source, target, comparisons):
                MISSED.append("%s: round %d is not equal" % (kind, n + 1))
    median = {name: [statistics.median(column) for column in zip(*list_)] for name, list_ in runs.items()}
    for name, (wall, cpu, peak) in median.items():
        print("  %-28s %7.2f s  %7.0f keys/s  client %5.2f s CPU, %4.0f MB" % (name, wall, keys / wall, cpu, peak), flush=True)
    wall, cpu, peak = median["hkrun"]
    goal("hkrun against the bare relay", wall / median["bare relay"][0], 1.15)
    for name in ("ioredis", "ioredis, overlapping"):
        if name in median:
            goal("hkrun against " + name, wall / median[name][0], 1 / 5 if kind == "small" else 1 / 3)
    if "RedisShake" in median:
        goal("hkrun against RedisShake", wall / median["RedisShake"][0], 1 / 4 if kind == "small" else 1 / 1.8)
    goal("redis.same against the copy", statistics.median(comparisons) / wall, 1.5)
    if kind == "small":
        goal("CPU of the client for a million keys", cpu / keys * 1e6, 1, " s")
    goal("memory of the client", peak, 51 if kind == "mixed" and SCALE >= 1 else 64, " MB")


def loaded(source, target):
    """What is left of 5,000 GETs a second, one connection asking after the other, while the default copy runs."""
    done = {"n": 0, "stop": False}

    def ask():
        with socket.create_connection(("127.0.0.1", source.port)) as s:
            began, n = time.monotonic(), 0
            while not done["stop"]:
                ahead = began + n / 5000 - time.monotonic()
                if ahead > 0.001:
                    time.sleep(ahead)
                elif ahead < -0.1:
                    began, n = time.monotonic(), 0                 # what was missed is not made up for
                s.sendall(b"*2\r\n$3\r\nGET\r\n$14\r\nkey:0000000007\r\n")
                s.recv(65536)
                n += 1
                done["n"] += 1

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(1)
    rates = []
    for line in (None, copy(source, target)):
        target.ask("FLUSHALL")
        began, n = time.monotonic(), done["n"]
        if line:
            measured(line, "/")
        else:
            time.sleep(4)
        rates.append((done["n"] - n) / (time.monotonic() - began))
    done["stop"] = True
    thread.join()
    print("a source under load: %.0f commands a second, %.0f during the copy" % tuple(rates), flush=True)
    goal("share that the load loses", 1 - rates[1] / rates[0], 0.1)


def main():
    work = tempfile.mkdtemp(prefix="hkrun-bench-redis-")
    servers = [Server(work, name) for name in ("a", "b")]
    source, target = servers
    try:
        node = ioredis(work)
        if not node:
            print("ioredis is not to be had: not compared")
        if not shutil.which("redis-shake"):
            print("redis-shake is not in the PATH: not compared")
        for kind in ("small", "mixed"):
            source.ask("FLUSHALL")
            maker = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "redis_source.py"), kind, str(SCALE)], stdout=subprocess.PIPE)
            subprocess.run(["redis-cli", "-p", str(source.port), "--pipe"], stdin=maker.stdout, check=True, stdout=subprocess.DEVNULL)
            compare(kind, source, target, work, node)
            if kind == "small":
                loaded(source, target)
    finally:
        for s in servers:
            s.stop()
        shutil.rmtree(work, ignore_errors=True)
    for what in MISSED:
        print("MISSED: " + what)
    sys.exit(1 if MISSED else 0)


main()
