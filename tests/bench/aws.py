"""AWS calls against moto, as ratios to programs measured in turns in the same run: tests/bench/run.sh calls this.

    python3 aws.py HKRUN AWS_CLI

Each figure is the median of several runs after one that warms the caches; goals stand beside them. Times are those of a
whole process, its start included: wall by the clock, CPU and peak memory by the kernel's account of the child. Small
programs tell their peak memory themselves, because the kernel's account begins with what their parent had.
"""
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

HKRUN, AWS = sys.argv[1:3]
BIN = os.path.dirname(os.path.abspath(sys.executable))
PEAK = 'for l in io.lines "/proc/self/status" do local n = l:match "^VmHWM:%s+(%d+)" if n then print(n) end end'
QUIET = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]


def run(words, env):
    """Seconds by the clock, seconds of CPU, megabytes."""
    began = time.perf_counter()
    pid = os.posix_spawn(words[0], words, env, file_actions=QUIET)
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    if status:
        raise SystemExit("failed: " + " ".join(words))
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def measure(rounds, env, warm_up=1, **commands):
    """Name -> medians of wall, CPU, memory; the commands take turns, rounds to warm up are not counted."""
    found = {name: [] for name in commands}
    for i in range(warm_up + rounds):
        for name, words in commands.items():
            figures = run(words, env)
            if i >= warm_up:
                found[name].append(figures)
    return {name: [statistics.median(column) for column in zip(*rows)] for name, rows in found.items()}


def peak(words, env):
    """Megabytes that a program prints as its last line, in kB: the median, for pages of files come and go in memory."""
    return statistics.median(int(subprocess.run(words, env=env, stdout=subprocess.PIPE, check=True).stdout.split()[-1]) / 1024
                             for _ in range(9))


def row(what, ours, theirs, peer, unit, goal, stretch=None):
    ratio = ours / theirs
    print("%-44s %8.2f %-2s  %-7s %8.2f %-2s  ratio %6.3f  goal %s %s%s" % (
        what, ours, unit, peer, theirs, unit, ratio, goal, "met" if ratio <= goal else "MISSED",
        "" if stretch is None else ", stretch %s %s" % (stretch, "met" if ratio <= stretch else "missed")), flush=True)


def limit(what, figure, unit, goal):
    print("%-44s %8.2f %-2s %39s goal %s %s %s" % (what, figure, unit, "", goal, unit, "met" if figure <= goal else "MISSED"), flush=True)


def start(env):
    lua = next(p for p in (os.path.join(d, "lua5.4") for d in env["PATH"].split(":")) if os.path.exists(p))
    found = measure(41, env, ours=[HKRUN, "-e", ""], theirs=[lua, "-e", ""])
    row("start: hkrun -e ''", found["ours"][0] * 1000, found["theirs"][0] * 1000, "lua5.4", "ms", 4, 2)
    limit("  its peak memory", peak([HKRUN, "-e", PEAK], env), "MB", 6)


def identity(env):
    call = "aws.sts:get_caller_identity()"
    found = measure(9, env, ours=[HKRUN, "-e", "local _ = " + call], theirs=[AWS, "sts", "get-caller-identity"])
    row("sts get-caller-identity, signed: wall", found["ours"][0] * 1000, found["theirs"][0] * 1000, "aws", "ms", 0.05)
    row("  peak memory", peak([HKRUN, "-e", call + " " + PEAK], env), found["theirs"][2], "aws", "MB", 0.2)


LIST_LUA = """
local n = 0
for page in aws.ec2:pages("describe_instances", { MaxResults = 500 }) do
  for _, r in ipairs(page.Reservations) do n = n + #r.Instances end
end
assert(n == 2000, n)
"""
LIST_BOTO3 = """
import boto3
n = 0
for page in boto3.client("ec2").get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 500}):
    n += sum(len(r["Instances"]) for r in page["Reservations"])
assert n == 2000, n
"""


def listing(env):
    """Both programs are warm from the calls before; moto takes seconds for each round."""
    for _ in range(2):
        run([HKRUN, "-e", 'local _ = aws.ec2:run_instances { ImageId = "ami-12c6146b", MinCount = 1000, MaxCount = 1000 }'], env)
    found = measure(3, env, warm_up=0, ours=[HKRUN, "-e", LIST_LUA], theirs=[sys.executable, "-c", LIST_BOTO3])
    row("2,000 EC2 instances in pages: client CPU", found["ours"][1] * 1000, found["theirs"][1] * 1000, "boto3", "ms", 0.1)
    row("  wall, most of it moto's", found["ours"][0] * 1000, found["theirs"][0] * 1000, "boto3", "ms", 1)


def moto(env):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    url = "http://127.0.0.1:%d" % port
    server = subprocess.Popen([os.path.join(BIN, "moto_server"), "-H", "127.0.0.1", "-p", str(port)], env=env, start_new_session=True,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(300):
        try:
            urllib.request.urlopen(url + "/moto-api/", timeout=5).close()
            return server, url
        except OSError:
            time.sleep(0.1)
    raise SystemExit("moto does not start")


def main():
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"}
    start(env)
    server, url = moto(env)
    try:
        env.update(AWS_ENDPOINT_URL=url, AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1", AWS_ACCESS_KEY_ID="AK", AWS_SECRET_ACCESS_KEY="SK",
                   AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="")
        identity(env)
        listing(env)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


main()
