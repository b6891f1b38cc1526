/* The same calls by syscall(2). */
#include <sys/syscall.h>

#include "test.h"

int main(void)
{
    uint16_t port;
    int slot = peer_listen(8, &port);
    struct sockaddr_in addr = there(port), own = here(own_port(0));
    socklen_t len = sizeof addr;
    char text[16] = "";
    int value;

    int fd = (int) OK(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    R(syscall(SYS_connect, fd, &addr, sizeof addr));
    slot = peer_accept(slot);
    R(syscall(SYS_write, fd, "abc", 3));
    R(syscall(SYS_sendto, fd, "def", 3, 0, NULL, 0));
    peer("read %d 6", slot);
    peer("text %d hello", slot);
    wait_bytes(fd, 5);
    R(syscall(SYS_recvfrom, fd, text, 2, 0, NULL, NULL));
    R(syscall(SYS_read, fd, text + 2, 8));
    say("text: %s", text);
    R(syscall(SYS_recvfrom, fd, text, 2, MSG_DONTWAIT, NULL, NULL));
    R(syscall(SYS_getpeername, fd, &addr, &len));
    say("peer: %s", place(&addr));
    len = sizeof value;
    R(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, &value, &len));
    R(syscall(SYS_ioctl, fd, FIONREAD, &value));
    say("value: %d", value);
    R(syscall(SYS_fcntl, fd, F_SETFL, O_NONBLOCK));
    say("O_NONBLOCK: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    int copy = (int) OK(syscall(SYS_dup, fd));
    R(syscall(SYS_close, fd));
    struct iovec part = { "vector", 6 };
    R(syscall(SYS_writev, copy, &part, 1));
    peer("read %d 6", slot);
    struct pollfd entry = { .fd = copy, .events = POLLIN | POLLOUT };
    R(syscall(SYS_poll, &entry, 1, 0));
    say("events: %s", bits((unsigned short) entry.revents));
    int epoll = (int) OK(syscall(SYS_epoll_create1, 0));
    struct epoll_event event = { .events = EPOLLOUT };
    R(syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, copy, &event));
    R(syscall(SYS_epoll_wait, epoll, &event, 1, 0));
    R(syscall(SYS_epoll_pwait, epoll, &event, 1, 0, NULL, 8));
    R(syscall(SYS_shutdown, copy, SHUT_WR));
    peer("eof %d", slot);
    R(syscall(SYS_close, copy));

    int listener = (int) OK(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    R(syscall(SYS_bind, listener, &own, sizeof own));
    R(syscall(SYS_listen, listener, 8));
    slot = peer_connect(own_port(0));
    fd = (int) OK(syscall(SYS_accept4, listener, NULL, NULL, SOCK_NONBLOCK));
    R(syscall(SYS_write, fd, "served", 6));
    peer("read %d 6", slot);

    say("# others are the kernel's");
    R(syscall(SYS_getpid) == getpid());
    R(syscall(SYS_close, -1));
    R(syscall(100000));
    return 0;
}
