/* Many threads, each with a connection of its own, some more than contexts. */
#include "test.h"

enum { THREADS = 48, ROUNDS = 20 };

static uint16_t ports[THREADS];
static int answered;

static void *converse(void *arg)
{
    struct sockaddr_in addr = there(*(uint16_t *) arg);
    int fd = tcp();

    if (connect(fd, SA(&addr), sizeof addr) != 0)
        die("connect");
    for (int i = 0; i < ROUNDS; i++) {
        char out[100], in[100];
        memset(out, 'a' + i, sizeof out);
        if (send(fd, out, sizeof out, 0) != sizeof out)
            die("send");
        if (recv(fd, in, sizeof in, MSG_WAITALL) != sizeof in || memcmp(in, out, sizeof in))
            die("recv");
        __atomic_add_fetch(&answered, 1, __ATOMIC_SEQ_CST);
    }
    close(fd);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int listeners[THREADS];

    for (int i = 0; i < THREADS; i++)
        listeners[i] = peer_listen(4, &ports[i]);
    for (int round = 0; round < 3; round++) {
        int count = 0;
        answered = 0;
        for (int i = 0; i < THREADS; i++)
            threads[i] = in_thread(converse, &ports[i]);
        for (int i = 0; i < THREADS; i++)
            peer_after(0, "echo %d", peer_accept(listeners[i]));
        for (int i = 0; i < THREADS; i++)
            count += pthread_join(threads[i], NULL) == 0;
        say("threads: %d, answered: %d", count, answered);
    }
    return 0;
}
