/* Many threads make the process's first sockets at the same time. */
#include "test.h"

enum { THREADS = 16 };

static uint16_t port;
static pthread_barrier_t gate;
static int good;

static void *first(void *arg)
{
    struct sockaddr_in addr = there(port);

    (void) arg;
    pthread_barrier_wait(&gate);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, SA(&addr), sizeof addr) == 0 && write(fd, "a", 1) == 1)
        __atomic_add_fetch(&good, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];
    int listener = peer_listen(64, &port), read_by_peer = 0;

    pthread_barrier_init(&gate, NULL, THREADS);
    for (int i = 0; i < THREADS; i++)
        threads[i] = in_thread(first, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < THREADS; i++)
        read_by_peer += !strcmp(peer_ask("read %d 1", peer_accept(listener)), "a");
    say("good: %d, read: %d", good, read_by_peer);
    return 0;
}
