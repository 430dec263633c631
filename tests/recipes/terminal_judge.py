"""A run on a pseudo-terminal that is left by a second Ctrl-C while it computes: pexpect types, pyte is the terminal.

    terminal_judge.py HKRUN FILE CASE WORDS...      runs hkrun with these words; the recipe touches FILE once it computes
"""
import os
import signal
import sys
import termios
import time

import pexpect
import pyte

hkrun, busy, case, words = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
# the shell waits, so that the terminal is seen as it is before anybody uses it
child = pexpect.spawn("sh", ["-c", 'read start; exec "$0" "$@"', hkrun, *words], encoding="utf-8", dimensions=(24, 80))
held = os.open(os.readlink("/proc/%d/fd/0" % child.pid), os.O_RDWR | os.O_NOCTTY)   # a terminal that stays when hkrun is gone
screen = pyte.Screen(80, 24)
stream = pyte.Stream(screen)


def settings():
    flags = termios.tcgetattr(held)
    return flags[:4]


def read():
    try:
        stream.feed(child.read_nonblocking(65536, 0.05))
    except (pexpect.TIMEOUT, pexpect.EOF):
        pass


def wait(done, what):
    end = time.monotonic() + 60
    while not done():
        if time.monotonic() > end or not child.isalive():
            raise AssertionError(what + " was not seen; the terminal shows:\n" + "\n".join(screen.display).strip())
        read()


def shown():
    return "\n".join(line.rstrip() for line in screen.display).strip()


def plain(flags):
    return bool(flags[3] & termios.ECHO), bool(flags[3] & termios.ICANON), bool(flags[3] & termios.ISIG)


before = settings()
assert plain(before) == (True, True, True), before
child.sendline("start")

question = {"confirm": "Type ", "secret": "the key:", "progress": "create toy.slow", "console": "read-only>"}[case]
wait(lambda: question in shown(), question)
expected = {"confirm": (False, False), "secret": (False, True), "progress": (True, True), "console": (False, False)}[case]
wait(lambda: plain(settings())[:2] == expected, "a terminal of which echo and lines are %s" % (expected,))
if case == "console":
    child.send("io.open(os.getenv 'BUSY', 'w'):close() while true do end\r")
open(busy + ".go", "w").close()
wait(lambda: os.path.exists(busy), "the loop")
for n in range(2):
    os.kill(child.pid, signal.SIGINT)
    time.sleep(0.3)                                  # two presses, not one that came twice
if case == "console":
    wait(lambda: screen.display[screen.cursor.y][:screen.cursor.x].endswith("> ") and not plain(settings())[0], "the prompt")
    child.send("\x04")
end = time.monotonic() + 60
while child.isalive():
    assert time.monotonic() < end, "it goes on after the second Ctrl-C:\n" + shown()
    read()
    if case != "console":
        os.kill(child.pid, signal.SIGINT)            # on a busy machine two may have come as one
        time.sleep(0.3)
for _ in range(3):
    read()
assert child.exitstatus == (0 if case == "console" else 130), (child.exitstatus, child.signalstatus, shown())
assert settings() == before, (settings(), before)
assert screen.cursor.x == 0, "the cursor is at column %d:\n%s" % (screen.cursor.x, shown())
assert not screen.cursor.hidden
if case == "progress":
    assert question not in shown(), "the progress stays:\n" + shown()
print("ok")
