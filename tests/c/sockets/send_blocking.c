/* Blocking writes take everything, however slow the peer. */
#include "test.h"

enum { MUCH = 3 << 20 };

struct job {
    int fd;
    unsigned char *bytes;
    struct outcome sent, shut;
};

static void *send_and_shut(void *arg)
{
    struct job *job = arg;

    job->sent = OUTCOME(send(job->fd, job->bytes, MUCH, 0));
    job->shut = OUTCOME(shutdown(job->fd, SHUT_WR));
    return NULL;
}

int main(void)
{
    int slot, fd = connect_peer(&slot);
    unsigned char *bytes = malloc(MUCH);

    fill(bytes, MUCH, 0);
    say("# one large write, the peer reads later");
    peer_after(100, "recv %d %d", slot, MUCH);
    R(write(fd, bytes, MUCH) == MUCH);
    fill(bytes, 7, MUCH);
    R(send(fd, bytes, 7, 0));

    say("# a vector");
    fill(bytes, MUCH, MUCH + 7);
    struct iovec parts[3] = {
        { bytes, 1 }, { bytes + 1, MUCH / 2 }, { bytes + 1 + MUCH / 2, MUCH / 2 - 1 }
    };
    peer_after(300, "drain %d", slot);
    R(writev(fd, parts, 3) == MUCH);

    say("# everything arrives");
    fd = connect_peer(&slot);
    fill(bytes, MUCH, 0);
    struct job job = { .fd = fd, .bytes = bytes };
    pthread_t thread = in_thread(send_and_shut, &job);
    peer("drain %d", slot);
    pthread_join(thread, NULL);
    say_outcome("send", job.sent);
    say_outcome("shutdown", job.shut);

    say("# with SO_SNDTIMEO: what went, then EAGAIN");
    struct timeval time = { .tv_usec = 100000 };
    close(fd);
    fd = connect_peer(&slot);
    R(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
    char *much = calloc(1, 64 << 20);
    long start = now_ms();
    ssize_t sent = send(fd, much, 64 << 20, 0);
    say("part of it: %d, %s", sent > 0 && sent < (64 << 20), took(start, 100));
    /* Buffers may still have grown. */
    do {
        start = now_ms();
        sent = send(fd, much, 64 << 20, 0);
    } while (sent > 0);
    say("%s, %s", error_name(errno), took(start, 100));
    return 0;
}
