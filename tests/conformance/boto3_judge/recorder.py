"""A loopback server that writes down each request as it came and answers what it was told to.

Paths below /_judge/ are for the test that drives it: they are handed to `control`.
"""
import socket
import socketserver
import threading


class Recorder(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    answer = (500, {}, b"")

    def __init__(self, control):
        super().__init__(("127.0.0.1", 0), Handler)
        self.control, self.requests = control, []
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def taken(self):
        """What came since the last time."""
        found, self.requests = self.requests, []
        return found


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while self.one():
            pass

    def one(self):
        line = self.rfile.readline()
        if not line.strip():
            return False
        method, target, _ = line.decode("latin-1").split(" ", 2)
        headers = {}
        for raw in iter(self.rfile.readline, b"\r\n"):
            name, value = raw.decode("utf-8", "surrogateescape").split(":", 1)
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.body(headers)
        if target.startswith("/_judge/"):
            status, answer, sent = self.server.control(target, body)
        else:
            self.server.requests.append({"method": method, "target": target, "headers": headers, "body": body})
            status, answer, sent = self.server.answer
        lines = ["HTTP/1.1 %d Judged" % status] + ["%s: %s" % pair for pair in answer.items()]
        if status != 204 and status != 304:
            lines.append("Content-Length: %d" % len(sent))
        try:
            self.connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + (sent if method != "HEAD" else b""))
        except (BrokenPipeError, ConnectionResetError, socket.timeout):
            return False
        return True

    def body(self, headers):
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self.rfile.read(int(headers.get("content-length", 0)))
        parts = []
        while True:
            size = int(self.rfile.readline().split(b";")[0], 16)
            parts.append(self.rfile.read(size))
            self.rfile.readline()
            if not size:
                return b"".join(parts)
