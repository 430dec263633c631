"""Serves FILE to any request on loopback and runs each COMMAND in turns: measure.py FILE ROUNDS COMMAND...

Prints one line per command: median of the wall, user and system time in seconds, largest peak memory in MB.
"""
import http.server
import os
import statistics
import subprocess
import sys
import threading
import time

BODY = open(sys.argv[1], "rb").read()


class Static(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


def run(command, env):
    began = time.monotonic()
    child = subprocess.Popen(["sh", "-c", "exec " + command], env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status != 0:
        sys.exit("%s: status %d" % (command, status))
    return time.monotonic() - began, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Static)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
           "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:%d" % server.server_port}
    commands = sys.argv[3:]
    taken = {command: [] for command in commands}
    for _ in range(int(sys.argv[2])):
        for command in commands:
            taken[command].append(run(command, env))
    for command in commands:
        columns = list(zip(*taken[command]))
        print(*["%.4f" % statistics.median(c) for c in columns[:3]], "%.1f" % max(columns[3]))


main()
