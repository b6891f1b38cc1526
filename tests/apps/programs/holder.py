"""holder.py ADDRESS PORT CONNECTIONS: holds connections, and ends when the other side has ended all
of them."""
import socket
import sys

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = [socket.create_connection((address, port), timeout=20) for _ in range(count)]
for number, connection in enumerate(held):
    assert connection.recv(7, socket.MSG_WAITALL) == b"welcome"
    if number % 2:
        connection.sendall(b"never read")
print("holding", flush=True)
for connection in held:
    try:
        assert connection.recv(1) == b""
    except ConnectionResetError:
        pass
