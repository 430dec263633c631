"""A TCP relay whose connections can be cut: python3 tcp_cutter.py PORT

Prints the port it listens on, from where it relays to PORT. SIGUSR1 ends all its connections with RST, to both sides;
SIGHUP every second one, and PORT hears nothing of it, as when a network is gone.
"""
import asyncio
import signal
import socket
import struct
import sys

RST = struct.pack("ii", 1, 0)                        # no lingering: close sends RST
connections = {}
silent = {}                                          # what is kept open


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass


async def relay(reader, writer):
    number = relay.count = relay.count + 1
    there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    connections[number] = (writer, there_writer)
    both = [asyncio.ensure_future(pump(reader, there_writer)), asyncio.ensure_future(pump(there_reader, writer))]
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
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
