/* What calls on descriptors of the kernel's cost: nanoseconds per call, the
 * best of many rounds. To be compared with and without a preloaded library. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 40, CALLS = 50000 };

static int zero, null, epfd;
static struct pollfd fds[16];

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static void call_read(void)
{
    char byte;
    if (read(zero, &byte, 1) != 1)
        abort();
}

static void call_write(void)
{
    if (write(null, "x", 1) != 1)
        abort();
}

static void call_poll(void)
{
    if (poll(fds, 16, 0) < 0)
        abort();
}

static void call_epoll_wait(void)
{
    struct epoll_event event;
    if (epoll_wait(epfd, &event, 1, 0) != 0)
        abort();
}

static void call_fcntl(void)
{
    if (fcntl(zero, F_GETFD) < 0)
        abort();
}

static void measure(const char *name, void (*call)(void))
{
    double best = 1e18;
    for (int round = 0; round < ROUNDS; round++) {
        double start = now();
        for (int i = 0; i < CALLS; i++)
            call();
        double time = (now() - start) / CALLS;
        best = time < best ? time : best;
    }
    printf("%-12s %.1f ns\n", name, best);
}

int main(int argc, char **argv)
{
    (void)argv;
    zero = open("/dev/zero", O_RDONLY);
    null = open("/dev/null", O_WRONLY);
    epfd = epoll_create1(0);
    for (int i = 0; i < 16; i++)
        fds[i] = (struct pollfd){zero, POLLIN, 0};
    if (zero < 0 || null < 0 || epfd < 0)
        return 1;
    /* With an argument: as a program that has a TCP socket, too. */
    if (argc > 1)
        socket(AF_INET, SOCK_STREAM, 0);
    measure("read", call_read);
    measure("write", call_write);
    measure("poll of 16", call_poll);
    measure("epoll_wait", call_epoll_wait);
    measure("fcntl", call_fcntl);
    return 0;
}
