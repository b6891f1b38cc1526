/* EPOLLET: once for every edge; EPOLLONESHOT; what MOD does to both. */
#include "test.h"

static int epoll;

static void show(const char *what, int ms)
{
    struct epoll_event event = { 0 };
    int ready = epoll_wait(epoll, &event, 1, ms);

    say("%s: %d %s", what, ready, ready > 0 ? bits(event.events) : "");
}

static void control(int operation, int fd, unsigned events)
{
    struct epoll_event event = { .events = events };

    if (epoll_ctl(epoll, operation, fd, &event) != 0)
        die("epoll_ctl");
}

int main(void)
{
    int slot, fd = connect_peer_nonblocking(&slot);
    char text[64];

    epoll = epoll_create1(0);
    say("# edge-triggered input");
    control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    show("nothing", 0);
    peer("text %d abc", slot);
    show("data", 5000);
    show("again", 0);
    R(read(fd, text, 1));
    show("part of it read", 0);
    peer("text %d def", slot);
    show("more data", 5000);
    show("again", 0);
    R(read(fd, text, sizeof text));
    R(read(fd, text, sizeof text));
    show("all read", 0);
    peer("text %d g", slot);
    show("new data", 5000);

    say("# MOD tells again what is there");
    control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET);
    show("data", 0);
    show("again", 0);
    R(read(fd, text, sizeof text));
    control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET);
    show("nothing there", 0);

    say("# data that was there before ADD");
    control(EPOLL_CTL_DEL, fd, 0);
    peer("text %d h", slot);
    wait_bytes(fd, 1);
    control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    show("data", 0);
    show("again", 0);
    R(read(fd, text, sizeof text));

    say("# edge-triggered output");
    control(EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLET);
    show("room", 0);
    show("again", 0);
    long sent = 0;
    for (;;) {
        unsigned char bytes[65536];
        fill(bytes, sizeof bytes, (unsigned long) sent);
        ssize_t rc = write(fd, bytes, sizeof bytes);
        if (rc > 0) {
            sent += rc;
            continue;
        }
        sleep_ms(60);
        if (!(events_now(fd) & POLLOUT))
            break;
    }
    show("the last of the time when there was room", 0);
    show("full", 0);
    peer_ask("recv %d %ld", slot, sent);
    show("room again", 5000);

    say("# the end");
    control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLRDHUP | EPOLLET);
    show("nothing", 0);
    peer("shut %d wr", slot);
    show("end", 5000);
    show("again", 0);
    R(read(fd, text, sizeof text));
    show("again", 0);
    close(fd);

    say("# once only");
    fd = connect_peer_nonblocking(&slot);
    control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT);
    peer("text %d a", slot);
    show("data", 5000);
    show("again", 0);
    peer("text %d b", slot);
    wait_bytes(fd, 2);
    show("more data", 0);
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    show("even the end", 0);
    control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
    show("armed again", 0);
    show("again", 0);
    close(fd);

    say("# once only, armed while nothing is there");
    fd = connect_peer_nonblocking(&slot);
    control(EPOLL_CTL_ADD, fd, EPOLLOUT | EPOLLONESHOT);
    show("room", 0);
    control(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
    show("nothing", 0);
    peer("text %d a", slot);
    show("data", 5000);

    say("# disarmed: not even a reset");
    peer("rst %d", slot);
    wait_events(fd, POLLHUP);
    show("reset", 0);
    control(EPOLL_CTL_MOD, fd, EPOLLONESHOT);
    show("armed for nothing", 0);
    close(fd);

    say("# an edge-triggered listener");
    fd = listener_on(own_port(0), 8);
    set_nonblocking(fd);
    control(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET);
    peer_connect(own_port(0));
    show("one", 5000);
    show("again", 0);
    peer_connect(own_port(0));
    show("another", 5000);
    OK(accept(fd, NULL, NULL));
    OK(accept(fd, NULL, NULL));
    R(accept(fd, NULL, NULL));
    show("none", 0);
    return 0;
}
