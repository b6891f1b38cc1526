/* SO_RCVTIMEO and SO_SNDTIMEO. */
#include "test.h"

static void limit(int fd, int option, int ms)
{
    struct timeval time = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

    R(setsockopt(fd, SOL_SOCKET, option, &time, sizeof time));
}

#define TIMED(ms, expr) do { \
        long start = now_ms(); \
        report(#expr, (errno = 0, (long) (expr))); \
        say("%s", took(start, ms)); \
    } while (0)

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[16];
    struct iovec part = { text, sizeof text };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    say("# receiving");
    limit(fd, SO_RCVTIMEO, 80);
    TIMED(80, read(fd, text, sizeof text));
    TIMED(80, recv(fd, text, sizeof text, 0));
    TIMED(80, readv(fd, &part, 1));
    TIMED(80, recvmsg(fd, &message, 0));
    TIMED(0, recv(fd, text, sizeof text, MSG_DONTWAIT));
    limit(fd, SO_RCVTIMEO, 3000);
    peer_after(20, "text %d a", slot);
    R(read(fd, text, sizeof text));

    say("# accept");
    int listener = listener_on(own_port(0), 8);
    limit(listener, SO_RCVTIMEO, 80);
    TIMED(80, accept(listener, NULL, NULL));
    limit(listener, SO_RCVTIMEO, 3000);
    peer_after(20, "start %d", own_port(0));
    OK(accept(listener, NULL, NULL));

    say("# poll does not care");
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    TIMED(150, poll(&entry, 1, 150));

    say("# switched off");
    limit(fd, SO_RCVTIMEO, 0);
    peer_after(150, "text %d b", slot);
    TIMED(150, read(fd, text, sizeof text));

    say("# sending");
    limit(fd, SO_SNDTIMEO, 80);
    char *much = calloc(1, 64 << 20);
    long start = now_ms();
    ssize_t sent = write(fd, much, 64 << 20);
    say("part: %d, %s", sent > 0 && sent < 64 << 20, took(start, 80));
    /* Buffers may still have grown. */
    do {
        start = now_ms();
        sent = write(fd, much, 64 << 20);
    } while (sent > 0);
    say("%s, %s", error_name(errno), took(start, 80));
    return 0;
}
