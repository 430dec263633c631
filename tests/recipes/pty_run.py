"""Runs a program on a pseudo-terminal of so many columns, and prints what it wrote there.

    pty_run.py COLUMNS PROGRAM WORDS...
"""
import sys

import pexpect

columns, program, words = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
child = pexpect.spawn(program, words, dimensions=(24, columns), timeout=100)
written = child.read()
child.close()
sys.stdout.buffer.write(written.replace(b"\r\n", b"\n"))
sys.exit(child.exitstatus if child.exitstatus is not None else 1)
