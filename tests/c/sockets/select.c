/* select(2), pselect(2). */
#include "test.h"

static int top;

static fd_set set_of(int a, int b)
{
    fd_set set;

    FD_ZERO(&set);
    if (a >= 0)
        FD_SET(a, &set);
    if (b >= 0)
        FD_SET(b, &set);
    return set;
}

int main(void)
{
    int slot, second, fd = connect_peer(&slot), other = connect_peer(&second);
    fd_set reads, writes, errors;
    struct timeval time = { 0 };
    char text[16];

    top = (fd > other ? fd : other) + 1;
    say("# nothing to read");
    reads = set_of(fd, other);
    R(select(top, &reads, NULL, NULL, &time));
    say("set: %d %d", FD_ISSET(fd, &reads) != 0, FD_ISSET(other, &reads) != 0);

    say("# to write");
    reads = set_of(fd, other);
    writes = set_of(fd, other);
    errors = set_of(fd, other);
    R(select(top, &reads, &writes, &errors, NULL));
    say("reads: %d, writes: %d, errors: %d", FD_ISSET(fd, &reads) != 0,
        FD_ISSET(fd, &writes) != 0, FD_ISSET(fd, &errors) != 0);

    say("# waking");
    peer_after(50, "text %d abc", second);
    reads = set_of(fd, other);
    time = (struct timeval) { .tv_sec = 5 };
    R(select(top, &reads, NULL, NULL, &time));
    say("set: %d %d, time has passed: %d", FD_ISSET(fd, &reads) != 0,
        FD_ISSET(other, &reads) != 0, time.tv_sec < 5);
    reads = set_of(other, -1);
    writes = set_of(other, -1);
    say("counted in each set:");
    R(select(top, &reads, &writes, NULL, NULL));
    R(read(other, text, sizeof text));

    say("# timeouts");
    reads = set_of(fd, other);
    time = (struct timeval) { .tv_usec = 100000 };
    long start = now_ms();
    R(select(top, &reads, NULL, NULL, &time));
    say("%s, left: %ld %ld", took(start, 100), (long) time.tv_sec, (long) time.tv_usec);
    struct timespec precise = { .tv_nsec = 70000000 };
    reads = set_of(fd, other);
    start = now_ms();
    R(pselect(top, &reads, NULL, NULL, &precise, NULL));
    say("%s, untouched: %ld", took(start, 70), precise.tv_nsec);
    time = (struct timeval) { .tv_usec = 50000 };
    start = now_ms();
    R(select(0, NULL, NULL, NULL, &time));
    say("%s", took(start, 50));

    say("# ends");
    peer("shut %d wr", slot);
    reads = set_of(fd, other);
    R(select(top, &reads, NULL, NULL, NULL));
    say("set: %d %d", FD_ISSET(fd, &reads) != 0, FD_ISSET(other, &reads) != 0);
    peer("rst %d", second);
    wait_events(other, POLLHUP);
    reads = set_of(other, -1);
    writes = set_of(other, -1);
    errors = set_of(other, -1);
    R(select(top, &reads, &writes, &errors, NULL));
    say("reads: %d, writes: %d, errors: %d", FD_ISSET(other, &reads) != 0,
        FD_ISSET(other, &writes) != 0, FD_ISSET(other, &errors) != 0);

    say("# listeners");
    int listener = listener_on(own_port(0), 8);
    reads = set_of(listener, -1);
    time = (struct timeval) { 0 };
    R(select(listener + 1, &reads, NULL, NULL, &time));
    peer_after(30, "start %d", own_port(0));
    reads = set_of(listener, -1);
    R(select(listener + 1, &reads, NULL, NULL, NULL));

    say("# refused");
    reads = set_of(listener, -1);
    R(select(-1, &reads, NULL, NULL, NULL));
    time = (struct timeval) { .tv_usec = -1 };
    R(select(listener + 1, &reads, NULL, NULL, &time));
    close(listener);
    reads = set_of(listener, -1);
    time = (struct timeval) { 0 };
    R(select(listener + 1, &reads, NULL, NULL, &time));
    return 0;
}
