"""A proxy: proxy.py PLAIN_PORT SECURE_PORT [CERT KEY]. Prints its port, then a line for each request: its first line and the
status that it got. Wants the user "user name" with the password "p@ss:w/rd"; leads http to the one port of this machine, tunnels
to the other, whatever their names are. A name that begins with three digits gets that status instead."""
import base64
import re
import socket
import ssl
import sys
import threading

WANTED = "Basic " + base64.b64encode(b"user name:p@ss:w/rd").decode()


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def head_of(client):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            return None
        head += byte
    return head.decode()


def refuse(client, status, fields):
    for field in fields:
        if field.lower().startswith("content-length: "):
            client.recv(int(field.split(": ")[1]), socket.MSG_WAITALL)
    said = b"Proxy-Authenticate: Basic realm=\"proxy\"\r\n" if status == "407" else b""
    client.sendall(b"HTTP/1.1 %s No\r\n%sContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\n<p>No</p>" % (status.encode(), said))
    client.close()


def serve(client):
    head = head_of(client)
    if head is None:
        return
    first, *fields = head.split("\r\n")
    method, target, _ = first.split(" ")
    given = [f.split(": ", 1)[1] for f in fields if f.lower().startswith("proxy-authorization: ")]
    named = re.match(r"(?:\w+://)?(\d{3})\.", target)
    status = named[1] if named else "200" if given == [WANTED] else "407"
    print(method, target, status, flush=True)
    if status != "200":
        return refuse(client, status, fields)
    server = socket.create_connection(("127.0.0.1", int(sys.argv[2 if method == "CONNECT" else 1])))
    if method == "CONNECT":
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    else:
        path = "/" + target.split("/", 3)[3]
        kept = [f for f in fields if f and not f.lower().startswith(("proxy-", "connection:"))]
        server.sendall("\r\n".join([method + " " + path + " HTTP/1.1", *kept, "Connection: close", "", ""]).encode())
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


def handle(client, context):
    try:
        serve(context.wrap_socket(client, server_side=True) if context else client)
    except OSError:
        client.close()


def main():
    listener = socket.create_server(("127.0.0.1", 0))
    context = None
    if len(sys.argv) > 3:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[3:])
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=handle, args=(client, context), daemon=True).start()


main()
