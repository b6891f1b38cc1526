/* sendmsg(2) and recvmsg(2): names, control data, flags that come back. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[16] = "", control[64];
    struct sockaddr_in addr;
    struct iovec part = { text, sizeof text };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_name = &addr, .msg_namelen = sizeof addr,
        .msg_control = control, .msg_controllen = sizeof control, .msg_flags = -1,
    };

    say("# receiving");
    peer("text %d abc", slot);
    R(recvmsg(fd, &message, 0));
    say("text: %s, name: %u bytes, control: %zu bytes, flags: %d", text,
        (unsigned) message.msg_namelen, message.msg_controllen, message.msg_flags);

    say("# a longer message than there is room is not cut off");
    peer("text %d abcdefgh", slot);
    wait_bytes(fd, 8);
    part.iov_len = 4;
    message.msg_flags = -1;
    R(recvmsg(fd, &message, 0));
    say("truncated: %d", (message.msg_flags & MSG_TRUNC) != 0);
    R(recvmsg(fd, &message, MSG_PEEK));
    R(recvmsg(fd, &message, 0));
    R(recvmsg(fd, &message, MSG_DONTWAIT));

    say("# sending to a name");
    addr = there(1);
    message = (struct msghdr) {
        .msg_iov = &part, .msg_iovlen = 1, .msg_name = &addr, .msg_namelen = sizeof addr
    };
    R(sendmsg(fd, &message, 0));
    peer("read %d 4", slot);

    say("# the end");
    peer("shut %d wr", slot);
    R(recvmsg(fd, &message, 0));
    return 0;
}
