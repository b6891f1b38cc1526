/* Connections in progress: what calls say before, during and after. */
#include "test.h"

static int so_error(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) != 0)
        die("SO_ERROR");
    return value;
}

/* A port whose listener has no room: connections stay in progress. */
static uint16_t silent_port(int *listener)
{
    uint16_t port;

    *listener = peer_listen(0, &port);
    struct sockaddr_in addr = there(port);
    int fd = tcp();
    if (connect(fd, SA(&addr), sizeof addr) != 0)
        die("connect");
    return port;
}

int main(void)
{
    uint16_t port;
    int listener = peer_listen(8, &port), slot;
    struct sockaddr_in addr = there(port), name;
    socklen_t len = sizeof name;
    char byte = 'x';

    say("# before");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    say("events: %s", bits(events_now(fd)));
    R(recv(fd, &byte, 1, 0));
    R(send(fd, &byte, 1, MSG_NOSIGNAL));

    say("# to the end");
    R(connect(fd, SA(&addr), sizeof addr));
    say("events: %s", bits(wait_events(fd, POLLOUT)));
    say("SO_ERROR: %d", so_error(fd));
    slot = peer_accept(listener);
    R(connect(fd, SA(&addr), sizeof addr));
    R(connect(fd, SA(&addr), sizeof addr));
    R(recv(fd, &byte, 1, 0));
    R(write(fd, "hello", 5));
    peer("read %d 5", slot);
    close(fd);

    say("# during");
    addr.sin_port = htons(silent_port(&listener));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    say("events: %s", bits(events_now(fd)));
    R(connect(fd, SA(&addr), sizeof addr));
    R(recv(fd, &byte, 1, 0));
    R(send(fd, &byte, 1, MSG_NOSIGNAL));
    R(getpeername(fd, SA(&name), &len));
    R(getsockname(fd, SA(&name), &len));
    say("SO_ERROR: %d", so_error(fd));
    R(listen(fd, 5));

    say("# closed during");
    R(close(fd));

    say("# shut down during");
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    R(shutdown(fd, SHUT_RDWR));
    say("HUP: %d", (events_now(fd) & POLLHUP) != 0);
    close(fd);
    return 0;
}
