/* bind(2): names before and after, port 0, what is refused. */
#include "test.h"

static void show_name(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;

    R(getsockname(fd, SA(&addr), &len));
    say("name: %s, %u bytes", place(&addr), (unsigned) len);
}

int main(void)
{
    struct sockaddr_in addr = here(own_port(0)), any = address("0.0.0.0", own_port(1)), bound;
    socklen_t len = sizeof bound;
    int fd = tcp(), other = tcp();

    say("# before bind");
    show_name(fd);

    say("# an address and port");
    R(bind(fd, SA(&addr), sizeof addr));
    show_name(fd);
    getsockname(fd, SA(&bound), &len);
    say("the port asked for: %d", bound.sin_port == addr.sin_port);

    say("# twice");
    R(bind(fd, SA(&any), sizeof any));
    R(bind(fd, SA(&addr), sizeof addr));

    say("# in use");
    R(bind(other, SA(&addr), sizeof addr));
    any.sin_port = addr.sin_port;
    R(bind(other, SA(&any), sizeof any));
    any.sin_port = htons(own_port(1));
    R(bind(other, SA(&any), sizeof any));
    show_name(other);
    close(other);

    say("# free once closed");
    R(close(fd));
    fd = tcp();
    R(bind(fd, SA(&addr), sizeof addr));
    close(fd);

    say("# port 0");
    fd = tcp();
    other = tcp();
    addr.sin_port = 0;
    R(bind(fd, SA(&addr), sizeof addr));
    R(bind(other, SA(&addr), sizeof addr));
    show_name(fd);
    getsockname(fd, SA(&bound), &len);
    addr = bound;
    getsockname(other, SA(&bound), &len);
    say("different ports: %d", addr.sin_port != bound.sin_port);
    close(fd);
    close(other);

    say("# refused");
    fd = tcp();
    addr = address("192.0.2.7", own_port(2));
    R(bind(fd, SA(&addr), sizeof addr));
    addr = there(own_port(2));
    R(bind(fd, SA(&addr), sizeof addr));
    addr = here(own_port(2));
    R(bind(fd, SA(&addr), 3));
    R(bind(fd, SA(&addr), sizeof addr - 1));
    R(bind(fd, NULL, sizeof addr));
    addr.sin_family = AF_UNIX;
    R(bind(fd, SA(&addr), sizeof addr));
    show_name(fd);
    addr.sin_family = AF_INET;
    say("# and then accepted");
    R(bind(fd, SA(&addr), sizeof addr));
    show_name(fd);
    close(fd);

    say("# a longer address, and the family left out with the wildcard");
    struct sockaddr_storage big = { 0 };
    fd = tcp();
    addr.sin_port = htons(own_port(3));
    memcpy(&big, &addr, sizeof addr);
    R(bind(fd, SA(&big), sizeof big));
    close(fd);
    fd = tcp();
    any = address("0.0.0.0", own_port(4));
    any.sin_family = AF_UNSPEC;
    R(bind(fd, SA(&any), sizeof any));
    close(fd);
    return 0;
}
