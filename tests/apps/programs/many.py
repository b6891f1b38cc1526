"""many.py server PORT COUNT | client ADDRESS PORT COUNT

COUNT connections at a time. When all are open each sends its number and gets it back."""
import resource
import select
import socket
import struct
import sys

mode, *rest, count = sys.argv[1:]
count = int(count)
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


def serve(port):
    listener = socket.create_server(("0.0.0.0", port), backlog=4096)
    listener.setblocking(False)
    waiting = select.epoll()
    waiting.register(listener, select.EPOLLIN)
    print("listening", flush=True)
    held, ended, most = {}, 0, 0
    while ended < count:
        for descriptor, _ in waiting.poll():
            if descriptor == listener.fileno():
                while True:
                    try:
                        one, _ = listener.accept()
                    except BlockingIOError:
                        break
                    held[one.fileno()] = one
                    waiting.register(one, select.EPOLLIN)
                most = max(most, len(held))
            elif data := held[descriptor].recv(100):
                held[descriptor].sendall(data)
            else:
                waiting.unregister(descriptor)
                held.pop(descriptor).close()
                ended += 1
    assert most == count, most


def load(address, port):
    held = [socket.create_connection((address, port), timeout=20) for _ in range(count)]
    for number, one in enumerate(held):
        one.sendall(struct.pack("!I", number))
    for number, one in enumerate(held):
        assert one.recv(4, socket.MSG_WAITALL) == struct.pack("!I", number)
    for one in held:
        one.close()


if mode == "server":
    serve(int(rest[0]))
else:
    load(rest[0], int(rest[1]))
