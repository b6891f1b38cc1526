/* Socket options that do not exist, wrong lengths, wrong values. */
#include "test.h"

static void both(const char *what, int fd, int level, int name, int value)
{
    socklen_t len = sizeof value;

    say("# %s", what);
    R(setsockopt(fd, level, name, &value, sizeof value));
    R(getsockopt(fd, level, name, &value, &len));
}

static void on(int fd)
{
    int value = 1;
    char little[2] = { 7, 7 };
    long long large = -1;
    socklen_t len;

    both("unknown option", fd, SOL_SOCKET, 9999, 1);
    both("unknown TCP option", fd, IPPROTO_TCP, 9999, 1);
    both("another protocol's level", fd, IPPROTO_UDP, 1, 1);
    both("unknown level", fd, 9999, 1, 1);

    say("# only to be read");
    R(setsockopt(fd, SOL_SOCKET, SO_ERROR, &value, sizeof value));
    R(setsockopt(fd, SOL_SOCKET, SO_TYPE, &value, sizeof value));
    R(setsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, sizeof value));

    say("# lengths when setting");
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 0));
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &value, 3));
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &large, sizeof large));
    R(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, 1));
    R(setsockopt(fd, SOL_SOCKET, SO_LINGER, &value, sizeof value));
    R(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value));

    say("# lengths when reading");
    len = 2;
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, little, &len));
    say("length %u, value %d", (unsigned) len, little[0]);
    len = 0;
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, little, &len));
    say("length %u", (unsigned) len);
    len = sizeof large;
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, &large, &len));
    say("length %u", (unsigned) len);
    len = (socklen_t) -1;
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, &large, &len));
    len = sizeof large;
    R(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &large, &len));
    say("length %u", (unsigned) len);
    len = 1;
    R(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, little, &len));
    say("length %u", (unsigned) len);

    both("TCP_KEEPIDLE 0", fd, IPPROTO_TCP, TCP_KEEPIDLE, 0);
    both("TCP_KEEPINTVL 99999", fd, IPPROTO_TCP, TCP_KEEPINTVL, 99999);
    both("TCP_KEEPCNT 0", fd, IPPROTO_TCP, TCP_KEEPCNT, 0);
    both("TCP_KEEPCNT 128", fd, IPPROTO_TCP, TCP_KEEPCNT, 128);
    both("TCP_USER_TIMEOUT -1", fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
    both("TCP_SYNCNT 1000", fd, IPPROTO_TCP, TCP_SYNCNT, 1000);
    both("TCP_MAXSEG 1", fd, IPPROTO_TCP, TCP_MAXSEG, 1);
    struct timeval time = { .tv_usec = 2000000 };
    R(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
}

int main(void)
{
    int slot, fd = tcp();

    say("## a new socket");
    on(fd);
    close(fd);
    say("## a connection");
    on(connect_peer(&slot));
    say("## a listener");
    on(listener_on(own_port(0), 8));
    return 0;
}
