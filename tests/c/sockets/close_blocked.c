/* close(2) of a descriptor on which another thread waits. Linux lets the call
 * go on until something comes for it, and TAS ends it: what both promise is
 * that it ends, and that the descriptor's number can be used at once. */
#include "test.h"

static int fd, ended;

static void *reading(void *arg)
{
    char text[16];

    (void) arg;
    (void) !recv(fd, text, sizeof text, 0);
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *accepting(void *arg)
{
    (void) arg;
    (void) !accept(fd, NULL, NULL);
    __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

int main(void)
{
    int slot;

    say("# recv");
    fd = connect_peer(&slot);
    pthread_t thread = in_thread(reading, NULL);
    sleep_ms(50);
    R(close(fd));
    char byte;
    R(read(fd, &byte, 1));
    peer_ask("text %d late", slot);
    peer_ask("shut %d wr", slot);
    pthread_join(thread, NULL);
    say("ended: %d", ended);

    say("# accept");
    ended = 0;
    fd = listener_on(own_port(0), 8);
    thread = in_thread(accepting, NULL);
    sleep_ms(50);
    R(close(fd));
    R(listen(fd, 1));
    peer_ask("connect %d", own_port(0));
    pthread_join(thread, NULL);
    say("ended: %d", ended);
    peer_is_refused(own_port(0));
    return 0;
}
