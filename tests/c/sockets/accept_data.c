/* What happened to a connection before it is accepted. */
#include "test.h"

int main(void)
{
    int fd = listener_on(own_port(0), 8), slot, conn;
    char text[64] = "";

    say("# data and the end are there already");
    slot = peer_connect(own_port(0));
    peer("text %d early", slot);
    peer("shut %d wr", slot);
    peer("acked %d", slot);
    conn = OK(accept(fd, NULL, NULL));
    say("events: %s", bits(wait_events(conn, POLLRDHUP)));
    R(read(conn, text, sizeof text));
    say("text: %s", text);
    R(read(conn, text, sizeof text));
    R(write(conn, "late", 4));
    close(conn);
    peer("read %d 10", slot);

    say("# reset before accept: it is seen as reset, or not at all");
    slot = peer_connect(own_port(0));
    wait_events(fd, POLLIN);
    peer("rst %d", slot);
    sleep_ms(50);
    int flags = fcntl(fd, F_GETFL);
    set_nonblocking(fd);
    conn = accept(fd, NULL, NULL);
    if (conn >= 0 && (read(conn, text, sizeof text) >= 0 || errno != ECONNRESET))
        say("not reset: %s", error_name(errno));
    close(conn);
    R(fcntl(fd, F_SETFL, flags));

    say("# in order");
    for (int i = 0; i < 4; i++) {
        slot = peer_connect(own_port(0));
        peer_ask("text %d %d", slot, i);
    }
    for (int i = 0; i < 4; i++) {
        conn = accept(fd, NULL, NULL);
        if (read(conn, text, 1) != 1)
            die("read");
        say("accepted: %c", text[0]);
        close(conn);
    }

    say("# a connection lives on without its listener");
    conn = accept_peer(fd, own_port(0), &slot);
    R(close(fd));
    peer_ask("text %d still", slot);
    R(read(conn, text, sizeof text));
    R(write(conn, "here", 4));
    peer("read %d 4", slot);
    return 0;
}
