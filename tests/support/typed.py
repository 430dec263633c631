"""Runs a program on a pseudo-terminal and types the answers that it is given, each when the program asks.

    typed.py '["question", "answer", ...]' PROGRAM ARGUMENTS...      prints what was shown; ends as the program ended

An answer in brackets is keys, typed without the end of a line: ["question", ["\\u0004"]].
"""
import json
import sys

import pexpect

answers, words = json.loads(sys.argv[1]), sys.argv[2:]
child = pexpect.spawn(words[0], words[1:], encoding="utf-8", timeout=30, dimensions=(40, 160))
child.logfile_read = sys.stdout
for question, answer in zip(answers[::2], answers[1::2]):
    child.expect_exact(question)
    child.send(answer[0] if isinstance(answer, list) else answer + "\n")
child.expect(pexpect.EOF)
child.close()
sys.exit(child.exitstatus)
