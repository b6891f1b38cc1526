"""children.py PORT ADDRESS PORT2 COUNT: forks COUNT children. Each opens a connection to
ADDRESS:PORT2, which echoes, and accepts one from its parent's listener, which it echoes. Every
fourth execs a program afterwards."""
import os
import socket
import sys

own_port, address, port, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
listener = socket.create_server(("0.0.0.0", own_port), backlog=count)
# The parent has a connection as well, which its children inherit and leave alone.
own = socket.create_connection((address, port), timeout=20)
print("listening", flush=True)


def child(number):
    mine = socket.create_connection((address, port), timeout=20)
    mine.sendall(b"%d" % number)
    mine.shutdown(socket.SHUT_WR)
    answer = b""
    while data := mine.recv(100):
        answer += data
    accepted, _ = listener.accept()
    while data := accepted.recv(65536):
        accepted.sendall(data)
    accepted.close()
    if number % 4 == 0:
        os.execv("/bin/true", ["true"])
    return answer == b"%d" % number


children = []
for number in range(count):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if child(number) else 1)
        except BaseException as error:
            print(number, repr(error), flush=True)
            os._exit(2)
    children.append(pid)
bad = [pid for pid in children if os.waitpid(pid, 0)[1] != 0]
own.sendall(b"still here")
assert own.recv(10, socket.MSG_WAITALL) == b"still here"
print(len(bad), "children failed")
sys.exit(1 if bad else 0)
