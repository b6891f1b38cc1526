/* close(2) of a listener: port and backlog are free at once. */
#include "test.h"

int main(void)
{
    int fd = listener_on(own_port(0), 8);
    int slots[3];

    say("# connections that wait are reset");
    for (int i = 0; i < 3; i++)
        slots[i] = peer_connect(own_port(0));
    peer_ask("text %d unread", slots[1]);
    wait_events(fd, POLLIN);
    R(close(fd));
    for (int i = 0; i < 3; i++)
        peer("eof %d", slots[i]);
    peer_is_refused(own_port(0));

    say("# the port can be listened on again, many times");
    for (int i = 0; i < 200; i++)
        close(listener_on(own_port(0), 8));
    fd = listener_on(own_port(0), 8);
    int conn = accept_peer(fd, own_port(0), &slots[0]);
    OK(conn);
    return 0;
}
