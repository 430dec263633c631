"""The live view on a pseudo-terminal. pexpect types, pyte is the terminal: one that cuts lines when it becomes narrower, as
xterm does, or one that breaks them anew, as most do.

    live_judge.py HKRUN CASE        runs the function of that name in the current folder, which has move.lua
"""
import os
import re
import sys
import time

import pexpect
import pyte

SAID = ["one"] + ['  + toy.thing "%s" created (%s)' % (n, n) for n in ("a", "b", "Ding-日本語")]


LINE = " is said while it goes on, and it is long enough for a terminal of few columns"


class Terminal(pyte.HistoryScreen):
    """pyte drops lines at the top when it becomes lower and leaves the cursor where it was, which no terminal does."""

    def __init__(self, columns, rows, breaks):
        super().__init__(columns, rows, history=5000)
        self.breaks = breaks

    def rows_of(self, columns, y):
        row = self.buffer[y]
        cells = [row[x] for x in range(self.columns)]
        while cells and cells[-1].data == " ":
            cells.pop()
        return [cells[i:i + columns] for i in range(0, len(cells), columns)] or [[]]

    def resize(self, lines=None, columns=None):
        rows, cursor = [], 0
        for y in range(self.lines):
            if y == self.cursor.y:
                cursor = len(rows)
            rows += self.rows_of(columns, y) if self.breaks else self.rows_of(columns, y)[:1]
        while rows and not rows[-1] and len(rows) > cursor + 1:
            rows.pop()
        while cursor >= lines or self.breaks and len(rows) > lines and cursor > 0:
            cells, cursor = rows.pop(0), cursor - 1
            self.history.top.append({x: cells[x] if x < len(cells) else self.default_char for x in range(300)})
        self.lines, self.columns = lines, columns
        self.set_margins()
        self.erase_in_display(2)
        for y, cells in enumerate(rows[:lines]):
            for x, cell in enumerate(cells):
                self.buffer[y][x] = cell
        self.cursor.y, self.cursor.x = cursor, min(self.cursor.x, columns - 1)
        self.dirty.update(range(lines))


class Run:
    def __init__(self, columns, rows, words=("move.lua", "--yes"), breaks=False, shell=None, **env):
        self.screen = Terminal(columns, rows, breaks)
        self.stream = pyte.Stream(self.screen)
        self.raw, self.began = "", time.monotonic()
        command = ["bash", "-c", shell, sys.argv[1], *words] if shell else [sys.argv[1], *words]
        self.child = pexpect.spawn(command[0], command[1:], env={**os.environ, **env}, dimensions=(rows, columns), encoding="utf-8")

    def read(self):
        try:
            data = self.child.read_nonblocking(65536, 0.05)
            self.raw += data
            self.stream.feed(data)
        except pexpect.TIMEOUT:
            pass

    def lines(self):
        """Everything that was ever on the screen."""
        old = ["".join(row[x].data for x in sorted(row)) for row in self.screen.history.top]
        return [line.rstrip() for line in old + self.screen.display]

    def shown(self):
        return [line.rstrip() for line in self.screen.display if line.strip()]

    def wait(self, what, seconds=60):
        """Until something is on the screen: a text, or a function of its lines."""
        done = what if callable(what) else lambda lines: any(what in line for line in lines)
        end = time.monotonic() + seconds
        while not done(self.shown()):
            if time.monotonic() > end or not self.child.isalive() and self.ended():
                raise AssertionError("not seen: %s; the terminal shows:\n%s" % (what, "\n".join(self.screen.display)))
            self.read()

    def ended(self):
        try:
            self.read()
            return False
        except pexpect.EOF:
            return True

    def end(self, code=0):
        until = time.monotonic() + 60
        while not self.ended():
            assert time.monotonic() < until, "\n".join(self.screen.display)
        self.child.close()
        assert self.child.exitstatus == code, (self.child.exitstatus, "\n".join(self.lines()))
        assert not self.screen.cursor.hidden and self.screen.cursor.x == 0, (self.screen.cursor.x, self.screen.cursor.y)

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        self.child.setwinsize(rows, columns)


def go():
    open("go", "w").close()


def view(lines):
    """The lines of the view: from its header on."""
    at = [i for i, line in enumerate(lines) if line.startswith("apply move")]
    assert len(at) <= 1, "two views:\n" + "\n".join(lines)
    return lines[at[0]:] if at else []


def settled(run, columns, rows):
    """The view fits the terminal, has all that there is room for, and the lines above it are what was said."""
    def good(lines):
        block = view(lines)
        return len(block) >= min(5, rows * 2 // 5) and len(block) <= rows * 2 // 5 and any("rows" in line for line in block)
    run.wait(good)
    for line in view(run.shown()):
        assert len(line) < columns, line
    for line in run.shown()[:-len(view(run.shown()))]:
        assert not re.search("so far|waits for|█|more:", line), "rubbish above the view:\n" + "\n".join(run.screen.display)


def nothing_left(run, said):
    text = "\n".join(run.lines())
    assert not re.search("so far|waits for|[█░▸]|~left", text), text
    joined = text.replace("\n", "").replace(" ", "")          # a terminal breaks long lines, also at a blank
    for line, times in said:
        n = joined.count(line.replace(" ", ""))
        assert n == times, "%s: %d times in\n%s" % (line, n, text)
    assert [l for l in run.lines() if l][-2:][0] == "Done: 5 created, 2 run.", text          # and then where the report is


def follows(breaks=False):
    run = Run(80, 24, breaks=breaks, LC_ALL="C.UTF-8")
    run.wait("rows")
    settled(run, 80, 24)
    block = view(run.shown())
    assert re.match(r"apply move +\d of 7 done ─+ \d+ s so far$", block[0]), block[0]
    assert block[1] == " ✓ one  ▸ two  · three", block[1]
    assert any(re.match(r" rows +█+░+ +50 %", line) for line in block), block
    assert any(" · verify  waits for copy" in line for line in block), block
    assert "\x1b[32m" in run.raw, "colours"
    for columns, rows in (200, 50), (40, 10), (17, 6), (80, 24):
        run.resize(columns, rows)
        settled(run, columns, rows)
        open("say", "w").close()                             # a line is said above the view
        run.wait(lambda lines: not os.path.exists("say"))
        settled(run, columns, rows)
    frames = run.raw.count("\x1b[?2026h")
    assert 4 < frames <= 10 * (time.monotonic() - run.began) + 3, frames
    go()
    run.end()
    nothing_left(run, [(line, 1) for line in SAID[1:]] + [(LINE, 4)] if breaks else [])


def breaks():
    follows(True)


def intact():
    """Without a resize each line stays as it was said, in order, and nothing between them."""
    run = Run(80, 24, LC_ALL="C.UTF-8")
    run.wait("rows")
    go()
    run.end()
    nothing_left(run, [])
    lines = run.lines()
    start = lines.index("Plan: 5 to create, 2 to run.") + 1
    assert lines[start:start + 9] == SAID + ["two", "  > copy", "three", '  + toy.thing "c" created (c)',
                                             '  + toy.thing "d" created (d)'], "\n".join(lines)


def plain():
    """No colours, but the view; without UTF-8 in ASCII."""
    run = Run(200, 50, NO_COLOR="1", LC_ALL="C")
    run.wait("rows")
    settled(run, 200, 50)
    assert not re.search(r"\x1b\[[0-9;]*m", run.raw)
    assert any(re.match(r" rows +#+\.+ +50 %", line) for line in run.shown()), run.shown()
    assert run.raw.replace("日本語", "").isascii(), "no signs that the terminal may not have"
    go()
    run.end()


def dumb():
    run = Run(80, 24, TERM="dumb")
    run.wait("copy")
    go()
    run.end()
    assert "\x1b" not in run.raw, run.raw
    nothing_left(run, [(line, 1) for line in SAID[1:]])


def asks():
    """A question stands where the view was, and nothing is drawn over it; Ctrl-C takes the view away."""
    run = Run(80, 24, ASK="1", words=("move.lua",), LC_ALL="C.UTF-8")
    run.wait("Do this?")
    run.child.send("y\r")
    run.wait("Go on with it? [y/N]")
    assert not view(run.shown()) and not run.screen.cursor.hidden
    frames = run.raw.count("\x1b[?2026h")
    end = time.monotonic() + 1.3
    while time.monotonic() < end:
        run.read()
    assert run.raw.count("\x1b[?2026h") == frames, "drawn while somebody types"
    run.child.send("y\r")
    run.wait("rows")
    settled(run, 80, 24)
    run.child.send("\x03")
    run.end(130)
    text = "\n".join(run.lines())
    assert "Ctrl-C: " in text and "apply again goes on from here" in text and not re.search("so far|waits for|[█░▸]", text), text


def stops():
    """Ctrl-Z gives the shell a clean terminal with a cursor; fg brings the view back."""
    run = Run(80, 24, shell='set -m; "$0" "$@"; echo stopped; read word; fg >/dev/null', LC_ALL="C.UTF-8")
    run.wait("rows")
    run.child.send("\x1a")
    run.wait("stopped")
    assert not view(run.shown()) and not run.screen.cursor.hidden and run.shown()[-1] == "stopped", run.shown()
    run.child.send("\r")
    settled(run, 80, 24)
    go()
    run.end()
    nothing_left(run, [(line, 1) for line in SAID[1:]])


def watch():
    """Another terminal shows the same, and ends with the run; Ctrl-C there leaves it alone."""
    run = Run(80, 24, LC_ALL="C.UTF-8")
    run.wait("rows")
    other = Run(100, 30, words=("status", "move.lua", "--watch"), LC_ALL="C.UTF-8")
    other.wait("rows")
    settled(other, 100, 30)
    assert any(re.match(r" rows +█+░+ +50 %", line) for line in view(other.shown())), other.shown()
    other.resize(60, 12)
    settled(other, 60, 12)
    other.child.send("\x03")
    other.end(130)
    other = Run(80, 24, words=("status", "move.lua", "--watch"), LC_ALL="C.UTF-8")
    other.wait("rows")
    go()
    run.end()
    other.end()
    shown = [line for line in other.lines() if line]
    assert shown[:3] == SAID[:3] and re.match(r"apply done, after \d+ s$", shown[-1]), shown


globals()[sys.argv[2]]()
print("ok")
