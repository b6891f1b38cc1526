/* A program that waits uses no CPU, and one that must not wait does not. */
#include "test.h"

static int fd, slot, epoll;
static char text[16];

/* CPU time of a call that waits half a second must be a small part of that. */
#define IDLE(expr) do { \
        peer_after(500, "text %d a", slot); \
        long before = cpu_ms(); \
        report(#expr, (errno = 0, (long) (expr))); \
        long used = cpu_ms() - before; \
        if (used > 150) \
            say("used %ld ms", used); \
    } while (0)

static void *wait_there(void *arg)
{
    (void) arg;
    (void) !recv(fd, text, 1, MSG_PEEK);
    return NULL;
}

static void at_once(const char *what, long started)
{
    long passed = now_ms() - started;

    say("%s: %s", what, passed < 2000 ? "at once" : "blocked");
}

int main(void)
{
    struct epoll_event event = { .events = EPOLLIN };

    fd = connect_peer(&slot);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    say("# waiting");
    IDLE(recv(fd, text, sizeof text, 0));
    IDLE(poll(&entry, 1, 3000));
    R(read(fd, text, sizeof text));
    IDLE(epoll_wait(epoll, &event, 1, 3000));
    R(read(fd, text, sizeof text));
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        threads[i] = in_thread(wait_there, NULL);
    long before = cpu_ms();
    peer_after(500, "text %d a", slot);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    say("four threads: %d", cpu_ms() - before < 250);
    R(read(fd, text, sizeof text));

    say("# not waiting, for a thousand calls");
    set_nonblocking(fd);
    long start = now_ms();
    for (int i = 0; i < 1000; i++)
        if (recv(fd, text, sizeof text, 0) >= 0)
            die("recv");
    at_once("recv", start);
    start = now_ms();
    for (int i = 0; i < 1000; i++)
        if (poll(&entry, 1, 0) != 0)
            die("poll");
    at_once("poll", start);
    start = now_ms();
    for (int i = 0; i < 1000; i++)
        if (epoll_wait(epoll, &event, 1, 0) != 0)
            die("epoll_wait");
    at_once("epoll_wait", start);
    int listener = listener_on(own_port(0), 8);
    set_nonblocking(listener);
    start = now_ms();
    for (int i = 0; i < 1000; i++)
        if (accept(listener, NULL, NULL) >= 0)
            die("accept");
    at_once("accept", start);
    return 0;
}
