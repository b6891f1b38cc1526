/* talk IP PORT: what only interposition does, on connections to an echo server:
 * streams, formatted output, syscall(), splice, messages in arrays, and
 * processes that share the descriptors. */
#include "say.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static struct sockaddr_in peer = {.sin_family = AF_INET};

static int conversation(void)
{
    int fd = NEED(socket(AF_INET, SOCK_STREAM, 0));
    NEED(connect(fd, (struct sockaddr *)&peer, sizeof(peer)));
    return fd;
}

/* Reads what is there, up to a line's end. */
static void hear(int fd)
{
    char line[256];
    size_t len = 0;
    while (len < sizeof(line) - 1 && read(fd, line + len, 1) == 1 && line[len++] != '\n') {
    }
    line[len] = '\0';
    printf("heard %s%s", line, len > 0 && line[len - 1] == '\n' ? "" : "(the end)\n");
}

static void streams(void)
{
    char line[64];
    int fd = conversation();
    FILE *stream = fdopen(fd, "r+");
    SAY(fileno(stream) == fd);
    SAY(fprintf(stream, "through a %s\n", "stream"));
    SAY(fflush(stream));
    SAY(fgets(line, sizeof(line), stream) != NULL);
    printf("heard %s", line);
    SAY(fclose(stream));
    SAY(fcntl(fd, F_GETFD));

    /* Two streams on one connection, as inetd's programs have them. */
    fd = conversation();
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    SAY(setvbuf(out, NULL, _IOLBF, 0));
    SAY(fputs("line by line\n", out));
    SAY(fgets(line, sizeof(line), in) != NULL);
    printf("heard %s", line);
    SAY(fclose(out));
    SAY(shutdown(fileno(in), SHUT_WR));
    SAY(fgetc(in) == EOF ? 1 : 0);
    SAY(feof(in) != 0);
    SAY(fclose(in));
}

static void output(void)
{
    int fd = conversation();
    SAY(dprintf(fd, "%s %d\n", "formatted", 7));
    hear(fd);
    SAY(syscall(SYS_write, fd, "by number\n", 10));
    char line[16];
    SAY(syscall(SYS_recvfrom, fd, line, 10, MSG_WAITALL, NULL, NULL));
    SAY(memcmp(line, "by number\n", 10));
    int there = -1;
    SAY(syscall(SYS_ioctl, fd, FIONREAD, &there));
    SAY(there);
    SAY(syscall(SYS_close, fd));
    SAY(syscall(SYS_close, fd));
}

static void pipes(void)
{
    int fd = conversation(), ends[2];
    char line[16];
    NEED(pipe(ends));
    SAY(write(ends[1], "through a pipe\n", 15));
    SAY(splice(ends[0], NULL, fd, NULL, 100, 0));
    SAY(ioctl(ends[0], FIONREAD, &(int){0}));
    NEED(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 10000));
    /* All of it has arrived when its last byte has. */
    while (recv(fd, line, 15, MSG_PEEK) < 15)
        usleep(1000);
    SAY(splice(fd, NULL, ends[1], NULL, 100, 0));
    SAY(read(ends[0], line, 15));
    SAY(memcmp(line, "through a pipe\n", 15));
    SAY(splice(ends[0], NULL, fd, NULL, 100, SPLICE_F_NONBLOCK));
    SAY(fcntl(fd, F_SETFL, O_NONBLOCK));
    SAY(splice(fd, NULL, ends[1], NULL, 100, 0));
    SAY(splice(fd, &(loff_t){0}, ends[1], NULL, 100, 0));
    SAY(splice(fd, NULL, ends[1], &(loff_t){0}, 100, 0));
    SAY(splice(fd, NULL, fd, NULL, 100, 0));
    close(ends[0]);
    close(ends[1]);
    SAY(close(fd));
}

static void messages(void)
{
    int fd = conversation();
    char text[2][4];
    struct iovec parts[2] = {{"one\n", 4}, {"two\n", 4}};
    struct mmsghdr several[2] = {{.msg_hdr = {.msg_iov = parts, .msg_iovlen = 1}},
                                 {.msg_hdr = {.msg_iov = parts + 1, .msg_iovlen = 1}}};
    SAY(sendmmsg(fd, several, 2, 0));
    SAY(several[0].msg_len + several[1].msg_len);
    for (int i = 0; i < 2; i++)
        parts[i].iov_base = text[i];
    SAY(recvmmsg(fd, several, 2, MSG_WAITALL, NULL));
    SAY(memcmp(text, "one\ntwo\n", 8));
    SAY(recvmmsg(fd, several, 2, MSG_DONTWAIT, NULL));
    SAY(pwritev2(fd, parts, 2, -1, 0));
    SAY(preadv2(fd, parts, 2, 0, 0));
    SAY(pread(fd, text, 1, 0));
    NEED(poll(&(struct pollfd){fd, POLLIN, 0}, 1, 10000));
    hear(fd);
    hear(fd);
    SAY(preadv2(fd, parts, 2, -1, RWF_NOWAIT));
    SAY(close(fd));
}

static int status_of(pid_t pid)
{
    int status;
    NEED(waitpid(pid, &status, 0));
    return status;
}

/* Other processes close and duplicate; the connection goes on here. */
static void processes(void)
{
    int fd = conversation(), other = conversation();
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        close(fd);
        dup2(other, 100);
        dup2(1, other);
        fcntl(other, F_DUPFD, 200);
        closefrom(50);
        execl("/bin/true", "true", NULL);
        _exit(127);
    }
    SAY(status_of(child));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, fd);
    char *args[] = {"true", NULL};
    SAY(posix_spawn(&child, "/bin/true", &actions, NULL, args, environ));
    SAY(status_of(child));
    child = NEED(syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L));
    if (child == 0) {
        close(fd);
        _exit(0);
    }
    SAY(status_of(child));
    SAY(dprintf(fd, "still here\n"));
    hear(fd);
    SAY(dprintf(other, "and here\n"));
    hear(other);
    fflush(stdout);
    child = NEED(fork());
    if (child == 0) {
        dprintf(fd, "from a child\n");
        hear(fd);
        fflush(stdout);
        _exit(0);
    }
    SAY(status_of(child));
    SAY(dprintf(fd, "and its parent\n"));
    hear(fd);
    SAY(close_range(fd, fd, 0));
    SAY(fcntl(fd, F_GETFD));
    /* A descriptor of the kernel's in the place of one of ours. */
    int null = NEED(open("/dev/null", O_RDONLY));
    SAY(dup2(null, other) == other);
    char byte;
    SAY(read(other, &byte, 1));
    SAY(close(other));
}

/* A program may close what it did not open; it can go on all the same. */
static void sweep(void)
{
    int fd = conversation();
    SAY(close_range(3, ~0U, 0));
    SAY(fcntl(fd, F_GETFD));
    fd = conversation();
    SAY(fd);
    SAY(dprintf(fd, "after close_range\n"));
    hear(fd);
    closefrom(3);
    SAY(fcntl(fd, F_GETFD));
    fd = conversation();
    for (int i = 3; i < 2000; i++)
        close(i);
    SAY(fcntl(fd, F_GETFD));
    fd = conversation();
    SAY(dprintf(fd, "after closing all\n"));
    hear(fd);
    SAY(close(fd));
}

int main(int argc, char **argv)
{
    if (argc != 3 || inet_pton(AF_INET, argv[1], &peer.sin_addr) != 1)
        return 2;
    peer.sin_port = htons(atoi(argv[2]));
    streams();
    output();
    pipes();
    messages();
    processes();
    sweep();
    return 0;
}
