/* SO_REUSEADDR, SO_REUSEPORT; a port whose connections are in TIME-WAIT. */
#include "test.h"

static int bound(const char *what, uint16_t port, int option, int listens)
{
    struct sockaddr_in addr = here(port);
    int fd = tcp(), on = 1;

    if (option)
        setsockopt(fd, SOL_SOCKET, option, &on, sizeof on);
    int rc = bind(fd, SA(&addr), sizeof addr);
    say("%s: bind %s", what, rc ? error_name(errno) : "ok");
    if (rc == 0 && listens) {
        rc = listen(fd, 32);
        say("%s: listen %s", what, rc ? error_name(errno) : "ok");
    }
    return fd;
}

int main(void)
{
    int slot, fds[4];

    say("# SO_REUSEADDR, no listener yet");
    fds[0] = bound("first", own_port(0), SO_REUSEADDR, 0);
    fds[1] = bound("second", own_port(0), SO_REUSEADDR, 0);
    fds[2] = bound("without", own_port(0), 0, 0);
    R(listen(fds[0], 5));
    R(listen(fds[1], 5));
    fds[3] = bound("third", own_port(0), SO_REUSEADDR, 0);
    for (size_t i = 0; i < COUNT(fds); i++)
        close(fds[i]);

    say("# after connections that we closed first");
    int fd = bound("first", own_port(1), SO_REUSEADDR, 1);
    int conn = accept_peer(fd, own_port(1), &slot);
    close(conn);
    peer("eof %d", slot);
    peer("close %d", slot);
    close(fd);
    close(bound("second", own_port(1), SO_REUSEADDR, 1));

    say("# while a connection of the listener's is open");
    fd = bound("first", own_port(2), SO_REUSEADDR, 1);
    conn = accept_peer(fd, own_port(2), &slot);
    close(fd);
    close(bound("second", own_port(2), SO_REUSEADDR, 1));
    close(conn);

    say("# SO_REUSEPORT");
    fds[0] = bound("first", own_port(3), SO_REUSEPORT, 1);
    fds[1] = bound("second", own_port(3), SO_REUSEPORT, 1);
    fds[2] = bound("without", own_port(3), 0, 0);
    fds[3] = bound("other option", own_port(3), SO_REUSEADDR, 0);

    say("# every connection comes to one of the two");
    set_nonblocking(fds[0]);
    set_nonblocking(fds[1]);
    int accepted = 0;
    for (int i = 0; i < 16; i++)
        peer_connect(own_port(3));
    long start = now_ms();
    while (accepted < 16 && now_ms() - start < 5000) {
        for (int i = 0; i < 2; i++)
            if ((conn = accept(fds[i], NULL, NULL)) >= 0) {
                accepted++;
                close(conn);
            }
        sleep_ms(1);
    }
    say("accepted: %d", accepted);

    say("# one of the two closes");
    close(fds[0]);
    for (int i = 0; i < 4; i++)
        peer_connect(own_port(3));
    accepted = 0;
    start = now_ms();
    while (accepted < 4 && now_ms() - start < 5000) {
        if ((conn = accept(fds[1], NULL, NULL)) >= 0) {
            accepted++;
            close(conn);
        }
        sleep_ms(1);
    }
    say("accepted: %d", accepted);
    return 0;
}
