/* shutdown(2): each direction, in each order, twice, and where it cannot be. */
#include "test.h"

int main(void)
{
    int slot, fd = tcp();
    char text[16] = "";

    signal(SIGPIPE, SIG_IGN);
    say("# not connected");
    R(shutdown(fd, SHUT_RD));
    close(fd);

    say("# SHUT_WR: the peer sees the end, and can still send");
    fd = connect_peer(&slot);
    R(write(fd, "last", 4));
    R(shutdown(fd, SHUT_WR));
    peer("read %d 10", slot);
    R(write(fd, "more", 4));
    R(send(fd, "more", 4, MSG_NOSIGNAL));
    say("events: %s", bits(events_now(fd)));
    peer("text %d reply", slot);
    wait_bytes(fd, 5);
    R(read(fd, text, sizeof text));
    R(shutdown(fd, SHUT_WR));
    peer("shut %d wr", slot);
    say("events: %s", bits(wait_events(fd, POLLRDHUP)));
    R(read(fd, text, sizeof text));
    R(close(fd));

    say("# the peer ends first");
    fd = connect_peer(&slot);
    peer("shut %d wr", slot);
    say("events: %s", bits(wait_events(fd, POLLRDHUP)));
    R(write(fd, "still", 5));
    peer("read %d 5", slot);
    R(shutdown(fd, SHUT_WR));
    peer("eof %d", slot);
    say("events: %s", bits(wait_events(fd, POLLHUP)));
    close(fd);

    say("# SHUT_RD: reads end, writes go on");
    fd = connect_peer(&slot);
    R(shutdown(fd, SHUT_RD));
    say("events: %s", bits(events_now(fd)));
    R(read(fd, text, sizeof text));
    R(recv(fd, text, sizeof text, MSG_DONTWAIT));
    R(write(fd, "out", 3));
    peer("read %d 3", slot);
    R(shutdown(fd, SHUT_RD));

    say("# and then SHUT_WR");
    R(shutdown(fd, SHUT_WR));
    peer("eof %d", slot);
    say("events: %s", bits(events_now(fd)));
    close(fd);

    say("# SHUT_RD with data unread: it can be read");
    fd = connect_peer(&slot);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(shutdown(fd, SHUT_RD));
    R(read(fd, text, sizeof text));
    R(read(fd, text, sizeof text));
    close(fd);

    say("# SHUT_RDWR");
    fd = connect_peer(&slot);
    R(shutdown(fd, SHUT_RDWR));
    peer("eof %d", slot);
    say("events: %s", bits(events_now(fd)));
    R(read(fd, text, sizeof text));
    R(write(fd, "a", 1));
    peer("shut %d wr", slot);
    sleep_ms(50);
    say("events: %s", bits(events_now(fd)));
    R(shutdown(fd, SHUT_RDWR));
    R(read(fd, text, sizeof text));
    R(close(fd));

    say("# both at once");
    fd = connect_peer(&slot);
    R(shutdown(fd, SHUT_WR));
    peer("shut %d wr", slot);
    peer("eof %d", slot);
    R(read(fd, text, sizeof text));
    R(close(fd));

    say("# how?");
    fd = connect_peer(&slot);
    R(shutdown(fd, 3));
    R(shutdown(fd, -1));
    R(write(fd, "fine", 4));
    peer("read %d 4", slot);
    return 0;
}
