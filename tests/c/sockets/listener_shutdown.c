/* shutdown(2) of a listener: blocked accepts wake, the port refuses, and
 * listen makes it a listener again. */
#include "test.h"

static struct outcome accepted;

static void *blocked(void *arg)
{
    int *fd = arg;

    accepted = OUTCOME(accept(*fd, NULL, NULL));
    return NULL;
}

int main(void)
{
    int fd = listener_on(own_port(1), 8), slot, conn;

    say("# SHUT_WR does nothing");
    R(shutdown(fd, SHUT_WR));
    OK(accept_peer(fd, own_port(1), &slot));
    close(fd);
    fd = listener_on(own_port(0), 8);

    say("# accept is blocked");
    pthread_t thread = in_thread(blocked, &fd);
    sleep_ms(50);
    R(shutdown(fd, SHUT_RD));
    pthread_join(thread, NULL);
    say_outcome("accept", accepted);
    say("events: %s", bits(events_now(fd)));
    R(accept(fd, NULL, NULL));
    peer_is_refused(own_port(0));
    R(shutdown(fd, SHUT_RD));

    say("# again a listener");
    R(listen(fd, 8));
    conn = accept_peer(fd, own_port(0), &slot);
    OK(conn);
    close(conn);

    say("# connections that wait are reset");
    slot = peer_connect(own_port(0));
    wait_events(fd, POLLIN);
    R(shutdown(fd, SHUT_RDWR));
    peer("eof %d", slot);
    R(close(fd));
    return 0;
}
