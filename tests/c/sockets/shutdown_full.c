/* The end of a stream arrives though nothing more fits into the buffer, and the
 * program calls nothing more. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer_nonblocking(&slot);
    unsigned char *bytes = malloc(1 << 20);
    unsigned long sent = 0;
    int full = 0;

    /* The peer does not read: what it has room for goes. */
    while (full < 20) {
        fill(bytes, 1 << 20, sent);
        ssize_t n = write(fd, bytes, 1 << 20);
        if (n > 0) {
            sent += (unsigned long) n;
            full = 0;
        } else {
            full++;
            sleep_ms(5);
        }
    }
    say("write: %s", error_name(errno));
    R(shutdown(fd, SHUT_WR));
    const char *answer = peer_ask("drain %d", slot);
    say("all of it: %d", strtoul(answer, NULL, 10) == sent);
    say("then:%s", strchr(answer, ' ') ? strchr(answer, ' ') : answer);
    return 0;
}
