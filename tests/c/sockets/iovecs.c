/* Vectors: many, odd, unaligned, with holes, and too many. */
#include <limits.h>

#include "test.h"

enum { MANY = 1024, ODD = 7 };

int main(void)
{
    int slot, fd = connect_peer(&slot);
    /* Not known to the compiler, which would warn. */
    volatile int negative = -1;
    static unsigned char bytes[MANY * ODD + 64], back[MANY * ODD + 64];
    static struct iovec parts[MANY + 1];

    say("# 1,024 odd parts");
    fill(bytes, MANY * ODD, 0);
    for (int i = 0; i < MANY; i++)
        parts[i] = (struct iovec) { bytes + i * ODD, ODD };
    R(writev(fd, parts, MANY));
    peer("recv %d %d", slot, MANY * ODD);
    peer("send %d %d", slot, MANY * ODD);
    wait_bytes(fd, MANY * ODD);
    for (int i = 0; i < MANY; i++)
        parts[i].iov_base = back + i * ODD + 1;
    R(readv(fd, parts, MANY));
    say("pattern: %d", is_pattern(back + 1, MANY * ODD, 0));

    say("# parts of no bytes between");
    fill(bytes, 6, MANY * ODD);
    parts[0] = (struct iovec) { NULL, 0 };
    parts[1] = (struct iovec) { bytes, 1 };
    parts[2] = (struct iovec) { bytes, 0 };
    parts[3] = (struct iovec) { bytes + 1, 5 };
    parts[4] = (struct iovec) { NULL, 0 };
    R(writev(fd, parts, 5));
    peer("recv %d 6", slot);

    say("# less there than there is room");
    peer("text %d abcde", slot);
    wait_bytes(fd, 5);
    memset(back, 0, sizeof back);
    parts[0] = (struct iovec) { back, 2 };
    parts[1] = (struct iovec) { back + 10, 2 };
    parts[2] = (struct iovec) { back + 20, 2 };
    parts[3] = (struct iovec) { back + 30, 2 };
    R(readv(fd, parts, 4));
    say("text: %s %s %s %s", back, back + 10, back + 20, back + 30);

    say("# recvmsg and sendmsg");
    peer("text %d abcde", slot);
    wait_bytes(fd, 5);
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    R(recvmsg(fd, &message, 0));
    R(recvmsg(fd, &message, MSG_WAITALL | MSG_DONTWAIT));
    parts[0] = (struct iovec) { "se", 2 };
    parts[1] = (struct iovec) { "nt", 2 };
    R(sendmsg(fd, &message, 0));
    peer("read %d 4", slot);

    say("# too many, or none to speak of");
    R(writev(fd, parts, MANY + 1));
    R(writev(fd, parts, negative));
    R(readv(fd, parts, MANY + 1));
    R(readv(fd, parts, negative));
    message.msg_iovlen = MANY + 1;
    R(sendmsg(fd, &message, 0));
    R(recvmsg(fd, &message, MSG_DONTWAIT));

    say("# too long");
    parts[0] = (struct iovec) { bytes, (size_t) SSIZE_MAX + 1 };
    R(writev(fd, parts, 1));
    R(readv(fd, parts, 1));
    return 0;
}
