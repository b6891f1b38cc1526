/* Who gets SIGPIPE, and who only EPIPE. */
#include "test.h"

#define SEEN(expr) do { \
        signals_seen = 0; \
        report(#expr, (errno = 0, (long) (expr))); \
        say("SIGPIPE: %d", (int) signals_seen); \
    } while (0)

int main(void)
{
    int slot, fd = connect_peer(&slot);
    struct iovec part = { "a", 1 };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    count_signal(SIGPIPE, 0);
    R(shutdown(fd, SHUT_WR));
    SEEN(write(fd, "a", 1));
    SEEN(send(fd, "a", 1, 0));
    SEEN(send(fd, "a", 1, MSG_NOSIGNAL));
    SEEN(sendto(fd, "a", 1, MSG_NOSIGNAL, NULL, 0));
    SEEN(writev(fd, &part, 1));
    SEEN(sendmsg(fd, &message, 0));
    SEEN(sendmsg(fd, &message, MSG_NOSIGNAL));
    close(fd);

    say("# after a reset");
    fd = connect_peer(&slot);
    peer_ask("rst %d", slot);
    wait_events(fd, POLLHUP);
    SEEN(write(fd, "a", 1));
    SEEN(write(fd, "a", 1));
    close(fd);

    say("# not connected");
    fd = tcp();
    SEEN(write(fd, "a", 1));
    SEEN(send(fd, "a", 1, MSG_NOSIGNAL));

    say("# ignored");
    signal(SIGPIPE, SIG_IGN);
    R(write(fd, "a", 1));

    say("# blocked: it stays pending");
    sigset_t set;
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    R(write(fd, "a", 1));
    sigpending(&set);
    say("pending: %d", sigismember(&set, SIGPIPE));

    say("# by default it kills");
    pid_t child = fork();
    if (child == 0) {
        sigemptyset(&set);
        sigaddset(&set, SIGPIPE);
        signal(SIGPIPE, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        int own = tcp();
        (void) !write(own, "a", 1);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    say("killed by SIGPIPE: %d", WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE);
    return 0;
}
