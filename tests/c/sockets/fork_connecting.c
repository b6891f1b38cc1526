/* A connection that is being opened when the process forks. */
#include "test.h"

static int listener, filler;

/* A connection whose SYN the peer drops until it accepts another one. */
static int begin(uint16_t *port)
{
    listener = peer_listen(0, port);
    struct sockaddr_in addr = there(*port);
    filler = tcp();
    if (connect(filler, SA(&addr), sizeof addr) != 0)
        die("connect");
    int fd = tcp();
    set_nonblocking(fd);
    R(connect(fd, SA(&addr), sizeof addr));
    return fd;
}

/* The peer takes it; its number there. */
static int let_in(void)
{
    peer_accept(listener);
    return peer_accept(listener);
}

static void outcome_there(const char *who, int fd)
{
    int error = -1;
    socklen_t len = sizeof error;

    say("%s: events %s", who, bits(wait_events(fd, POLLOUT)));
    R(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len));
    say("%s: error %s", who, error ? error_name(error) : "none");
}

/* Waits for a child, which has printed what it saw. */
static void join(pid_t child)
{
    int status;

    waitpid(child, &status, 0);
    say("child: %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    close(filler);
}

static pid_t fork_quietly(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        alarm(20);
    return child;
}

static void leave(void)
{
    fflush(stdout);
    _exit(0);
}

int main(void)
{
    uint16_t port;

    say("# the child uses it, then the parent");
    int fd = begin(&port);
    pid_t child = fork_quietly();
    if (child == 0) {
        outcome_there("child", fd);
        R(write(fd, "child", 5));
        leave();
    }
    int slot = let_in();
    join(child);
    peer("read %d 5", slot);
    outcome_there("parent", fd);
    R(write(fd, "parent", 6));
    peer("read %d 6", slot);
    peer("text %d back", slot);
    wait_bytes(fd, 4);
    char text[8] = "";
    R(read(fd, text, sizeof text));
    R(close(fd));
    peer("eof %d", slot);

    say("# the parent closes it at once");
    fd = begin(&port);
    child = fork_quietly();
    if (child == 0) {
        outcome_there("child", fd);
        R(write(fd, "child", 5));
        leave();
    }
    close(fd);
    slot = let_in();
    join(child);
    peer("read %d 5", slot);
    peer("eof %d", slot);

    say("# the child closes it, another ends");
    fd = begin(&port);
    child = fork_quietly();
    if (child == 0) {
        R(close(fd));
        leave();
    }
    join(child);
    child = fork_quietly();
    if (child == 0)
        leave();
    join(child);
    slot = let_in();
    outcome_there("parent", fd);
    R(write(fd, "parent", 6));
    peer("read %d 6", slot);
    R(close(fd));
    peer("eof %d", slot);

    say("# it is refused");
    fd = begin(&port);
    child = fork_quietly();
    if (child == 0) {
        outcome_there("child", fd);
        leave();
    }
    close(fd);
    peer_ask("close %d", listener);
    join(child);

    say("# an epoll of the child's tells of it");
    fd = begin(&port);
    child = fork_quietly();
    if (child == 0) {
        struct epoll_event event = { .events = EPOLLOUT };
        int epfd = epoll_create1(0);
        R(epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event));
        R(epoll_wait(epfd, &event, 1, 10000));
        R(write(fd, "child", 5));
        leave();
    }
    close(fd);
    slot = let_in();
    join(child);
    peer("read %d 5", slot);
    peer("eof %d", slot);

    say("# nobody wants it");
    fd = begin(&port);
    child = fork_quietly();
    if (child == 0)
        leave();
    close(fd);
    join(child);
    return 0;
}
