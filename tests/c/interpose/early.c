/* Uses sockets and files from a constructor, which runs before that of a
 * preloaded library. */
#include "say.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void *other(void *arg)
{
    char byte;
    return (void *)(long)(read(*(int *)arg, &byte, 1) == 1 && byte == 'x');
}

__attribute__((constructor)) static void before_everything(void)
{
    char buf[16];
    struct iovec part = {buf, 4};
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = NEED(socket(AF_INET, SOCK_STREAM, 0));
    SAY(bind(listener, (struct sockaddr *)&addr, len));
    SAY(listen(listener, 5));
    SAY(getsockname(listener, (struct sockaddr *)&addr, &len));
    int client = NEED(socket(AF_INET, SOCK_STREAM, 0));
    SAY(connect(client, (struct sockaddr *)&addr, len));
    int server = NEED(accept(listener, NULL, NULL));
    pthread_t thread;
    void *good;
    pthread_create(&thread, NULL, other, &server);
    SAY(send(client, "x", 1, 0));
    pthread_join(thread, &good);
    SAY((long)good);
    SAY(write(client, "0123456789", 10));
    SAY(readv(server, &part, 1));
    SAY(recv(server, buf, 2, 0));
    SAY(recvmsg(server, &(struct msghdr){.msg_iov = &part, .msg_iovlen = 1}, 0));
    struct timespec none = {0, 0};
    struct pollfd fds = {server, POLLOUT, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(server, &set);
    SAY(poll(&fds, 1, 0));
    SAY(ppoll(&fds, 1, &none, NULL));
    SAY(select(server + 1, NULL, &set, NULL, NULL));
    SAY(pselect(server + 1, NULL, &set, NULL, &none, NULL));
    int epfd = NEED(epoll_create1(0));
    struct epoll_event event = {EPOLLOUT, {.u64 = 1}};
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, server, &event));
    SAY(epoll_wait(epfd, &event, 1, 0));
    SAY(syscall(SYS_write, client, "x", 1));
    SAY(fcntl(client, F_DUPFD_CLOEXEC, 50));
    SAY(dprintf(client, "early %d", 1));
    FILE *stream = fdopen(client, "w");
    SAY(fputs("stream", stream));
    SAY(fclose(stream));
    SAY(close_range(3, 60, 0));
    SAY(close(server));
}

void early(void)
{
}
