/* The variants that _FORTIFY_SOURCE makes of calls with buffers of known size. */
#include "say.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Unknown to the compiler. */
static volatile size_t four = 4, eight = 8;

/* What becomes of a process that reads more than fits. */
static int overflow(int fd, int how)
{
    pid_t child = NEED(fork());
    if (child == 0) {
        char small[4];
        struct pollfd fds[1] = {{fd, POLLIN, 0}};
        close(2);
        switch (how) {
        case 0: return read(fd, small, eight) < 0;
        case 1: return recv(fd, small, eight, 0) < 0;
        case 2: return recvfrom(fd, small, eight, 0, NULL, NULL) < 0;
        case 3: return poll(fds, eight, 0) < 0;
        default: return ppoll(fds, eight, NULL, NULL) < 0;
        }
    }
    int status;
    NEED(waitpid(child, &status, 0));
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

int main(void)
{
    int ends[2];
    char buf[8];
    struct pollfd fds[8] = {{0}};
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    for (int i = 0; i < 8; i++)
        fds[i] = (struct pollfd){ends[0], POLLIN, 0};
    for (int i = 0; i < 4; i++)
        SAY(write(ends[1], "01234567", 8));
    SAY(read(ends[0], buf, four));
    SAY(recv(ends[0], buf, four, 0));
    SAY(recvfrom(ends[0], buf, four, 0, NULL, NULL));
    SAY(poll(fds, four, 0));
    SAY(ppoll(fds, eight, NULL, NULL));
    SAY(dprintf(ends[1], "%zu", four));
    for (int how = 0; how < 5; how++)
        printf("overflow %d: %d\n", how, overflow(ends[0], how));
    return 0;
}
