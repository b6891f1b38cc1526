/* A peer that does not answer: timeouts, signals, and the answer at last. */
#include "test.h"

static uint16_t silent_port(int *listener)
{
    uint16_t port;

    *listener = peer_listen(0, &port);
    struct sockaddr_in addr = there(port);
    int fd = tcp();
    if (connect(fd, SA(&addr), sizeof addr) != 0)
        die("connect");
    return port;
}

int main(void)
{
    int listener;
    struct sockaddr_in addr = there(silent_port(&listener));
    struct timeval time = { .tv_usec = 100000 };
    int fd = tcp();

    say("# SO_SNDTIMEO");
    R(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    long start = now_ms();
    R(connect(fd, SA(&addr), sizeof addr));
    say("%s", took(start, 100));
    start = now_ms();
    R(connect(fd, SA(&addr), sizeof addr));
    say("%s", took(start, 100));
    close(fd);

    say("# a signal");
    fd = tcp();
    count_signal(SIGUSR1, 0);
    signal_later(pthread_self(), SIGUSR1, 100);
    R(connect(fd, SA(&addr), sizeof addr));
    say("signals: %d", (int) signals_seen);
    set_nonblocking(fd);
    R(connect(fd, SA(&addr), sizeof addr));

    say("# it goes on in the background");
    peer_accept(listener);
    say("events: %s", bits(wait_events(fd, POLLOUT)));
    R(connect(fd, SA(&addr), sizeof addr));
    R(connect(fd, SA(&addr), sizeof addr));
    int slot = peer_accept(listener);
    R(write(fd, "hello", 5));
    peer("read %d 5", slot);
    return 0;
}
