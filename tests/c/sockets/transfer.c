/* Much data in both directions, in odd pieces, by different calls. */
#include "test.h"

enum { MUCH = 20 << 20 };

static void *receive(void *arg)
{
    int fd = *(int *) arg;
    static unsigned char bytes[70001];
    unsigned long position = 0;
    unsigned turn = 0;

    while (position < MUCH) {
        size_t want = 1 + (turn * 7919u) % sizeof bytes;
        ssize_t got;
        struct iovec parts[2] = { { bytes, want / 3 }, { bytes + want / 3, want - want / 3 } };
        switch (turn++ % 3) {
        case 0: got = read(fd, bytes, want); break;
        case 1: got = recv(fd, bytes, want, 0); break;
        default: got = readv(fd, parts, 2);
        }
        if (got <= 0)
            die("receive");
        if (!is_pattern(bytes, (size_t) got, position))
            die("wrong bytes at %lu", position);
        position += (unsigned long) got;
    }
    return NULL;
}

int main(void)
{
    int slot, fd = connect_peer(&slot);
    static unsigned char bytes[90001];
    unsigned long position = 0;
    unsigned turn = 0;

    peer_after(0, "echo %d", slot);
    pthread_t receiver = in_thread(receive, &fd);
    while (position < MUCH) {
        size_t size = 1 + (turn * 6007u) % sizeof bytes;
        if (size > MUCH - position)
            size = MUCH - position;
        fill(bytes, size, position);
        ssize_t sent;
        struct iovec parts[2] = { { bytes, size / 2 }, { bytes + size / 2, size - size / 2 } };
        switch (turn++ % 3) {
        case 0: sent = write(fd, bytes, size); break;
        case 1: sent = send(fd, bytes, size, turn % 2 ? MSG_MORE : 0); break;
        default: sent = writev(fd, parts, 2);
        }
        if (sent <= 0)
            die("send");
        position += (unsigned long) sent;
    }
    R(shutdown(fd, SHUT_WR));
    pthread_join(receiver, NULL);
    R(read(fd, bytes, 1));
    return 0;
}
