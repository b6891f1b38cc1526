/* A send buffer made small when the connection is there already. */
#include "test.h"

enum { SMALL = 4096, MESSAGE = 200000 };

struct job {
    int fd;
    unsigned long position;
};

static void *send_message(void *arg)
{
    struct job *job = arg;

    send_all(job->fd, job->position, MESSAGE);
    return NULL;
}

static void transfer(int fd, int slot, unsigned long position)
{
    struct job job = { fd, position };
    pthread_t thread = in_thread(send_message, &job);

    peer("recv %d %d", slot, MESSAGE);
    pthread_join(thread, NULL);
}

int main(void)
{
    int slot, fd = connect_peer(&slot), bytes = SMALL;

    R(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
    say("# blocking");
    transfer(fd, slot, 0);
    say("# not blocking");
    set_nonblocking(fd);
    transfer(fd, slot, MESSAGE);
    say("# large again");
    bytes = 1 << 20;
    R(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
    transfer(fd, slot, 2 * MESSAGE);
    return 0;
}
