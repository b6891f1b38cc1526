/* FIONREAD, SIOCINQ, SIOCOUTQ, FIONBIO; others. */
#include <linux/sockios.h>

#include "test.h"

int main(void)
{
    int slot, fd = tcp(), value = -1;
    char text[16];

    say("# not connected");
    R(ioctl(fd, FIONREAD, &value));
    say("value: %d", value);
    value = -1;
    R(ioctl(fd, SIOCOUTQ, &value));
    say("value: %d", value);
    close(fd);

    say("# bytes to be read");
    fd = connect_peer(&slot);
    R(ioctl(fd, FIONREAD, &value));
    say("value: %d", value);
    peer("text %d abcdef", slot);
    wait_bytes(fd, 6);
    R(ioctl(fd, FIONREAD, &value));
    say("value: %d", value);
    R(ioctl(fd, SIOCINQ, &value));
    say("value: %d", value);
    R(read(fd, text, 4));
    R(ioctl(fd, FIONREAD, &value));
    say("value: %d", value);
    R(read(fd, text, 4));

    say("# bytes not yet acknowledged");
    R(write(fd, "abc", 3));
    peer("read %d 3", slot);
    long start = now_ms();
    do {
        ioctl(fd, SIOCOUTQ, &value);
        sleep_ms(1);
    } while (value != 0 && now_ms() - start < 3000);
    say("value: %d", value);
    char *much = calloc(1, 64 << 20);
    set_nonblocking(fd);
    while (write(fd, much, 1 << 20) > 0)
        ;
    sleep_ms(60);
    R(ioctl(fd, SIOCOUTQ, &value));
    say("some: %d", value > 0);
    value = -1;
    R(ioctl(fd, SIOCOUTQNSD, &value));
    say("not negative: %d", value >= 0);

    say("# FIONBIO");
    value = 0;
    R(ioctl(fd, FIONBIO, &value));
    say("O_NONBLOCK: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    value = 7;
    R(ioctl(fd, FIONBIO, &value));
    say("O_NONBLOCK: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);

    say("# FIOCLEX, FIONCLEX");
    R(ioctl(fd, FIOCLEX));
    say("close on exec: %d", fcntl(fd, F_GETFD) & FD_CLOEXEC);
    R(ioctl(fd, FIONCLEX));
    say("close on exec: %d", fcntl(fd, F_GETFD) & FD_CLOEXEC);

    say("# listeners");
    fd = listener_on(own_port(0), 8);
    R(ioctl(fd, FIONREAD, &value));
    R(ioctl(fd, SIOCOUTQ, &value));

    say("# at a mark, and unknown");
    fd = connect_peer(&slot);
    R(ioctl(fd, SIOCATMARK, &value));
    say("value: %d", value);
    R(ioctl(fd, 0x12345678, &value));
    return 0;
}
