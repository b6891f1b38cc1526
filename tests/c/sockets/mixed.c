/* Sockets beside pipes, eventfds, timers, unix sockets and files. */
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "test.h"

static int slot, fd, ends[2], event, timer, unix_ends[2], file;

static const char *names[] = { "socket", "pipe", "eventfd", "timerfd", "unix", "file" };

static void all(int *fds)
{
    int list[] = { fd, ends[0], event, timer, unix_ends[0], file };

    memcpy(fds, list, sizeof list);
}

static void show_poll(const char *what, int count)
{
    struct pollfd entries[6];
    int fds[6];

    all(fds);
    for (int i = 0; i < 6; i++)
        entries[i] = (struct pollfd) { .fd = fds[i], .events = POLLIN };
    say("%s: poll %d", what, poll(entries, (nfds_t) count, 5000));
    for (int i = 0; i < count; i++)
        if (entries[i].revents)
            say("  %s: %s", names[i], bits((unsigned short) entries[i].revents));
}

static void show_select(const char *what, int count)
{
    fd_set set;
    int fds[6], top = 0;

    all(fds);
    FD_ZERO(&set);
    for (int i = 0; i < count; i++) {
        FD_SET(fds[i], &set);
        top = fds[i] > top ? fds[i] : top;
    }
    say("%s: select %d", what, select(top + 1, &set, NULL, NULL, NULL));
    for (int i = 0; i < count; i++)
        if (FD_ISSET(fds[i], &set))
            say("  %s", names[i]);
}

static void show_epoll(const char *what, int epoll)
{
    struct epoll_event events[8];
    int seen[6] = { 0 };

    say("%s: epoll_wait", what);
    /* One call need not tell of all of them, but none is left out for long. */
    for (int call = 0; call < 100; call++) {
        int ready = epoll_wait(epoll, events, 8, 5000);
        for (int i = 0; i < ready; i++)
            seen[events[i].data.u32] = 1;
    }
    for (int i = 0; i < 6; i++)
        if (seen[i])
            say("  %s", names[i]);
}

static void show(const char *what, int epoll)
{
    show_poll(what, 5);
    show_select(what, 5);
    show_epoll(what, epoll);
}

int main(void)
{
    char path[] = "/tmp/tas-mixed-XXXXXX", byte;
    int fds[6], epoll = epoll_create1(0);
    uint64_t one = 1;

    fd = connect_peer(&slot);
    event = eventfd(0, EFD_NONBLOCK);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    file = mkstemp(path);
    unlink(path);
    if (pipe(ends) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, unix_ends) != 0)
        die("pipe, socketpair");
    all(fds);
    for (uint32_t i = 0; i < 6; i++) {
        struct epoll_event item = { .events = EPOLLIN, .data.u32 = i };
        int rc = epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &item);
        say("add %s: %s", names[i], rc ? error_name(errno) : "ok");
    }

    say("# one after the other while nothing else is ready");
    peer_after(30, "text %d a", slot);
    show("data", epoll);
    R(read(fd, &byte, 1));
    R(write(ends[1], "a", 1));
    show("pipe", epoll);
    R(read(ends[0], &byte, 1));
    R(write(event, &one, sizeof one));
    show("eventfd", epoll);
    R(read(event, &one, sizeof one));
    struct itimerspec soon = { .it_value.tv_nsec = 30000000 };
    timerfd_settime(timer, 0, &soon, NULL);
    show("timer", epoll);
    R(read(timer, &one, sizeof one));
    R(write(unix_ends[1], "a", 1));
    show("unix", epoll);

    say("# together");
    R(write(ends[1], "a", 1));
    peer("text %d b", slot);
    wait_bytes(fd, 1);
    show("three", epoll);

    say("# a file is always ready");
    show_poll("file", 6);
    show_select("file", 6);

    say("# calls on others' descriptors are the kernel's");
    R(recv(ends[0], &byte, 1, 0));
    R(shutdown(ends[0], SHUT_WR));
    R(send(unix_ends[0], "x", 1, 0));
    R(read(unix_ends[1], &byte, 1));
    R(getsockname(event, NULL, NULL));

    say("# the poller's end of a pipe closes");
    R(read(ends[0], &byte, 1));
    R(read(fd, &byte, 1));
    R(read(unix_ends[0], &byte, 1));
    R(close(ends[1]));
    show_poll("pipe", 5);
    return 0;
}
