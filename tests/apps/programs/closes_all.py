"""closes_all.py WAY PORT ADDRESS PORT2: has a listener and a connection, closes all descriptors
from 3 on, as daemons do that know nothing of what they have inherited, and goes on."""
import os
import resource
import socket
import sys

way, own_port, address, port = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])


def connection():
    one = socket.create_connection((address, port), timeout=20)
    one.sendall(b"hello")
    assert one.recv(5, socket.MSG_WAITALL) == b"hello"
    return one


lost = [socket.create_server(("0.0.0.0", own_port + 1)), connection()]
most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536)
if way == "closerange":
    os.closerange(3, most)
elif way == "each":
    for descriptor in os.listdir("/proc/self/fd"):
        if int(descriptor) > 2:
            try:
                os.close(int(descriptor))
            except OSError:
                pass
else:
    for descriptor in range(3, most):
        try:
            os.close(descriptor)
        except OSError:
            pass
for one in lost:
    one.detach()

connection().close()
with socket.create_server(("0.0.0.0", own_port)) as listener:
    print("listening", flush=True)
    accepted, _ = listener.accept()
    while data := accepted.recv(65536):
        accepted.sendall(data)
    accepted.close()
