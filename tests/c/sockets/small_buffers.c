/* Receive and send buffers smaller than one message. */
#include "test.h"

enum { SMALL = 4096, MESSAGE = 200000 };

static void small(int fd)
{
    int bytes = SMALL;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

struct job {
    int fd;
};

static void *send_message(void *arg)
{
    struct job *job = arg;

    send_all(job->fd, 0, MESSAGE);
    return NULL;
}

int main(void)
{
    uint16_t port;
    int slot, listener = peer_listen(8, &port), fd = tcp();
    struct sockaddr_in addr = there(port);

    small(fd);
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(listener);

    say("# the peer sends");
    peer_after(0, "send %d %d", slot, MESSAGE);
    say("received: %ld", receive_all(fd, 0, MESSAGE));

    say("# we send");
    struct job job = { fd };
    pthread_t thread = in_thread(send_message, &job);
    peer("recv %d %d", slot, MESSAGE);
    pthread_join(thread, NULL);

    say("# MSG_WAITALL for more than the buffer holds");
    unsigned char *bytes = malloc(MESSAGE);
    peer_after(0, "send %d %d", slot, MESSAGE);
    R(recv(fd, bytes, MESSAGE, MSG_WAITALL));
    say("pattern: %d", is_pattern(bytes, MESSAGE, MESSAGE));

    say("# a peer cannot send without end to who does not read");
    sleep_ms(20);
    say("sent all: %d", atol(peer_ask("send %d %d", slot, 64 << 20)) == 64 << 20);
    close(fd);

    say("# accepted from a small listener");
    int own = tcp();
    small(own);
    addr = here(own_port(0));
    R(bind(own, SA(&addr), sizeof addr));
    R(listen(own, 8));
    fd = accept_peer(own, own_port(0), &slot);
    peer_after(0, "send %d %d", slot, MESSAGE);
    say("received: %ld", receive_all(fd, 0, MESSAGE));
    return 0;
}
