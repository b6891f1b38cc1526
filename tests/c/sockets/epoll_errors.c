/* epoll: descriptors added, changed and removed; what is refused. */
#include <limits.h>

#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot), file = open("/dev/null", O_RDONLY), null;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = 0x123456789abcdef0 };
    struct epoll_event got[4];
    /* Not known to the compiler, which would warn. */
    volatile int negative = -1, huge = INT_MAX;

    say("# made");
    R(epoll_create(0));
    R(epoll_create(-1));
    R(epoll_create1(0x40));
    int epoll = OK(epoll_create(7));
    say("close on exec: %d", fcntl(epoll, F_GETFD));
    R(close(epoll));
    epoll = OK(epoll_create1(EPOLL_CLOEXEC));
    say("close on exec: %d", fcntl(epoll, F_GETFD));

    say("# added, changed, removed");
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    R(epoll_wait(epoll, got, 4, 0));
    event.events = EPOLLOUT;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    R(epoll_wait(epoll, got, 4, 0));
    say("events: %s, data kept: %d", bits(got[0].events), got[0].data.u64 == event.data.u64);
    event.events = 0;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    R(epoll_wait(epoll, got, 4, 0));
    R(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, &event));
    event.events = EPOLLOUT;
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));

    say("# refused");
    R(epoll_ctl(epoll, 77, fd, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, 999, &event));
    R(epoll_ctl(-1, EPOLL_CTL_ADD, fd, &event));
    R(epoll_ctl(999, EPOLL_CTL_ADD, fd, &event));
    R(epoll_ctl(fd, EPOLL_CTL_ADD, epoll, &event));
    R(epoll_ctl(file, EPOLL_CTL_ADD, fd, &event));
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
    null = open("/etc/passwd", O_RDONLY);
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, null, &event));
    R(epoll_wait(epoll, got, 0, 0));
    R(epoll_wait(epoll, got, negative, 0));
    R(epoll_wait(epoll, got, huge, 0));
    R(epoll_wait(-1, got, 4, 0));
    R(epoll_wait(fd, got, 4, 0));

    say("# timeouts");
    event.events = EPOLLIN;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    long start = now_ms();
    R(epoll_wait(epoll, got, 4, 100));
    say("%s", took(start, 100));
    peer_after(50, "text %d a", slot);
    R(epoll_wait(epoll, got, 4, -1));

    say("# any events are taken as they are");
    event.events = EPOLLIN | EPOLLOUT | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDHUP | EPOLLPRI;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    R(epoll_wait(epoll, got, 4, 0));
    say("events: %s", bits(got[0].events));

    say("# a closed descriptor is gone from it");
    R(close(fd));
    R(epoll_wait(epoll, got, 4, 0));
    R(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
    fd = connect_peer(&slot);
    event.events = EPOLLOUT;
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    R(epoll_wait(epoll, got, 4, 0));
    R(close(epoll));
    R(epoll_wait(epoll, got, 4, 0));
    R(write(fd, "abc", 3));
    peer("read %d 3", slot);
    return 0;
}
