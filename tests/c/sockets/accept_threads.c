/* Several threads in accept on one listener; another thread than the maker's. */
#include "test.h"

enum { THREADS = 4, EACH = 8 };

static int listener;
static int served[THREADS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t gate;

static void *one(void *arg)
{
    int *mine = arg;

    int fd = accept(listener, NULL, NULL);
    char byte;
    if (fd < 0 || read(fd, &byte, 1) != 1 || write(fd, &byte, 1) != 1)
        die("thread");
    close(fd);
    pthread_mutex_lock(&lock);
    *mine = *mine + 1;
    pthread_mutex_unlock(&lock);
    /* All hold one connection before any goes on. */
    pthread_barrier_wait(&gate);
    return NULL;
}

static void *many(void *arg)
{
    int *mine = arg;

    for (;;) {
        int fd = accept(listener, NULL, NULL);
        char byte;
        if (fd < 0)
            die("accept");
        if (read(fd, &byte, 1) != 1)
            die("read");
        if (byte == 'q') {
            close(fd);
            return NULL;
        }
        if (write(fd, &byte, 1) != 1)
            die("write");
        close(fd);
        pthread_mutex_lock(&lock);
        *mine = *mine + 1;
        pthread_mutex_unlock(&lock);
    }
}

int main(void)
{
    pthread_t threads[THREADS];
    int slots[THREADS * EACH];

    listener = listener_on(own_port(0), 64);
    pthread_barrier_init(&gate, NULL, THREADS);

    say("# each blocked thread gets one");
    for (int i = 0; i < THREADS; i++)
        threads[i] = in_thread(one, &served[i]);
    sleep_ms(30);
    for (int i = 0; i < THREADS; i++) {
        slots[i] = peer_connect(own_port(0));
        peer_ask("text %d x", slots[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        peer("read %d 1", slots[i]);
        pthread_join(threads[i], NULL);
        say("served: %d", served[i]);
    }

    say("# none is lost when they come faster");
    for (int i = 0; i < THREADS; i++)
        threads[i] = in_thread(many, &served[i]);
    for (int i = 0; i < THREADS * EACH; i++) {
        slots[i] = peer_connect(own_port(0));
        peer_ask("text %d y", slots[i]);
    }
    int answered = 0;
    for (int i = 0; i < THREADS * EACH; i++)
        answered += !strcmp(peer_ask("read %d 1", slots[i]), "y");
    say("answered: %d", answered);
    for (int i = 0; i < THREADS; i++)
        peer_ask("text %d q", peer_connect(own_port(0)));
    int sum = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        sum += served[i];
    }
    say("served: %d", sum);
    return 0;
}
