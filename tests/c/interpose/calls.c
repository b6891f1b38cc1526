/* The interposed calls on descriptors of the kernel's: files, pipes, TCP over
 * loopback, UDP and unix sockets. */
#include "say.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static char buf[64];
/* Not mapped, which the compiler need not know. */
static void *volatile nowhere = (void *)8;
static struct iovec parts[2] = {{buf, 3}, {buf + 3, sizeof(buf) - 3}};

static void files(void)
{
    FILE *file = tmpfile();
    int fd = fileno(file);
    SAY(write(fd, "0123456789", 10));
    SAY(pwrite(fd, "ab", 2, 4));
    SAY(pread(fd, buf, 4, 3));
    SAY(memcmp(buf, "3ab6", 4));
    SAY(lseek(fd, 0, SEEK_SET));
    SAY(readv(fd, parts, 2));
    SAY(preadv2(fd, parts, 2, 2, 0));
    SAY(preadv2(fd, parts, 2, -1, 0));
    SAY(pwritev2(fd, parts, 1, -1, 0));
    SAY(writev(fd, parts, 1));
    SAY(fcntl(fd, F_GETFL) & O_ACCMODE);
    SAY(ioctl(fd, FIONREAD, &(int){0}));
    SAY(dprintf(fd, "%d-%s", 42, "x"));
    SAY(dup2(fd, 100));
    SAY(dup3(fd, 101, O_CLOEXEC));
    SAY(dup3(fd, fd, 0));
    SAY(fcntl(101, F_GETFD));
    SAY(fcntl(fd, F_DUPFD, 200));
    SAY(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    SAY(close_range(100, 300, 0));
    SAY(fcntl(100, F_GETFD));
    SAY(close(-1));
    SAY(read(-1, buf, 1));
    SAY(read(fd, nowhere, 1));
    fclose(file);
    SAY(close(fd));
}

static void pipes(void)
{
    int ends[2], other[2];
    NEED(pipe(ends));
    NEED(pipe(other));
    SAY(write(ends[1], "pipe", 4));
    SAY(splice(ends[0], NULL, other[1], NULL, 4, 0));
    SAY(splice(ends[0], NULL, other[1], NULL, 4, SPLICE_F_NONBLOCK));
    SAY(ioctl(other[0], FIONREAD, &(int){0}));
    SAY(read(other[0], buf, sizeof(buf)));
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(other[i]);
    }
}

static void waits(int readable, int idle)
{
    struct pollfd fds[2] = {{readable, POLLIN, 0}, {idle, POLLIN, 0}};
    struct timespec moment = {0, 1000000};
    struct timeval short_time = {0, 1000};
    SAY(poll(fds, 2, 1000));
    SAY(fds[0].revents);
    SAY(ppoll(fds + 1, 1, &moment, NULL));
    SAY(moment.tv_nsec);
    SAY(poll(NULL, 0, 1));

    fd_set set;
    FD_ZERO(&set);
    FD_SET(readable, &set);
    FD_SET(idle, &set);
    SAY(select(idle + readable + 1, &set, NULL, NULL, &short_time));
    SAY(!FD_ISSET(readable, &set) + 2 * !!FD_ISSET(idle, &set));
    SAY(pselect(0, NULL, NULL, NULL, &moment, NULL));
    SAY(select(-1, NULL, NULL, NULL, NULL));

    struct epoll_event event = {EPOLLIN, {.u64 = 7}}, events[2];
    int epfd = NEED(epoll_create1(EPOLL_CLOEXEC));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, readable, &event));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, readable, &event));
    SAY(epoll_ctl(epfd, EPOLL_CTL_ADD, idle, &event));
    SAY(epoll_wait(epfd, events, 2, 1000));
    SAY(events[0].data.u64);
    SAY(epoll_pwait(epfd, events, 2, 0, NULL));
    SAY(epoll_pwait2(epfd, events, 2, &moment, NULL));
    SAY(epoll_ctl(epfd, EPOLL_CTL_DEL, readable, NULL));
    SAY(epoll_wait(epfd, events, 2, 1));
    SAY(epoll_wait(epfd, events, 0, 1));
    SAY(epoll_wait(readable, events, 1, 1));
    SAY(epoll_create(0));
    NEED(close(epfd));
}

static void tcp(int family, const void *addr, socklen_t len)
{
    struct sockaddr_storage local;
    socklen_t local_len = sizeof(local);
    int one = 1;
    socklen_t one_len = sizeof(one);
    int listener = NEED(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SAY(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    SAY(bind(listener, addr, len));
    SAY(listen(listener, 5));
    SAY(getsockname(listener, (struct sockaddr *)&local, &local_len));
    int client = NEED(socket(family, SOCK_STREAM, IPPROTO_TCP));
    SAY(getpeername(client, (struct sockaddr *)&local, &(socklen_t){sizeof(local)}));
    SAY(connect(client, (struct sockaddr *)&local, local_len));
    int server = NEED(accept4(listener, NULL, NULL, SOCK_NONBLOCK));
    SAY(fcntl(server, F_GETFL) & O_NONBLOCK);
    SAY(recv(server, buf, 1, 0));
    SAY(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
    SAY(getsockopt(client, SOL_SOCKET, SO_ERROR, &one, &one_len));
    SAY(one);
    SAY(send(client, "0123456789", 10, MSG_NOSIGNAL));
    SAY(sendto(client, "x", 1, 0, NULL, 0));
    waits(server, client);
    int there = 0;
    SAY(ioctl(server, FIONREAD, &there));
    SAY(there);
    SAY(recv(server, buf, 4, MSG_PEEK));
    SAY(recvfrom(server, buf, 4, 0, NULL, NULL));
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    SAY(recvmsg(server, &msg, MSG_DONTWAIT));
    parts[1].iov_len = 5;
    SAY(sendmsg(server, &msg, 0));
    struct mmsghdr several[2] = {{.msg_hdr = msg}, {.msg_hdr = msg}};
    SAY(sendmmsg(server, several, 2, 0));
    SAY(recvmmsg(client, several, 1, MSG_WAITALL, NULL));
    SAY(several[0].msg_len);
    SAY(pread(client, buf, 1, 0));
    SAY(preadv2(client, parts, 2, 0, 0));
    FILE *file = tmpfile();
    NEED(write(fileno(file), "file", 4));
    off_t offset = 1;
    SAY(sendfile(server, fileno(file), &offset, 10));
    SAY(offset);
    SAY(shutdown(server, SHUT_WR));
    size_t total = 0;
    for (ssize_t got; (got = read(client, buf, sizeof(buf))) > 0;)
        total += got;
    SAY(total);
    FILE *stream = fdopen(client, "r+");
    SAY(stream != NULL);
    SAY(fprintf(stream, "line %d\n", 1));
    SAY(fclose(stream));
    SAY(fcntl(client, F_GETFD));
    SAY(poll(&(struct pollfd){server, POLLIN, 0}, 1, 1000));
    SAY(read(server, buf, sizeof(buf)));
    SAY(read(server, buf, sizeof(buf)));
    fclose(file);
    NEED(close(server));
    NEED(close(listener));
}

static void others(void)
{
    int udp = NEED(socket(AF_INET, SOCK_DGRAM, 0));
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    NEED(bind(udp, (struct sockaddr *)&addr, len));
    NEED(getsockname(udp, (struct sockaddr *)&addr, &len));
    SAY(sendto(udp, "datagram", 8, 0, (struct sockaddr *)&addr, len));
    SAY(recvfrom(udp, buf, sizeof(buf), MSG_TRUNC, (struct sockaddr *)&addr, &len));
    NEED(close(udp));
    int pair[2];
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    waits(pair[0], pair[1]);
    SAY(write(pair[1], "unix", 4));
    SAY(read(pair[0], buf, sizeof(buf)));
    close(pair[0]);
    close(pair[1]);
    SAY(socket(AF_INET, SOCK_STREAM, 77));
    SAY(socket(77, SOCK_STREAM, 0));
}

int main(void)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    files();
    pipes();
    tcp(AF_INET, &v4, sizeof(v4));
    tcp(AF_INET6, &v6, sizeof(v6));
    others();
    return 0;
}
