/* accept(2), accept4(2): addresses, flags, what is inherited, errors. */
#include "test.h"

static void show_flags(int fd)
{
    say("nonblocking: %d, close on exec: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0,
        fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    getsockopt(fd, level, name, &value, &len);
    return value;
}

int main(void)
{
    struct sockaddr_in addr = { 0 }, name;
    socklen_t len = sizeof addr;
    int fd = listener_on(own_port(0), 8), slot, conn, on = 1;

    say("# addresses");
    slot = peer_connect(own_port(0));
    conn = OK(accept(fd, SA(&addr), &len));
    say("from: %s, %u bytes", place(&addr), (unsigned) len);
    len = sizeof name;
    R(getpeername(conn, SA(&name), &len));
    say("the same: %d", !memcmp(&addr, &name, sizeof addr));
    R(getsockname(conn, SA(&name), &len));
    say("to: %s, the listener's port: %d", place(&name), ntohs(name.sin_port) == own_port(0));
    say("nothing waits: %s", bits(events_now(fd)));
    show_flags(conn);
    close(conn);
    peer("eof %d", slot);

    say("# short room for the address");
    peer_connect(own_port(0));
    memset(&addr, 0xee, sizeof addr);
    len = 4;
    conn = OK(accept(fd, SA(&addr), &len));
    say("length: %u, untouched behind: %d", (unsigned) len,
        ((unsigned char *) &addr)[4] == 0xee);
    close(conn);

    say("# only the address or only the length");
    peer_connect(own_port(0));
    len = sizeof addr;
    conn = OK(accept(fd, NULL, &len));
    close(conn);

    say("# flags");
    peer_connect(own_port(0));
    conn = OK(accept4(fd, NULL, NULL, SOCK_NONBLOCK));
    show_flags(conn);
    close(conn);
    peer_connect(own_port(0));
    conn = OK(accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    show_flags(conn);
    close(conn);
    R(accept4(fd, NULL, NULL, 0x4));

    say("# O_NONBLOCK is not inherited");
    set_nonblocking(fd);
    R(accept(fd, NULL, NULL));
    slot = peer_connect(own_port(0));
    wait_events(fd, POLLIN);
    conn = OK(accept(fd, NULL, NULL));
    show_flags(conn);
    R(accept(fd, NULL, NULL));
    close(conn);

    say("# options are");
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
    R(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    int idle = 77;
    R(setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle));
    struct linger linger = { .l_onoff = 1, .l_linger = 3 };
    R(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    struct timeval time = { .tv_sec = 2 };
    R(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    peer_connect(own_port(0));
    wait_events(fd, POLLIN);
    conn = OK(accept(fd, NULL, NULL));
    say("SO_KEEPALIVE: %d", option(conn, SOL_SOCKET, SO_KEEPALIVE));
    say("TCP_NODELAY: %d", option(conn, IPPROTO_TCP, TCP_NODELAY));
    say("TCP_KEEPIDLE: %d", option(conn, IPPROTO_TCP, TCP_KEEPIDLE));
    say("SO_ACCEPTCONN: %d", option(conn, SOL_SOCKET, SO_ACCEPTCONN));
    memset(&linger, 0, sizeof linger);
    len = sizeof linger;
    getsockopt(conn, SOL_SOCKET, SO_LINGER, &linger, &len);
    say("SO_LINGER: %d %d", linger.l_onoff, linger.l_linger);
    len = sizeof time;
    getsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &time, &len);
    say("SO_RCVTIMEO: %ld", (long) time.tv_sec);
    return 0;
}
