"""asyncio_echo.py server ADDRESS PORT | client ADDRESS PORT CONNECTIONS

The client sends 100 KB in pieces of random sizes on each connection, reading at the same time,
half-closes, and compares what came back. SIGTERM ends the server."""
import asyncio
import os
import random
import signal
import sys


async def echo(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def serve(address, port):
    server = await asyncio.start_server(echo, address, port, backlog=1024)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    print("listening", flush=True)
    try:
        await server.serve_forever()
    except asyncio.CancelledError:
        pass


async def one(address, port):
    reader, writer = await asyncio.open_connection(address, port)
    sent = os.urandom(100_000)

    async def send():
        left = memoryview(sent)
        while left:
            size = random.choice((1, 100, 1448, 10_000))
            writer.write(left[:size])
            left = left[size:]
            await writer.drain()
        writer.write_eof()

    _, received = await asyncio.gather(send(), reader.read())
    writer.close()
    return received == sent


async def load(address, port, connections):
    right = await asyncio.gather(*(one(address, port) for _ in range(connections)))
    print(sum(right), "of", connections, "echoed")
    return all(right)


mode, address, port = sys.argv[1:4]
if mode == "server":
    asyncio.run(serve(address, int(port)))
else:
    sys.exit(0 if asyncio.run(load(address, int(port), int(sys.argv[4]))) else 1)
