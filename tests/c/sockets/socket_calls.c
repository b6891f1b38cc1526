/* socket(2): types, flags, what the descriptor is; descriptors that are none. */
#include <sys/stat.h>

#include "test.h"

static void kind(const char *what, int type, int protocol)
{
    int fd = socket(AF_INET, type, protocol), value;
    socklen_t len = sizeof value;
    struct stat status;

    say("# %s", what);
    if (fd < 0)
        die("socket");
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &len));
    say("stream: %d", value == SOCK_STREAM);
    R(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &len));
    say("AF_INET: %d", value == AF_INET);
    R(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &value, &len));
    say("protocol: %d", value);
    say("nonblocking: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    say("reads and writes: %d", (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    say("close on exec: %d", fcntl(fd, F_GETFD) & FD_CLOEXEC);
    R(fstat(fd, &status));
    say("a socket: %d", S_ISSOCK(status.st_mode));
    R(close(fd));
    R(close(fd));
}

int main(void)
{
    struct sockaddr_in addr = here(own_port(0));
    socklen_t len = sizeof addr;
    char byte = 0;
    int value = 0;

    kind("plain", SOCK_STREAM, 0);
    kind("IPPROTO_TCP", SOCK_STREAM, IPPROTO_TCP);
    kind("SOCK_NONBLOCK", SOCK_STREAM | SOCK_NONBLOCK, 0);
    kind("SOCK_CLOEXEC", SOCK_STREAM | SOCK_CLOEXEC, 0);
    kind("both", SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);

    say("# refused");
    R(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    R(socket(AF_INET, SOCK_STREAM | 0x40, 0));
    R(socket(AF_INET, SOCK_SEQPACKET, 0));
    R(socket(200, SOCK_STREAM, 0));

    say("# a descriptor that is not open");
    int fd = tcp();
    close(fd);
    R(bind(fd, SA(&addr), len));
    R(listen(fd, 1));
    R(connect(fd, SA(&addr), len));
    R(accept(fd, NULL, NULL));
    R(accept4(fd, NULL, NULL, 0));
    R(shutdown(fd, SHUT_RDWR));
    R(getsockname(fd, SA(&addr), &len));
    R(getpeername(fd, SA(&addr), &len));
    R(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len));
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, sizeof value));
    R(read(fd, &byte, 1));
    R(write(fd, &byte, 1));
    R(recv(fd, &byte, 1, 0));
    R(send(fd, &byte, 1, 0));
    R(fcntl(fd, F_GETFL));
    R(dup(fd));
    R(close(-1));
    R(recv(-1, &byte, 1, 0));
    return 0;
}
