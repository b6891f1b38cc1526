/* Connections that go from thread to thread, as the program says, while bytes
 * come. On sockets that belong to no thread there is nothing to say. */
#include "test.h"

enum { THREADS = 4, ROUNDS = 10, PART = 5000 };

extern int tas_move_conn(int fd) __attribute__((weak));

static pthread_barrier_t turn;
static int conn, moved, right;

static int on_tas(void)
{
    const char *stack = getenv("T_STACK");

    return stack && strcmp(stack, "linux") != 0 && strcmp(stack, "alone") != 0;
}

static int move(int fd)
{
    if (tas_move_conn && on_tas())
        return tas_move_conn(fd);
    return fcntl(fd, F_GETFD) < 0 ? -1 : 0;
}

static void *serve(void *arg)
{
    int place = *(int *) arg;

    for (int round = 0; round < ROUNDS; round++)
        for (int thread = 0; thread < THREADS; thread++) {
            pthread_barrier_wait(&turn);
            if (thread != place)
                continue;
            unsigned long from = (unsigned long) (round * THREADS + thread) * PART;
            moved += move(conn) == 0;
            right += receive_all(conn, from, PART) == PART;
            send_all(conn, from, PART);
        }
    return NULL;
}

int main(void)
{
    int slot, places[THREADS];
    pthread_t threads[THREADS];

    conn = connect_peer(&slot);
    pthread_barrier_init(&turn, NULL, THREADS);
    peer_after(0, "send %d %d", slot, THREADS * ROUNDS * PART);
    for (int i = 0; i < THREADS; i++) {
        places[i] = i;
        threads[i] = in_thread(serve, &places[i]);
    }
    peer("recv %d %d", slot, THREADS * ROUNDS * PART);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    say("moved: %d, right: %d", moved, right);
    R(close(conn));
    peer("eof %d", slot);
    R(move(conn));
    return 0;
}
