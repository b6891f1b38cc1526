/* What was sent arrives, and the end, though the program calls nothing more. */
#include "test.h"

enum { MUCH = 300000 };

static pid_t run(void (*body)(uint16_t), uint16_t port)
{
    pid_t child = fork();

    if (child == 0) {
        body(port);
        _exit(0);
    }
    return child;
}

static int connected(uint16_t port)
{
    struct sockaddr_in addr = there(port);
    int fd = tcp();

    if (connect(fd, SA(&addr), sizeof addr) != 0)
        die("connect");
    return fd;
}

static void send_and_close(uint16_t port)
{
    int fd = connected(port);

    send_all(fd, 0, 1000);
    close(fd);
    pause();
}

static void send_much_and_close(uint16_t port)
{
    int fd = connected(port);

    send_all(fd, 0, MUCH);
    close(fd);
    pause();
}

static void send_and_sleep(uint16_t port)
{
    int fd = connected(port);

    send_all(fd, 0, 1000);
    pause();
}

static void send_and_exit(uint16_t port)
{
    send_all(connected(port), 0, MUCH);
    exit(0);
}

static void send_and_exit_at_once(uint16_t port)
{
    send_all(connected(port), 0, MUCH);
    _exit(0);
}

static void send_close_exit(uint16_t port)
{
    int fd = connected(port);

    send_all(fd, 0, MUCH);
    close(fd);
    _exit(0);
}

static void send_and_die(uint16_t port)
{
    send_all(connected(port), 0, MUCH);
    raise(SIGKILL);
}

static void send_and_abort(uint16_t port)
{
    send_all(connected(port), 0, 1000);
    abort();
}

static void send_shutdown(uint16_t port)
{
    int fd = connected(port);

    send_all(fd, 0, 1000);
    shutdown(fd, SHUT_WR);
    pause();
}

static void try(const char *what, void (*body)(uint16_t), int ends)
{
    uint16_t port;
    int listener = peer_listen(4, &port), status;

    say("# %s", what);
    pid_t child = run(body, port);
    int slot = peer_accept(listener);
    /* The peer is slow: most is sent when the program has done its part. */
    sleep_ms(30);
    if (ends)
        peer("drain %d", slot);
    else
        peer("recv %d 1000", slot);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    peer("eof %d", slot);
    peer_ask("close %d", slot);
}

int main(void)
{
    try("sent and closed, then asleep", send_and_close, 1);
    try("much of it", send_much_and_close, 1);
    try("sent and asleep", send_and_sleep, 0);
    try("sent and shut down, asleep", send_shutdown, 1);
    try("sent and exit", send_and_exit, 1);
    try("sent and _exit", send_and_exit_at_once, 1);
    try("sent, closed and _exit", send_close_exit, 1);
    try("sent and killed", send_and_die, 1);
    try("sent and aborted", send_and_abort, 1);
    return 0;
}
