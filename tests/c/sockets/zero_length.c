/* Calls for no bytes at all. */
#include "test.h"

int main(void)
{
    int slot, fd = tcp();
    char byte = 0;
    struct iovec none = { &byte, 0 };
    struct msghdr message = { .msg_iov = &none, .msg_iovlen = 1 };

    signal(SIGPIPE, SIG_IGN);
    say("# not connected");
    R(read(fd, &byte, 0));
    R(recv(fd, &byte, 0, 0));
    R(write(fd, &byte, 0));
    R(send(fd, &byte, 0, 0));
    close(fd);

    say("# nothing there");
    fd = connect_peer(&slot);
    R(read(fd, &byte, 0));
    R(recv(fd, &byte, 0, MSG_DONTWAIT));
    R(readv(fd, &none, 1));
    R(readv(fd, &none, 0));
    R(recvmsg(fd, &message, MSG_DONTWAIT));
    R(write(fd, &byte, 0));
    R(send(fd, &byte, 0, 0));
    R(writev(fd, &none, 1));
    R(writev(fd, NULL, 0));
    R(sendmsg(fd, &message, 0));
    message.msg_iovlen = 0;
    R(sendmsg(fd, &message, 0));

    say("# data there");
    peer("text %d ab", slot);
    wait_bytes(fd, 2);
    R(read(fd, &byte, 0));
    R(recv(fd, &byte, 0, 0));
    R(recv(fd, &byte, 0, MSG_PEEK));
    R(recv(fd, &byte, 1, 0));
    R(recv(fd, &byte, 1, 0));

    say("# the end there");
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    R(read(fd, &byte, 0));
    R(recv(fd, &byte, 0, 0));
    R(write(fd, &byte, 0));

    say("# after our end");
    R(shutdown(fd, SHUT_WR));
    R(write(fd, &byte, 0));
    R(send(fd, &byte, 0, MSG_NOSIGNAL));
    return 0;
}
