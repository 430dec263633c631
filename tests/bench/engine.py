"""The recipe engine: plan and apply of 2,000 independent nouns, against terraform with as many terraform_data.

    python3 engine.py HKRUN

Neither talks to a cloud: hkrun's nouns are a table in its process (nouns.lua), terraform_data is built into terraform.
Both write what they did to this machine's disk. Where terraform is not installed, the figures of a run elsewhere stand.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

HKRUN = sys.argv[1]
HERE = os.path.dirname(os.path.abspath(__file__))
COUNT = 2000
ELSEWHERE = (23.5, 118.0)
RESOURCES = 'resource "terraform_data" "n" {\n  count = %d\n  input = "value of ${count.index}"\n}\n' % COUNT


def run(words, cwd):
    """Seconds by the clock, seconds of CPU, megabytes at the peak."""
    began = time.perf_counter()
    child = subprocess.Popen(words, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit("%s: %s" % (" ".join(words), said.decode()[-500:]))
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def best(words, prepare):
    """Of three runs, each in a new folder, the shortest."""
    found = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            prepare(folder)
            found.append(run(words, folder))
    return min(found)


def recipe(folder):
    shutil.copy(os.path.join(HERE, "nouns.lua"), folder)


def terraform():
    program = shutil.which("terraform")
    if not program:
        return ELSEWHERE + ("measured elsewhere",)
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "main.tf"), "w") as f:
            f.write(RESOURCES)
        run([program, "init", "-backend=false"], folder)
        wall, _, peak = run([program, "apply", "-auto-approve", "-no-color"], folder)
        return wall, peak, "in this run"


def met(yes):
    return "met" if yes else "MISSED"


def show(what, figures, goal=""):
    print("%-44s %8.2f s %6.2f s CPU %8.1f MB%s" % ((what,) + figures + (goal,)))


def main():
    plan = best([HKRUN, "plan", "nouns.lua"], recipe)
    apply = best([HKRUN, "apply", "nouns.lua", "--yes"], recipe)
    wall, peak, where = terraform()
    show("%d nouns on a fake: plan" % COUNT, plan)
    show("  plan and apply", apply, "  goal 1 s %s, 40 MB %s" % (met(apply[0] < 1), met(apply[2] < 40)))
    print("%-44s %8.2f s              %8.1f MB  (%s)" % ("  terraform apply of as many terraform_data", wall, peak, where))
    print("%-44s %8.0f times          %8.1f times" % ("    over ours", wall / apply[0], peak / apply[2]))


main()
