/* A peer that does not read: partial writes, EAGAIN, and writable again. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer_nonblocking(&slot);
    unsigned char bytes[65536];
    unsigned long sent = 0;
    int partial = 0;
    ssize_t rc;

    signal(SIGPIPE, SIG_IGN);
    say("# until it is full");
    for (;;) {
        fill(bytes, sizeof bytes, sent);
        rc = send(fd, bytes, sizeof bytes, 0);
        if (rc < 0) {
            /* Full for good only if it is still so after a moment. */
            int error = errno;
            sleep_ms(60);
            if (!(events_now(fd) & POLLOUT)) {
                say("error: %s", error_name(error));
                break;
            }
            continue;
        }
        partial |= rc < (ssize_t) sizeof bytes;
        sent += (unsigned long) rc;
    }
    say("a write was partial: %d", partial);
    say("events: %s", bits(events_now(fd)));
    say("# until there is room");
    char answer[32];
    snprintf(answer, sizeof answer, "%lu", sent);
    say("the peer gets all: %d", !strcmp(peer_ask("recv %d %lu", slot, sent), answer));
    say("events: %s", bits(wait_events(fd, POLLOUT)));
    fill(bytes, 100, sent);
    R(send(fd, bytes, 100, 0));
    peer("recv %d 100", slot);
    return 0;
}
