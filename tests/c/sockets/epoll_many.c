/* A socket in several epolls, and several descriptors of one socket in one. */
#include "test.h"

enum { EPOLLS = 20 };

int main(void)
{
    int slot, fd = connect_peer(&slot), epolls[EPOLLS], told = 0;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = 1 }, got[4];
    char byte;

    say("# in many epolls");
    for (int i = 0; i < EPOLLS; i++) {
        epolls[i] = epoll_create1(0);
        if (epoll_ctl(epolls[i], EPOLL_CTL_ADD, fd, &event) != 0)
            die("add");
    }
    peer("text %d ab", slot);
    wait_bytes(fd, 2);
    for (int i = 0; i < EPOLLS; i++)
        told += epoll_wait(epolls[i], got, 4, 5000);
    say("told: %d", told);
    R(read(fd, &byte, 1));
    R(epoll_ctl(epolls[0], EPOLL_CTL_DEL, fd, NULL));
    R(epoll_wait(epolls[0], got, 4, 0));
    R(epoll_wait(epolls[1], got, 4, 0));
    R(close(epolls[1]));
    R(epoll_wait(epolls[2], got, 4, 0));

    say("# two descriptors of one socket");
    int copy = dup(fd);
    event.data.u32 = 2;
    R(epoll_ctl(epolls[2], EPOLL_CTL_ADD, copy, &event));
    R(epoll_ctl(epolls[2], EPOLL_CTL_ADD, copy, &event));
    R(epoll_wait(epolls[2], got, 4, 0));
    R(epoll_ctl(epolls[2], EPOLL_CTL_DEL, copy, NULL));
    R(epoll_wait(epolls[2], got, 4, 0));
    say("data: %u", got[0].data.u32);

    say("# a registration lasts as long as the socket, not as the descriptor");
    R(close(fd));
    R(epoll_wait(epolls[2], got, 4, 0));
    say("data: %u", got[0].data.u32);
    R(epoll_ctl(epolls[2], EPOLL_CTL_DEL, fd, NULL));
    R(close(copy));
    R(epoll_wait(epolls[2], got, 4, 0));

    say("# fairness: every ready socket comes up");
    enum { SOCKETS = 6 };
    int fds[SOCKETS], slots[SOCKETS];
    unsigned seen = 0;
    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < SOCKETS; i++) {
        fds[i] = connect_peer(&slots[i]);
        event = (struct epoll_event) { .events = EPOLLIN, .data.u32 = i };
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
        peer_ask("text %d a", slots[i]);
        wait_bytes(fds[i], 1);
    }
    for (int i = 0; i < SOCKETS; i++) {
        if (epoll_wait(epoll, got, 1, 0) != 1)
            die("epoll_wait");
        seen |= 1u << got[0].data.u32;
    }
    say("seen: %x", seen);
    int ready = epoll_wait(epoll, got, 4, 0);
    say("at most as many as there is room for: %d", ready);
    return 0;
}
