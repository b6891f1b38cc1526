/* Socket options: defaults, what is set and read back, lengths. */
#include "test.h"

static int get(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    errno = 0;
    if (getsockopt(fd, level, name, &value, &len) != 0)
        say("error: %s", error_name(errno));
    if (len != sizeof value)
        say("length: %u", (unsigned) len);
    return value;
}

#define GET(fd, level, name) say(#name ": %d", get(fd, level, name))
#define SET(fd, level, name, to) do { \
        int value = to; \
        report("set " #name " " #to, setsockopt(fd, level, name, &value, sizeof value)); \
        say(#name ": %d", get(fd, level, name)); \
    } while (0)

static void defaults(int fd)
{
    struct linger linger = { -1, -1 };
    struct timeval time = { -1, -1 };
    socklen_t len = sizeof linger;

    GET(fd, SOL_SOCKET, SO_ERROR);
    GET(fd, SOL_SOCKET, SO_REUSEADDR);
    GET(fd, SOL_SOCKET, SO_REUSEPORT);
    GET(fd, SOL_SOCKET, SO_KEEPALIVE);
    GET(fd, SOL_SOCKET, SO_BROADCAST);
    GET(fd, SOL_SOCKET, SO_OOBINLINE);
    GET(fd, SOL_SOCKET, SO_ACCEPTCONN);
    GET(fd, SOL_SOCKET, SO_RCVLOWAT);
    GET(fd, SOL_SOCKET, SO_PRIORITY);
    GET(fd, IPPROTO_TCP, TCP_NODELAY);
    GET(fd, IPPROTO_TCP, TCP_CORK);
    GET(fd, IPPROTO_TCP, TCP_KEEPIDLE);
    GET(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    GET(fd, IPPROTO_TCP, TCP_KEEPCNT);
    GET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    GET(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT);
    GET(fd, IPPROTO_TCP, TCP_SYNCNT);
    GET(fd, IPPROTO_IP, IP_TOS);
    R(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
    say("SO_LINGER: %d %d, %u bytes", linger.l_onoff, linger.l_linger, (unsigned) len);
    len = sizeof time;
    R(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len));
    say("SO_RCVTIMEO: %ld %ld, %u bytes", (long) time.tv_sec, (long) time.tv_usec, (unsigned) len);
    R(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, &len));
    say("SO_SNDTIMEO: %ld %ld", (long) time.tv_sec, (long) time.tv_usec);
}

static void change(int fd)
{
    SET(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    SET(fd, SOL_SOCKET, SO_KEEPALIVE, 0);
    SET(fd, SOL_SOCKET, SO_KEEPALIVE, 77);
    SET(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    SET(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    SET(fd, SOL_SOCKET, SO_REUSEADDR, 0);
    SET(fd, SOL_SOCKET, SO_PRIORITY, 3);
    SET(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    SET(fd, IPPROTO_TCP, TCP_NODELAY, 0);
    SET(fd, IPPROTO_TCP, TCP_NODELAY, 5);
    SET(fd, IPPROTO_TCP, TCP_CORK, 1);
    SET(fd, IPPROTO_TCP, TCP_CORK, 0);
    SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 33);
    SET(fd, IPPROTO_TCP, TCP_KEEPINTVL, 7);
    SET(fd, IPPROTO_TCP, TCP_KEEPCNT, 4);
    SET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 12345);
    SET(fd, IPPROTO_TCP, TCP_SYNCNT, 3);
    SET(fd, IPPROTO_TCP, TCP_LINGER2, 20);
    SET(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 4096);
    SET(fd, IPPROTO_IP, IP_TOS, 0x10);
    SET(fd, IPPROTO_IP, IP_TTL, 50);

    struct linger linger = { 1, 9 };
    socklen_t len = sizeof linger;
    R(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
    memset(&linger, 0, sizeof linger);
    R(getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len));
    say("SO_LINGER: %d %d", linger.l_onoff, linger.l_linger);
    struct timeval time = { 3, 500000 };
    len = sizeof time;
    R(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
    memset(&time, 0, sizeof time);
    R(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &len));
    say("SO_RCVTIMEO: %ld %ld", (long) time.tv_sec, (long) time.tv_usec);
}

int main(void)
{
    int slot, fd = tcp();

    say("# of a new socket");
    defaults(fd);
    say("# changed");
    change(fd);
    SET(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
    SET(fd, IPPROTO_TCP, TCP_MAXSEG, 1000);
    close(fd);

    say("# of a connection");
    fd = connect_peer(&slot);
    defaults(fd);
    say("# changed");
    change(fd);
    say("TCP_MAXSEG in bounds: %d", get(fd, IPPROTO_TCP, TCP_MAXSEG) >= 536 &&
        get(fd, IPPROTO_TCP, TCP_MAXSEG) <= 1460);
    int value = 1;
    R(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &value, sizeof value));
    SET(fd, SOL_SOCKET, SO_RCVLOWAT, 5);

    say("# the connection works");
    R(write(fd, "abc", 3));
    peer("read %d 3", slot);
    return 0;
}
