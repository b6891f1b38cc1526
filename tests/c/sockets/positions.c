/* Sockets have no positions. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[8] = "";
    struct iovec part = { text, sizeof text };

    R(pread(fd, text, 1, 0));
    R(pwrite(fd, "a", 1, 0));
    R(pread(fd, text, 0, 0));
    R(preadv(fd, &part, 1, 0));
    R(pwritev(fd, &part, 1, 0));
    R(lseek(fd, 0, SEEK_CUR));

    say("# position -1 is none");
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(preadv2(fd, &part, 1, -1, 0));
    part.iov_len = 3;
    R(pwritev2(fd, &part, 1, -1, 0));
    peer("read %d 3", slot);
    R(preadv2(fd, &part, 1, -1, RWF_NOWAIT));
    return 0;
}
