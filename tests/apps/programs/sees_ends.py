"""sees_ends.py PORT CONNECTIONS: ends when that many connections have been accepted and ended by
their other side."""
import socket
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=512)
print("listening", flush=True)
held = []
for _ in range(int(sys.argv[2])):
    connection, _ = listener.accept()
    connection.settimeout(20)
    connection.sendall(b"welcome")
    held.append(connection)
for connection in held:
    try:
        while connection.recv(100):
            pass
    except ConnectionResetError:
        pass
