/* Calls that set a signal mask while they wait: ppoll, pselect, epoll_pwait(2). */
#include <sys/syscall.h>

#include "test.h"

static int fd, epoll;

static int by_ppoll(const sigset_t *mask, int ms)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

    return ppoll(&entry, 1, &time, mask);
}

static int by_pselect(const sigset_t *mask, int ms)
{
    fd_set set;
    struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return pselect(fd + 1, &set, NULL, NULL, &time, mask);
}

static int by_epoll_pwait(const sigset_t *mask, int ms)
{
    struct epoll_event event;

    return epoll_pwait(epoll, &event, 1, ms, mask);
}

static int by_epoll_pwait2(const sigset_t *mask, int ms)
{
    struct epoll_event event;
    struct timespec time = { ms / 1000, ms % 1000 * 1000000L };

    return epoll_pwait2(epoll, &event, 1, &time, mask);
}

static void try(const char *what, int (*wait)(const sigset_t *, int), int slot)
{
    sigset_t blocked, open, now;
    char byte;

    say("# %s", what);
    sigemptyset(&open);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &blocked, NULL);
    signals_seen = 0;

    say("pending before it, let in by the mask");
    pthread_kill(pthread_self(), SIGUSR1);
    R(wait(&open, 3000));
    say("signals: %d", (int) signals_seen);

    say("while it waits");
    signal_later(pthread_self(), SIGUSR1, 50);
    R(wait(&open, 3000));
    say("signals: %d", (int) signals_seen);

    say("kept out by the mask");
    pthread_sigmask(SIG_SETMASK, &open, NULL);
    signal_later(pthread_self(), SIGUSR1, 20);
    long start = now_ms();
    R(wait(&blocked, 100));
    say("%s, signals after it: %d", took(start, 100), (int) signals_seen);
    pthread_sigmask(SIG_SETMASK, NULL, &now);
    say("the mask is as before: %d", !sigismember(&now, SIGUSR1));

    say("data while it waits");
    peer_after(50, "text %d a", slot);
    R(wait(&blocked, 3000));
    R(read(fd, &byte, 1));
    start = now_ms();
    R(wait(NULL, 80));
    say("%s", took(start, 80));
    R(wait(&open, 0));
}

int main(void)
{
    int slot;
    struct epoll_event event = { .events = EPOLLIN };

    fd = connect_peer(&slot);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    count_signal(SIGUSR1, SA_RESTART);
    try("ppoll", by_ppoll, slot);
    try("pselect", by_pselect, slot);
    try("epoll_pwait", by_epoll_pwait, slot);
    try("epoll_pwait2", by_epoll_pwait2, slot);
    return 0;
}
