/* connect(2), blocking: names, again, from a bound socket, bad addresses. */
#include "test.h"

static void names(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;

    R(getsockname(fd, SA(&addr), &len));
    say("own: %s", place(&addr));
    R(getpeername(fd, SA(&addr), &len));
    say("peer: %s", place(&addr));
}

int main(void)
{
    uint16_t port;
    int listener = peer_listen(8, &port), fd = tcp(), slot;
    struct sockaddr_in addr = there(port), own;
    socklen_t len = sizeof addr;

    say("# not connected");
    R(getpeername(fd, SA(&own), &len));

    say("# connected");
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(listener);
    names(fd);
    getpeername(fd, SA(&own), &len);
    say("the port asked for: %d", own.sin_port == addr.sin_port);
    getsockname(fd, SA(&own), &len);
    say("the peer sees our port: %d", atoi(peer_ask("port %d", slot)) == ntohs(own.sin_port));

    say("# again");
    R(connect(fd, SA(&addr), sizeof addr));
    addr.sin_port = htons(1);
    R(connect(fd, SA(&addr), sizeof addr));
    own = here(own_port(0));
    R(bind(fd, SA(&own), sizeof own));
    R(close(fd));
    peer("eof %d", slot);

    say("# from a bound address and port");
    fd = tcp();
    own = here(own_port(1));
    addr.sin_port = htons(port);
    R(bind(fd, SA(&own), sizeof own));
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(listener);
    names(fd);
    say("our port: %d", atoi(peer_ask("port %d", slot)) == own_port(1));
    close(fd);

    say("# from a bound port, any address");
    fd = tcp();
    own = address("0.0.0.0", own_port(2));
    R(bind(fd, SA(&own), sizeof own));
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(listener);
    names(fd);
    say("our port: %d", atoi(peer_ask("port %d", slot)) == own_port(2));
    close(fd);

    say("# from a bound address, any port");
    fd = tcp();
    own = here(0);
    R(bind(fd, SA(&own), sizeof own));
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(listener);
    names(fd);
    close(fd);

    say("# bad addresses");
    fd = tcp();
    R(connect(fd, SA(&addr), 1));
    R(connect(fd, SA(&addr), 8));
    R(connect(fd, NULL, sizeof addr));
    addr.sin_family = AF_UNIX;
    R(connect(fd, SA(&addr), sizeof addr));
    addr.sin_family = AF_INET6;
    R(connect(fd, SA(&addr), sizeof addr));

    say("# the socket is still good");
    addr = there(port);
    R(connect(fd, SA(&addr), sizeof addr));
    peer_accept(listener);
    names(fd);

    say("# addresses that nobody can connect to");
    static const char *const nobody[] = { "224.0.0.1", "255.255.255.255" };
    for (size_t i = 0; i < COUNT(nobody); i++) {
        int other = tcp();
        addr = address(nobody[i], port);
        R(connect(other, SA(&addr), sizeof addr));
        close(other);
    }

    say("# AF_UNSPEC ends the connection");
    addr.sin_family = AF_UNSPEC;
    R(connect(fd, SA(&addr), sizeof addr));
    R(getpeername(fd, SA(&own), &len));
    return 0;
}
