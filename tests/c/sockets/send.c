/* send(2) and relatives: flags, addresses, sockets that cannot. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot), on = 1, off = 0;
    struct sockaddr_in addr = there(1);

    signal(SIGPIPE, SIG_IGN);
    say("# by every call");
    R(write(fd, "ab", 2));
    R(send(fd, "cd", 2, 0));
    R(sendto(fd, "ef", 2, 0, NULL, 0));
    struct iovec parts[2] = { { "g", 1 }, { "hi", 2 } };
    R(writev(fd, parts, 2));
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    R(sendmsg(fd, &message, 0));
    peer("read %d 12", slot);

    say("# the address does not matter");
    R(sendto(fd, "xyz", 3, 0, SA(&addr), sizeof addr));
    peer("read %d 3", slot);

    say("# MSG_MORE, and what is sent after it");
    R(send(fd, "one", 3, MSG_MORE));
    R(send(fd, "two", 3, MSG_MORE));
    R(send(fd, "three", 5, 0));
    peer("read %d 11", slot);

    say("# MSG_MORE alone leaves some time later");
    R(send(fd, "later", 5, MSG_MORE));
    peer("read %d 5", slot);

    say("# TCP_CORK and out");
    R(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
    R(write(fd, "cork", 4));
    R(write(fd, "ed", 2));
    R(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off));
    peer("read %d 6", slot);

    say("# corked and closed");
    R(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on));
    R(write(fd, "rest", 4));
    R(close(fd));
    peer("read %d 10", slot);

    say("# MSG_DONTWAIT and MSG_NOSIGNAL");
    fd = connect_peer(&slot);
    R(send(fd, "a", 1, MSG_DONTWAIT | MSG_NOSIGNAL));
    peer("read %d 1", slot);

    say("# not connected");
    fd = tcp();
    R(send(fd, "a", 1, 0));
    R(sendto(fd, "a", 1, 0, SA(&addr), sizeof addr));
    R(write(fd, "a", 1));
    R(recv(fd, &on, 1, 0));
    return 0;
}
