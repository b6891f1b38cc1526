/* A peer that refuses: errors, events, SO_ERROR once, and another try. */
#include "test.h"

static int so_error(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;

    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len) != 0)
        die("SO_ERROR");
    return value;
}

static uint16_t closed_port(void)
{
    uint16_t port;
    int listener = peer_listen(1, &port);

    peer_ask("close %d", listener);
    return port;
}

static void in_epoll(int fd)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP };
    int epoll = epoll_create1(0);

    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    R(epoll_wait(epoll, &event, 1, 5000));
    say("epoll: %s", bits(event.events));
    close(epoll);
}

int main(void)
{
    struct sockaddr_in addr = there(closed_port());
    char byte;
    int fd = tcp();

    say("# blocking");
    R(connect(fd, SA(&addr), sizeof addr));
    say("SO_ERROR: %s", error_name(so_error(fd)));
    say("events: %s", bits(events_now(fd)));
    R(recv(fd, &byte, 1, MSG_DONTWAIT));
    R(send(fd, &byte, 1, MSG_NOSIGNAL));

    say("# again, and then to one who listens");
    R(connect(fd, SA(&addr), sizeof addr));
    uint16_t port;
    int listener = peer_listen(8, &port);
    addr.sin_port = htons(port);
    R(connect(fd, SA(&addr), sizeof addr));
    int slot = peer_accept(listener);
    R(write(fd, "hello", 5));
    peer("read %d 5", slot);
    close(fd);

    say("# not blocking: SO_ERROR");
    addr.sin_port = htons(closed_port());
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    say("events: %s", bits(wait_events(fd, POLLOUT)));
    in_epoll(fd);
    say("SO_ERROR: %s", error_name(so_error(fd)));
    say("SO_ERROR: %s", error_name(so_error(fd)));
    say("events: %s", bits(events_now(fd)));
    R(read(fd, &byte, 1));
    close(fd);

    say("# not blocking: a read takes the error");
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    wait_events(fd, POLLOUT);
    R(read(fd, &byte, 1));
    R(read(fd, &byte, 1));
    say("SO_ERROR: %s", error_name(so_error(fd)));
    close(fd);

    say("# not blocking: a write takes the error");
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    wait_events(fd, POLLOUT);
    R(send(fd, &byte, 1, MSG_NOSIGNAL));
    R(send(fd, &byte, 1, MSG_NOSIGNAL));
    close(fd);

    say("# not blocking: connect takes the error");
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&addr), sizeof addr));
    wait_events(fd, POLLOUT);
    R(connect(fd, SA(&addr), sizeof addr));
    R(connect(fd, SA(&addr), sizeof addr));
    wait_events(fd, POLLOUT);
    say("SO_ERROR: %s", error_name(so_error(fd)));
    addr.sin_port = htons(port);
    R(connect(fd, SA(&addr), sizeof addr));
    say("# SO_ERROR had taken what connect would have told: once more");
    R(connect(fd, SA(&addr), sizeof addr));
    say("events: %s", bits(wait_events(fd, POLLOUT)));
    peer_accept(listener);
    say("SO_ERROR: %d", so_error(fd));
    return 0;
}
