/* A program that is killed while it holds sockets of every kind. */
#include "test.h"

int main(void)
{
    uint16_t port;
    int listener = peer_listen(8, &port), ready[2], status, slots[3];
    char byte;

    if (pipe(ready) != 0)
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_in addr = there(port);
        listener_on(own_port(0), 8);
        for (int i = 0; i < 3; i++)
            if (connect(tcp(), SA(&addr), sizeof addr) != 0)
                die("connect");
        /* One in progress, one undecided, one bound. */
        tcp();
        int bound = tcp();
        addr = here(own_port(1));
        bind(bound, SA(&addr), sizeof addr);
        (void) !write(ready[1], "a", 1);
        pause();
    }
    for (int i = 0; i < 3; i++)
        slots[i] = peer_accept(listener);
    R(read(ready[0], &byte, 1));
    int waiting = peer_connect(own_port(0));
    /* Unread at its end: a reset. */
    peer("text %d unread", slots[2]);
    peer("acked %d", slots[2]);
    R(kill(child, SIGKILL));
    waitpid(child, &status, 0);
    say("killed: %d", WIFSIGNALED(status));
    peer("eof %d", slots[0]);
    peer("eof %d", slots[1]);
    peer("eof %d", slots[2]);
    peer("eof %d", waiting);

    say("# its ports are free");
    long start = now_ms();
    struct sockaddr_in addr = here(own_port(0));
    int fd = tcp(), rc;
    while ((rc = bind(fd, SA(&addr), sizeof addr)) != 0 && now_ms() - start < 3000)
        sleep_ms(10);
    say("bind: %d", rc);
    R(listen(fd, 8));
    int slot, conn = accept_peer(fd, own_port(0), &slot);
    R(write(conn, "new", 3));
    peer("read %d 3", slot);
    return 0;
}
