"""Two PostgreSQL clusters with default settings for the benchmarks of pg.copy, and what a program cost them."""
import glob
import os
import shutil
import socket
import subprocess
import threading
import time

OWNER = "bench_owner"
TICK = os.sysconf("SC_CLK_TCK")


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4]))
    return found[-1] if found else os.path.dirname(os.path.realpath(shutil.which("postgres") or ""))


BIN = programs()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A cluster: fsync is on, nothing is tuned. `bench_owner` is no superuser, and may have `connections` sessions."""

    def __init__(self, folder, connections):
        self.folder, self.port = folder, free_port()
        os.makedirs(folder)
        self.is_root = os.getuid() == 0
        if self.is_root:
            shutil.chown(folder, "postgres")
        self.run("initdb", "-D", folder, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8")
        with open(os.path.join(folder, "postgresql.conf"), "a") as f:
            f.write("port = %d\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '%s'\n" % (self.port, folder))
        self.run("pg_ctl", "-D", folder, "-l", os.path.join(folder, "log"), "-w", "start")
        with open(os.path.join(folder, "postmaster.pid")) as f:
            self.pid = int(f.readline())
        for role in ("%s LOGIN CREATEDB CREATEROLE CONNECTION LIMIT %d" % (OWNER, connections), "app_rw", "app_ro"):
            self.sql("postgres", "CREATE ROLE " + role)
        self.sql("postgres", "GRANT app_rw, app_ro TO " + OWNER)

    def run(self, program, *words):
        line = [os.path.join(BIN, program), *words]
        if self.is_root:
            line = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--", *line]
        subprocess.run(line, check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def stop(self):
        self.run("pg_ctl", "-D", self.folder, "-m", "immediate", "stop")

    def sql(self, database, text):
        line = [os.path.join(BIN, "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
                "-d", database, "-c", text]
        return subprocess.run(line, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if "IF EXISTS" in text else None, text=True).stdout.strip()

    def create(self, database):
        self.sql("postgres", "DROP DATABASE IF EXISTS %s WITH (FORCE)" % database)
        self.sql("postgres", "CREATE DATABASE %s OWNER %s TEMPLATE template0" % (database, OWNER))

    def url(self, database, user=OWNER, port=None):
        return "postgres://%s@127.0.0.1:%d/%s" % (user, port or self.port, database)

    def cpu(self):
        return sum(cpu_of(p) for p in tree(self.pid))


def stat(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            words = f.read().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return int(words[1]), [int(w) for w in words[11:15]]


def tree(root):
    children = {}
    for name in os.listdir("/proc"):
        found = stat(int(name)) if name.isdigit() else None
        if found:
            children.setdefault(found[0], []).append(int(name))
    result, todo = [], [root]
    while todo:
        pid = todo.pop()
        result.append(pid)
        todo += children.get(pid, [])
    return result


def cpu_of(pid):
    found = stat(pid)
    return sum(found[1]) / TICK if found else 0


def memory(pid):
    """Its share of memory in MB, with its children's."""
    total = 0
    for p in tree(pid):
        try:
            with open("/proc/%d/smaps_rollup" % p) as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def measure(line, servers, env=None):
    """Runs a shell command: seconds, its CPU, the servers' CPU, its peak of memory in MB."""
    before = [s.cpu() for s in servers]
    began = time.perf_counter()
    child = subprocess.Popen(["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**os.environ, **(env or {})})
    peak, over = [0.0], threading.Event()

    def sample():
        while not over.wait(0.2):
            peak[0] = max(peak[0], memory(child.pid))
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    said = child.stdout.read().decode()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    wall = time.perf_counter() - began
    over.set()
    sampler.join()
    if status:
        raise SystemExit("%s\n%s" % (line, said[-2000:]))
    cost = [s.cpu() - b for s, b in zip(servers, before)]
    return {"wall": wall, "client": used.ru_utime + used.ru_stime, "servers": cost, "peak": peak[0], "said": said}
