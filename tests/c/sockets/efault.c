/* Bad addresses: an error, not a crash. */
#include "test.h"

#define BAD ((void *) 8)

int main(void)
{
    int slot, fd = connect_peer(&slot), value = 0;
    /* Not known to the compiler, which would warn. */
    void *volatile bad_place = BAD;
    void *bad = bad_place;
    struct iovec part = { bad, 4 };
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    char text[8] = "";

    signal(SIGPIPE, SIG_IGN);
    say("# sending");
    R(write(fd, bad, 4));
    R(send(fd, bad, 4, 0));
    R(writev(fd, &part, 1));
    R(writev(fd, bad, 1));
    R(sendmsg(fd, bad, 0));

    say("# receiving");
    R(recv(fd, bad, 4, MSG_DONTWAIT));
    peer("text %d abcd", slot);
    wait_bytes(fd, 4);
    R(read(fd, bad, 4));
    R(recv(fd, bad, 4, 0));
    R(readv(fd, &part, 1));
    R(readv(fd, bad, 1));
    R(recvmsg(fd, bad, 0));
    R(recv(fd, text, 4, 0));
    say("text: %s", text);

    say("# names and options");
    R(getsockname(fd, bad, &len));
    R(getsockname(fd, SA(&addr), bad));
    R(getpeername(fd, bad, &len));
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, bad));
    len = sizeof value;
    R(getsockopt(fd, SOL_SOCKET, SO_TYPE, bad, &len));
    R(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, bad, sizeof value));
    R(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, bad, sizeof value));
    R(ioctl(fd, FIONREAD, bad));
    R(ioctl(fd, FIONBIO, bad));

    say("# addresses");
    int other = tcp();
    R(bind(other, bad, sizeof addr));
    R(connect(other, bad, sizeof addr));

    say("# poll and epoll");
    R(poll(bad, 1, 0));
    int epoll = epoll_create1(0);
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, bad));
    struct epoll_event event = { .events = EPOLLOUT };
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    R(epoll_wait(epoll, bad, 1, 0));
    R(epoll_wait(epoll, &event, 1, 0));

    say("# the connection has not suffered");
    R(write(fd, "fine", 4));
    peer("read %d 4", slot);
    return 0;
}
