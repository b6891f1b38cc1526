/* Listeners that do not block, by each way to say so. */
#include "test.h"

static void try(const char *what, int fd, uint16_t port)
{
    say("# %s", what);
    R(accept(fd, NULL, NULL));
    say("events: %s", bits(events_now(fd)));
    peer_connect(port);
    say("events: %s", bits(wait_events(fd, POLLIN)));
    int conn = OK(accept(fd, NULL, NULL));
    R(accept(fd, NULL, NULL));
    close(conn);
    close(fd);
}

int main(void)
{
    struct sockaddr_in addr;
    int fd, on = 1, off = 0;

    fd = listener_on(own_port(0), 8);
    R(fcntl(fd, F_SETFL, O_NONBLOCK));
    try("fcntl", fd, own_port(0));

    fd = listener_on(own_port(1), 8);
    R(ioctl(fd, FIONBIO, &on));
    say("O_NONBLOCK: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    try("ioctl", fd, own_port(1));

    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    addr = here(own_port(2));
    R(bind(fd, SA(&addr), sizeof addr));
    R(listen(fd, 4));
    try("SOCK_NONBLOCK", fd, own_port(2));

    say("# and back");
    fd = listener_on(own_port(3), 8);
    R(ioctl(fd, FIONBIO, &on));
    R(accept(fd, NULL, NULL));
    R(ioctl(fd, FIONBIO, &off));
    say("O_NONBLOCK: %d", (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    peer_after(50, "start %d", own_port(3));
    OK(accept(fd, NULL, NULL));
    return 0;
}
