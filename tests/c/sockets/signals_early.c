/* A signal that comes just after a call has begun to wait ends it, as any. */
#include <ucontext.h>

#include "test.h"

/* Of this program's own code. */
extern char __executable_start, etext;

static int fd, slot, epoll;
static pthread_t main_thread;
static volatile int waits, over;
static volatile long delay;
static int missed;
/* Whether the handler interrupted not this program's code, but a function that
 * it calls; -1 if it has not run yet. */
static volatile sig_atomic_t in_call;

enum { TRIES = 150 };

static long do_recv(void) { char b[8]; return recv(fd, b, sizeof b, 0); }
static long do_poll(void) { struct pollfd p = { .fd = fd, .events = POLLIN }; return poll(&p, 1, -1); }
static long do_epoll(void) { struct epoll_event e; return epoll_wait(epoll, &e, 1, -1); }

static void note(int number, siginfo_t *info, void *context)
{
    char *at = (char *) ((ucontext_t *) context)->uc_mcontext.gregs[REG_RIP];

    (void) number;
    (void) info;
    in_call = at < &__executable_start || at >= &etext;
}

static void install(int flags)
{
    struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO | flags };

    sigaction(SIGUSR1, &action, NULL);
}

static long now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

/* Signals just after the main thread has said that it waits. One that came too
 * early is followed by another. */
static void *interrupt(void *arg)
{
    sigset_t all;

    (void) arg;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    while (!over) {
        if (!waits)
            continue;
        long start = now_ns();
        while (now_ns() - start < delay)
            ;
        in_call = -1;
        pthread_kill(main_thread, SIGUSR1);
        int ms = 0;
        while (waits && ms < 200) {
            sleep_ms(1);
            ms += in_call != -1;
        }
        while (waits) {
            missed += in_call;
            pthread_kill(main_thread, SIGUSR1);
            for (ms = 0; waits && ms < 200; ms++)
                sleep_ms(1);
        }
    }
    return NULL;
}

static void try(const char *what, long (*call)(void))
{
    int interrupted = 0;

    missed = 0;
    for (int i = 0; i < TRIES; i++) {
        delay = 4000 + i % 20 * 1000;
        errno = 0;
        waits = 1;
        long result = call();
        interrupted += result == -1 && errno == EINTR;
        waits = 0;
        sleep_ms(1);
    }
    /* It may have been in the function, and not in the call yet. */
    say("%s: interrupted %d times, mostly by the first signal: %d", what, interrupted,
        missed < TRIES / 3);
}

int main(void)
{
    struct epoll_event event = { .events = EPOLLIN };

    fd = connect_peer(&slot);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    install(0);
    main_thread = pthread_self();
    pthread_t thread = in_thread(interrupt, NULL);
    try("recv", do_recv);
    try("poll", do_poll);
    try("epoll_wait", do_epoll);
    /* Such calls are never restarted. */
    struct timeval time = { .tv_sec = 20 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    install(SA_RESTART);
    try("recv with a timeout", do_recv);
    over = 1;
    pthread_join(thread, NULL);
    return 0;
}
