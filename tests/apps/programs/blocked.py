"""blocked.py PORT ADDRESS PORT2: threads that wait in every way for what does not come, and the CPU
time that they use in the meantime."""
import os
import select
import socket
import sys
import threading
import time

own_port, address, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
listener = socket.create_server(("0.0.0.0", own_port))
silent = [socket.create_connection((address, port)) for _ in range(6)]
silent[1].settimeout(60)


def wait_by_poll():
    waiting = select.poll()
    waiting.register(silent[2], select.POLLIN)
    waiting.register(0, 0)
    waiting.poll()


def wait_by_epoll(timeout):
    waiting = select.epoll()
    waiting.register(silent[4], select.EPOLLIN)
    waiting.poll(timeout)


ways = [
    listener.accept,
    lambda: silent[0].recv(1),
    lambda: silent[1].recv(1),
    wait_by_poll,
    lambda: select.select([silent[3]], [], []),
    lambda: wait_by_epoll(-1),
    lambda: wait_by_epoll(60),
    # Nobody has that address.
    lambda: socket.create_connection((address.rsplit(".", 1)[0] + ".77", 1), timeout=30),
]
for way in ways:
    threading.Thread(target=way, daemon=True).start()
time.sleep(0.5)
before = time.process_time()
time.sleep(2)
used = time.process_time() - before
print(f"{used / 2 * 100:.2f} % of a CPU", flush=True)
os._exit(0 if used < 0.02 else 1)
