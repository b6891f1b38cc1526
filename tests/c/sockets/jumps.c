/* Handlers that do not return: they jump out of calls that wait (siglongjmp(3)),
 * or end their thread. */
#include <setjmp.h>

#include "test.h"

static int fd, slot, listener, epoll;
static sigjmp_buf back;

static void do_recv(void) { char b[8]; recv(fd, b, sizeof b, 0); }
static void do_accept(void) { accept(listener, NULL, NULL); }
static void do_poll(void) { struct pollfd p = { .fd = fd, .events = POLLIN }; poll(&p, 1, -1); }
static void do_epoll(void) { struct epoll_event e; epoll_wait(epoll, &e, 1, -1); }
static void do_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    select(fd + 1, &set, NULL, NULL, NULL);
}

static void jump(int number)
{
    siglongjmp(back, number);
}

static void finish(int number)
{
    (void) number;
    pthread_exit(&slot);
}

static void check(const char *text)
{
    char bytes[8] = "";
    struct epoll_event event = { 0 };
    sigset_t mask;

    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    say("blocked: %d", sigismember(&mask, SIGUSR1));
    peer("text %d %s", slot, text);
    say("epoll_wait: %d", epoll_wait(epoll, &event, 1, 3000));
    R(recv(fd, bytes, strlen(text), MSG_WAITALL));
    say("%s", bytes);
}

static void try(const char *what, void (*call)(void))
{
    /* Soon enough that it may not even sleep, and later. */
    for (volatile int ms = 0; ms <= 60; ms += 60) {
        volatile int jumped = 0;

        if (sigsetjmp(back, 1) == 0) {
            signal_later(pthread_self(), SIGUSR1, ms);
            call();
        } else {
            jumped = 1;
        }
        say("%s: jumped: %d", what, jumped);
        check("abc");
    }
}

static void cleanup(void *arg) { *(int *) arg = 1; }

static void *waiting(void *arg)
{
    volatile int cleaned = 0;
    void (*call)(void) = *(void (**)(void)) arg;

    signal_later(pthread_self(), SIGUSR2, 40);
    pthread_cleanup_push(cleanup, (void *) &cleaned);
    call();
    pthread_cleanup_pop(0);
    say("returned");
    return NULL;
}

static void try_end(const char *what, void (*call)(void))
{
    void *result;

    pthread_join(in_thread(waiting, &call), &result);
    say("%s: ended by the handler: %d", what, result == &slot);
    check("def");
}

int main(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    struct sigaction action = { .sa_handler = jump };

    fd = connect_peer(&slot);
    listener = listener_on(own_port(0), 8);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = finish;
    sigaction(SIGUSR2, &action, NULL);

    try("recv", do_recv);
    try("accept", do_accept);
    try("poll", do_poll);
    try("select", do_select);
    try("epoll_wait", do_epoll);
    try_end("recv", do_recv);
    try_end("accept", do_accept);
    try_end("poll", do_poll);
    try_end("epoll_wait", do_epoll);
    return 0;
}
