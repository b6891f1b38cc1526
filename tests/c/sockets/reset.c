/* A peer's RST: reads, writes, events, SO_ERROR once. */
#include "test.h"

static int so_error(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len);
    return value;
}

static int reset_connection(void)
{
    int slot, fd = connect_peer(&slot);

    peer_ask("rst %d", slot);
    wait_events(fd, POLLHUP);
    return fd;
}

int main(void)
{
    char text[16];
    int slot, fd;
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;

    signal(SIGPIPE, SIG_IGN);
    say("# under a blocked read");
    fd = connect_peer(&slot);
    peer_after(50, "rst %d", slot);
    R(read(fd, text, sizeof text));
    R(read(fd, text, sizeof text));
    R(write(fd, "a", 1));
    say("SO_ERROR: %d", so_error(fd));
    say("events: %s", bits(events_now(fd)));
    R(getpeername(fd, SA(&addr), &len));
    R(shutdown(fd, SHUT_WR));
    R(close(fd));

    say("# SO_ERROR takes it");
    fd = reset_connection();
    say("events: %s", bits(events_now(fd)));
    say("SO_ERROR: %s", error_name(so_error(fd)));
    say("SO_ERROR: %d", so_error(fd));
    say("events: %s", bits(events_now(fd)));
    R(read(fd, text, sizeof text));
    close(fd);

    say("# a write takes it");
    fd = reset_connection();
    R(write(fd, "a", 1));
    R(write(fd, "a", 1));
    R(read(fd, text, sizeof text));
    close(fd);

    say("# MSG_PEEK takes it");
    fd = reset_connection();
    R(recv(fd, text, sizeof text, MSG_PEEK));
    R(recv(fd, text, sizeof text, 0));
    close(fd);

    say("# what came before it is read first");
    fd = connect_peer(&slot);
    peer("text %d abcdef", slot);
    wait_bytes(fd, 6);
    R(read(fd, text, 2));
    peer_ask("rst %d", slot);
    wait_events(fd, POLLHUP);
    memset(text, 0, sizeof text);
    R(read(fd, text, 3));
    R(read(fd, text + 3, sizeof text - 3));
    say("text: %.4s", text);
    R(read(fd, text, sizeof text));
    R(read(fd, text, sizeof text));
    close(fd);

    say("# in epoll");
    fd = connect_peer(&slot);
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
    int epoll = epoll_create1(0);
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    peer_after(30, "rst %d", slot);
    R(epoll_wait(epoll, &event, 1, 5000));
    say("events: %s", bits(event.events));
    R(read(fd, text, sizeof text));
    R(epoll_wait(epoll, &event, 1, 0));
    say("events: %s", bits(event.events));
    close(fd);

    say("# under a blocked write");
    fd = connect_peer(&slot);
    peer_after(100, "rst %d", slot);
    char *much = calloc(1, 64 << 20);
    ssize_t sent = send(fd, much, 64 << 20, 0);
    say("part or error: %d", sent < (64 << 20));
    if (sent > 0)
        sent = send(fd, much, 64 << 20, 0);
    say("then %s", error_name(errno));
    R(send(fd, much, 1, 0));
    return 0;
}
