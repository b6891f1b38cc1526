/* Threads that block, are cancelled, or begin with sockets all at once. */
#include "say.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MANY = 16 };

static pthread_barrier_t start;

static void *echo(void *arg)
{
    (void)arg;
    pthread_barrier_wait(&start);
    long good = 0;
    for (int i = 0; i < 20; i++) {
        struct sockaddr_in addr = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof(addr);
        char byte = 0;
        int listener = socket(AF_INET, SOCK_STREAM, 0);
        bind(listener, (struct sockaddr *)&addr, len);
        listen(listener, 1);
        getsockname(listener, (struct sockaddr *)&addr, &len);
        int client = socket(AF_INET, SOCK_STREAM, 0);
        connect(client, (struct sockaddr *)&addr, len);
        int server = accept(listener, NULL, NULL);
        good += write(client, "x", 1) == 1 && read(server, &byte, 1) == 1 && byte == 'x';
        close(server);
        close(client);
        close(listener);
    }
    return (void *)good;
}

static int pipe_ends[2];
static int pair[2];

/* Calls in which a thread can be cancelled. */
static void *blocked(void *arg)
{
    char buf[1];
    struct pollfd fds = {pipe_ends[0], POLLIN, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_ends[0], &set);
    switch ((long)arg) {
    case 0: return (void *)(long)read(pipe_ends[0], buf, 1);
    case 1: return (void *)(long)poll(&fds, 1, -1);
    case 2: return (void *)(long)ppoll(&fds, 1, NULL, NULL);
    case 3: return (void *)(long)select(pipe_ends[0] + 1, &set, NULL, NULL, NULL);
    default: return (void *)(long)recv(pair[0], buf, 1, 0);
    }
}

static volatile int cleaned;

static void clean(void *arg)
{
    cleaned += (int)(long)arg;
}

static void *with_cleanup(void *arg)
{
    void *result;
    pthread_cleanup_push(clean, (void *)1L);
    result = blocked(arg);
    pthread_cleanup_pop(0);
    return result;
}

int main(void)
{
    pthread_t threads[MANY];
    pthread_barrier_init(&start, NULL, MANY);
    for (int i = 0; i < MANY; i++)
        pthread_create(&threads[i], NULL, echo, NULL);
    for (int i = 0; i < MANY; i++) {
        void *good;
        pthread_join(threads[i], &good);
        printf("thread %d: %ld good\n", i, (long)good);
    }

    NEED(pipe(pipe_ends));
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    for (long call = 0; call < 5; call++) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, with_cleanup, (void *)call);
        usleep(20000);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        printf("call %ld cancelled %d, cleaned %d\n", call, result == PTHREAD_CANCELED, cleaned);
    }
    return 0;
}
