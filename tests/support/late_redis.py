"""A target that takes SETs, answers none until it has HOLD of them, and then refuses the third, or breaks off.

    python3 late_redis.py PORT HOLD refuse|close

Prints "ready"; "refused KEY" when it refuses; and for each connection that ends "took KEY ...".
"""
import socket
import sys

PORT, HOLD, WHAT = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]


def commands(f):
    for line in f:
        if line.startswith(b"*"):
            words = [f.read(int(f.readline()[1:]) + 2)[:-2] for _ in range(int(line[1:]))]
        else:
            words = line.split()
        yield [w.decode() for w in words]


def serve(c, hold):
    keys, answers = [], []
    for words in commands(c.makefile("rb")):
        if words[0] == "SET":
            keys.append(words[1])
        refused = words[0] == "SET" and len(keys) == 3 and hold and WHAT == "refuse"
        answers.append(b"-ERR Bad data format\r\n" if refused else b"+OK\r\n")
        if len(keys) < hold:
            continue
        if hold and WHAT == "close":
            break
        if hold:
            print("refused", keys[2], flush=True)
        hold = 0
        c.sendall(b"".join(answers))
        answers = []
    print("took", *keys, flush=True)
    c.close()


server = socket.create_server(("127.0.0.1", PORT))
print("ready", flush=True)
serve(server.accept()[0], HOLD)
while True:
    serve(server.accept()[0], 0)
