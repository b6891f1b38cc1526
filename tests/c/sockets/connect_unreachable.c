/* Addresses that nobody has a way to. */
#include "test.h"

static int so_error(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &len);
    return value;
}

int main(void)
{
    struct sockaddr_in nowhere = address("192.0.2.1", 80), beyond = address("10.78.0.1", 80);
    int fd = tcp();

    say("# no route");
    R(connect(fd, SA(&nowhere), sizeof nowhere));
    say("SO_ERROR: %d", so_error(fd));
    set_nonblocking(fd);
    R(connect(fd, SA(&nowhere), sizeof nowhere));
    close(fd);

    say("# the gateway says that it cannot");
    fd = tcp();
    R(connect(fd, SA(&beyond), sizeof beyond));
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    R(connect(fd, SA(&beyond), sizeof beyond));
    say("ERR: %d", (wait_events(fd, POLLOUT) & POLLERR) != 0);
    say("SO_ERROR: %s", error_name(so_error(fd)));
    return 0;
}
