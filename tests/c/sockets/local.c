/* Connections between two sockets of this machine, by its own address. */
#include "test.h"

int main(void)
{
    int listener = listener_on(own_port(0), 8), client = tcp();
    struct sockaddr_in addr = here(own_port(0)), from;
    socklen_t len = sizeof from;
    char text[16] = "";

    set_nonblocking(client);
    R(connect(client, SA(&addr), sizeof addr) == 0 || errno == EINPROGRESS);
    int fd = OK(accept(listener, SA(&from), &len));
    say("from: %s", place(&from));
    wait_events(client, POLLOUT);
    R(write(client, "hello", 5));
    R(read(fd, text, sizeof text));
    R(write(fd, text, 5));
    say("events: %s", bits(wait_events(client, POLLIN)));
    R(read(client, text, sizeof text));
    R(close(client));
    R(read(fd, text, sizeof text));
    close(fd);
    close(listener);
    client = tcp();
    R(connect(client, SA(&addr), sizeof addr));
    return 0;
}
