/* When closing resets: unread data, SO_LINGER 0; and when it does not. */
#include "test.h"

static void set_linger(int fd, int on, int seconds)
{
    struct linger linger = { .l_onoff = on, .l_linger = seconds };

    R(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}

int main(void)
{
    int slot, fd;
    char text[16];

    say("# everything read");
    fd = connect_peer(&slot);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(read(fd, text, sizeof text));
    R(close(fd));
    peer("eof %d", slot);

    say("# data unread");
    fd = connect_peer(&slot);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(close(fd));
    peer("eof %d", slot);

    say("# part of it unread");
    fd = connect_peer(&slot);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(read(fd, text, 2));
    R(close(fd));
    peer("eof %d", slot);

    say("# SO_LINGER 0");
    fd = connect_peer(&slot);
    set_linger(fd, 1, 0);
    R(close(fd));
    peer("eof %d", slot);

    say("# SO_LINGER 0, after a shutdown");
    fd = connect_peer(&slot);
    R(shutdown(fd, SHUT_WR));
    peer("eof %d", slot);
    set_linger(fd, 1, 0);
    R(close(fd));
    sleep_ms(50);
    peer("text %d lost", slot);

    say("# SO_LINGER with a time: close waits until all is acknowledged");
    fd = connect_peer(&slot);
    set_linger(fd, 1, 5);
    R(write(fd, "abc", 3));
    long start = now_ms();
    R(close(fd));
    say("%s", took(start, 0));
    peer("read %d 5", slot);

    say("# switched off again");
    fd = connect_peer(&slot);
    set_linger(fd, 1, 0);
    set_linger(fd, 0, 0);
    R(write(fd, "abc", 3));
    R(close(fd));
    peer("read %d 5", slot);

    say("# data that comes after close");
    fd = connect_peer(&slot);
    R(close(fd));
    peer("eof %d", slot);
    peer("text %d lost", slot);
    sleep_ms(50);
    peer("text %d lost", slot);
    return 0;
}
