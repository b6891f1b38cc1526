/* An epoll in an epoll, in poll and in select. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    int inner = epoll_create1(0), middle = epoll_create1(0), outer = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN }, got;
    char byte;

    R(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event));
    R(epoll_ctl(middle, EPOLL_CTL_ADD, inner, &event));
    R(epoll_ctl(outer, EPOLL_CTL_ADD, middle, &event));
    say("# nothing");
    R(epoll_wait(outer, &got, 1, 0));
    say("poll of the inner: %s", bits(events_now(inner)));

    say("# data");
    peer_after(50, "text %d a", slot);
    R(epoll_wait(outer, &got, 1, 5000));
    say("outer: %s", bits(got.events));
    R(epoll_wait(middle, &got, 1, 0));
    R(epoll_wait(inner, &got, 1, 0));
    say("poll of the inner: %s, of the outer: %s", bits(events_now(inner)),
        bits(events_now(outer)));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(outer, &set);
    R(select(outer + 1, &set, NULL, NULL, NULL));
    R(read(fd, &byte, 1));
    R(epoll_wait(outer, &got, 1, 0));
    say("poll of the inner: %s", bits(events_now(inner)));

    say("# a poll of an epoll wakes");
    struct pollfd entry = { .fd = outer, .events = POLLIN };
    peer_after(50, "text %d b", slot);
    R(poll(&entry, 1, 5000));
    R(read(fd, &byte, 1));

    say("# kernel descriptors in the inner one");
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    R(epoll_ctl(inner, EPOLL_CTL_ADD, ends[0], &event));
    R(epoll_wait(outer, &got, 1, 0));
    R(write(ends[1], "a", 1));
    R(epoll_wait(outer, &got, 1, 5000));
    R(read(ends[0], &byte, 1));

    say("# circles");
    R(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
    R(epoll_ctl(inner, EPOLL_CTL_ADD, inner, &event));

    say("# edge-triggered outer");
    event.events = EPOLLIN | EPOLLET;
    R(epoll_ctl(outer, EPOLL_CTL_MOD, middle, &event));
    peer("text %d c", slot);
    R(epoll_wait(outer, &got, 1, 5000));
    R(epoll_wait(outer, &got, 1, 0));
    R(epoll_wait(inner, &got, 1, 0));

    say("# the inner one closes");
    R(close(inner));
    R(epoll_wait(outer, &got, 1, 0));
    R(read(fd, &byte, 1));
    return 0;
}
