# Sends a SYN to every TCP port of each address and prints, as JSON, which answered: {"10.0.0.1": {"open": [22], "closed": []}}.
# What is filtered says nothing. Arguments: addresses; with ports after "--", only these.
import json, select, socket, struct, sys, time

words = sys.argv[1:]
ports = [int(p) for p in words[words.index("--") + 1:]] if "--" in words else range(1, 65536)
addresses = words[:words.index("--")] if "--" in words else words
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
raw.setblocking(False)
found = {a: {"open": set(), "closed": set()} for a in addresses}
SOURCE = 33333

def total(data): return sum(struct.unpack("!%dH" % (len(data) // 2), data))

def read(seconds):
    end = time.time() + seconds
    while True:
        if not select.select([raw], [], [], max(0, end - time.time()))[0]: return
        packet = raw.recv(2048)
        head = (packet[0] & 15) * 4
        source = socket.inet_ntoa(packet[12:16])
        port, to = struct.unpack("!HH", packet[head:head + 4])
        flags = packet[head + 13]
        if source in found and to == SOURCE:
            if flags & 0x12 == 0x12: found[source]["open"].add(port)
            elif flags & 4: found[source]["closed"].add(port)

for address in addresses:
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((address, 9))
    own, there = socket.inet_aton(probe.getsockname()[0]), socket.inet_aton(address)
    base = total(own + there + struct.pack("!HH", 6, 20)) + SOURCE + 0x5002 + 64240 + 7
    for n, port in enumerate(ports):
        s = base + port
        s = (s & 0xffff) + (s >> 16)
        s = ~((s & 0xffff) + (s >> 16)) & 0xffff
        while True:
            try:
                raw.sendto(struct.pack("!HHIIHHHH", SOURCE, port, 7, 0, 0x5002, 64240, s, 0), (address, 0))
                break
            except BlockingIOError: read(0.001)
        if n % 512 == 0: read(0)
read(0.7)
print(json.dumps({a: {k: sorted(v) for k, v in f.items()} for a, f in found.items()}))
