"""victim.py PORT: accepts, keeps and reads connections until it is killed; some hold unread bytes."""
import selectors
import socket
import sys

listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=512)
print("listening", flush=True)
waiting = selectors.DefaultSelector()
waiting.register(listener, selectors.EVENT_READ)
held = []
while True:
    for key, _ in waiting.select():
        connection, _ = key.fileobj.accept()
        connection.sendall(b"welcome")
        # Half of them are never read.
        held.append(connection)
