"""A TCP relay whose connections can be cut: python3 tcp_cutter.py PORT

Prints the port it listens on, from where it relays to PORT. SIGUSR1 ends all its connections with RST, to both sides;
SIGHUP every second one, and PORT hears nothing of it, as when a network is gone. With SIGINT the next error or command tag
of a PostgreSQL server comes alone: what follows it comes with the next connection, like one that cancels. "armed" and "held"
are printed when it is so.
"""
import asyncio
import signal
import socket
import struct
import sys

RST = struct.pack("ii", 1, 0)                        # no lingering: close sends RST
connections = {}
silent = {}                                          # what is kept open


def end_of_statement(data):
    at = 0
    while at + 5 <= len(data):
        kind, at = data[at], at + 1 + int.from_bytes(data[at + 1:at + 5], "big")
        if kind in b"EC":
            return at
    return None


async def pump(reader, writer, from_server):
    try:
        while data := await reader.read(65536):
            end = hold.armed and from_server and end_of_statement(data)
            if end:
                hold.armed = False
                writer.write(data[:end])
                data = data[end:]
                hold.until.clear()
                print("held", flush=True)
                await hold.until.wait()
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass


class hold:
    armed = False
    until = asyncio.Event()


def arm():
    hold.armed = True
    print("armed", flush=True)


async def relay(reader, writer):
    hold.until.set()
    number = relay.count = relay.count + 1
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    connections[number] = (writer, there_writer)
    both = [asyncio.ensure_future(pump(reader, there_writer, False)), asyncio.ensure_future(pump(there_reader, writer, True))]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if number in silent:
        return
    for task in both:
        task.cancel()
    await asyncio.gather(*both, return_exceptions=True)
    connections.pop(number, None)
    for w in (writer, there_writer):
        w.close()


relay.count = 0


def reset(every, is_silent):
    for number in [n for n in connections if n % every == 0]:
        pair = connections.pop(number)
        if is_silent:
            silent[number] = pair
        for w in pair[:1] if is_silent else pair:
            w.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            w.transport.abort()


async def main():
    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, reset, 1, False)
    loop.add_signal_handler(signal.SIGHUP, reset, 2, True)
    loop.add_signal_handler(signal.SIGINT, arm)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
