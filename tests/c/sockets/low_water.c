/* SO_RCVLOWAT: receiving and poll wait for as many bytes. */
#include "test.h"

static void low_water(int fd, int bytes)
{
    R(setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes));
}

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[16];

    low_water(fd, 5);
    say("# less is there");
    peer("text %d abc", slot);
    sleep_ms(50);
    say("events: %s", bits(events_now(fd)));
    R(recv(fd, text, 2, 0));
    R(recv(fd, text, sizeof text, MSG_DONTWAIT));

    say("# receiving waits for enough");
    /* Linux does not wake up who has taken some for fewer than these. */
    peer("text %d abc", slot);
    peer_after(50, "text %d defgh", slot);
    R(recv(fd, text, sizeof text, 0));

    say("# so does poll");
    peer("text %d abcd", slot);
    peer_after(50, "text %d e", slot);
    say("events: %s", bits(wait_events(fd, POLLIN)));
    R(recv(fd, text, sizeof text, 0));

    say("# changed while something is there");
    peer("text %d abc", slot);
    sleep_ms(50);
    low_water(fd, 3);
    say("events: %s", bits(events_now(fd)));
    low_water(fd, 4);
    say("events: %s", bits(events_now(fd)));

    say("# the end is always enough");
    peer("shut %d wr", slot);
    say("events: %s", bits(wait_events(fd, POLLRDHUP)));
    R(recv(fd, text, sizeof text, 0));
    R(recv(fd, text, sizeof text, 0));
    return 0;
}
