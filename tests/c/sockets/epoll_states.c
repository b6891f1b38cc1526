/* epoll, level-triggered: events of every state, and only those asked for. */
#include "test.h"

static int epoll;

static void show(const char *what)
{
    struct epoll_event event = { 0 };
    int ready = epoll_wait(epoll, &event, 1, 0);

    say("%s: %d %s", what, ready, ready > 0 ? bits(event.events) : "");
}

static void add(int fd, unsigned events)
{
    struct epoll_event event = { .events = events };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("add");
}

static void change(int fd, unsigned events)
{
    struct epoll_event event = { .events = events };

    if (epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) != 0)
        die("change");
}

enum { ALL = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI };

int main(void)
{
    int slot, fd = tcp();
    char text[16];

    epoll = epoll_create1(0);
    say("# a new socket");
    add(fd, EPOLLIN);
    show("in");
    change(fd, ALL);
    show("all");
    close(fd);

    say("# a listener, added before it is one");
    fd = tcp();
    add(fd, EPOLLIN);
    struct sockaddr_in addr = here(own_port(0));
    R(bind(fd, SA(&addr), sizeof addr));
    R(listen(fd, 8));
    show("nothing");
    peer_connect(own_port(0));
    wait_events(fd, POLLIN);
    show("a connection");
    show("still");
    close(accept(fd, NULL, NULL));
    show("taken");
    close(fd);

    say("# added before connecting");
    uint16_t port;
    int listener = peer_listen(8, &port);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    add(fd, EPOLLOUT);
    show("new");
    addr = there(port);
    R(connect(fd, SA(&addr), sizeof addr));
    wait_events(fd, POLLOUT);
    show("connected");
    slot = peer_accept(listener);

    say("# data");
    change(fd, EPOLLIN);
    show("nothing");
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    show("data");
    R(read(fd, text, 2));
    show("some left");
    R(read(fd, text, 2));
    show("all read");

    say("# ends");
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    show("in");
    change(fd, EPOLLOUT);
    show("out");
    change(fd, EPOLLRDHUP);
    show("rdhup");
    change(fd, 0);
    show("nothing asked");
    R(shutdown(fd, SHUT_WR));
    show("nothing asked, both ended");
    change(fd, ALL);
    show("all");
    close(fd);

    say("# our end first");
    fd = connect_peer(&slot);
    add(fd, ALL);
    R(shutdown(fd, SHUT_WR));
    show("all");
    R(shutdown(fd, SHUT_RD));
    show("all");
    close(fd);

    say("# a reset");
    fd = connect_peer(&slot);
    add(fd, 0);
    show("nothing asked");
    peer("rst %d", slot);
    wait_events(fd, POLLHUP);
    show("nothing asked");
    change(fd, ALL);
    show("all");
    int error;
    socklen_t len = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    show("all, after SO_ERROR");
    return 0;
}
