/* syscall() with the numbers of calls that are interposed, and others. */
#include "say.h"

#include <fcntl.h>
#include <linux/time_types.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int main(void)
{
    char buf[64];
    struct iovec part = {buf, 4};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = NEED(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    SAY(syscall(SYS_bind, listener, &addr, len));
    SAY(syscall(SYS_listen, listener, 5));
    SAY(syscall(SYS_getsockname, listener, &addr, &len));
    int client = NEED(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    SAY(syscall(SYS_connect, client, &addr, len));
    int server = NEED(syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC));
    SAY(syscall(SYS_fcntl, server, F_GETFD));
    SAY(syscall(SYS_sendto, client, "0123456789", 10, 0, NULL, 0));
    SAY(syscall(SYS_write, client, "0123456789", 10));
    struct pollfd fds = {server, POLLIN, 0};
    struct timespec moment = {1, 0};
    sigset_t none;
    sigemptyset(&none);
    struct {
        sigset_t *set;
        size_t len;
    } mask = {&none, 8};
    fd_set set;
    SAY(syscall(SYS_poll, &fds, 1, 1000));
    SAY(syscall(SYS_ppoll, &fds, 1, &moment, &none, 8));
    FD_ZERO(&set);
    FD_SET(server, &set);
    SAY(syscall(SYS_pselect6, server + 1, &set, NULL, NULL, &moment, &mask));
    SAY(syscall(SYS_select, server + 1, &set, NULL, NULL, NULL));
    int epfd = NEED(syscall(SYS_epoll_create1, 0));
    struct epoll_event event = {EPOLLIN, {.u64 = 9}};
    SAY(syscall(SYS_epoll_ctl, epfd, EPOLL_CTL_ADD, server, &event));
    SAY(syscall(SYS_epoll_wait, epfd, &event, 1, 1000));
    SAY(syscall(SYS_epoll_pwait, epfd, &event, 1, 1000, &none, 8));
    SAY(syscall(SYS_epoll_pwait2, epfd, &event, 1, &moment, NULL, 8));
    SAY(event.data.u64);
    SAY(syscall(SYS_read, server, buf, 4));
    SAY(syscall(SYS_readv, server, &part, 1));
    SAY(syscall(SYS_preadv2, server, &part, 1, -1L, -1L, 0));
    SAY(syscall(SYS_recvfrom, server, buf, 4, 0, NULL, NULL));
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    SAY(syscall(SYS_recvmsg, server, &msg, 0));
    SAY(syscall(SYS_sendmsg, server, &msg, 0));
    SAY(syscall(SYS_ioctl, client, FIONREAD, &(int){0}));
    SAY(syscall(SYS_shutdown, server, SHUT_WR));
    SAY(syscall(SYS_dup2, server, 100));
    SAY(syscall(SYS_dup3, server, 101, O_CLOEXEC));
    SAY(syscall(SYS_close_range, 100U, 101U, 0));
    SAY(syscall(SYS_fcntl, 100, F_GETFD));
    SAY(syscall(SYS_close, server));
    SAY(syscall(SYS_close, server));
    SAY(syscall(SYS_getpid) == getpid());
    SAY(syscall(SYS_mmap, NULL, 4096UL, 3, 0x22, -1, 0L) != -1);
    SAY(syscall(100000));
    return 0;
}
