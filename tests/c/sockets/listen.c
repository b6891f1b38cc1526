/* listen(2): again, with any backlog, unbound; what listeners refuse. */
#include "test.h"

static int accepts(int fd)
{
    int value = -1;
    socklen_t len = sizeof value;

    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &len);
    return value;
}

static void serve_one(int fd)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;

    getsockname(fd, SA(&addr), &len);
    int slot = peer_connect(ntohs(addr.sin_port));
    int conn = accept(fd, NULL, NULL);
    peer_ask("text %d hi", slot);
    char text[8] = "";
    R(read(conn, text, sizeof text));
    close(conn);
    peer_ask("close %d", slot);
}

int main(void)
{
    struct sockaddr_in addr = here(own_port(0)), name;
    socklen_t len = sizeof name;
    int fd = tcp(), slot;
    char byte = 'x';

    say("# bound");
    R(bind(fd, SA(&addr), sizeof addr));
    say("accepts: %d", accepts(fd));
    R(listen(fd, 1));
    say("accepts: %d", accepts(fd));
    serve_one(fd);

    say("# again, with other backlogs");
    R(listen(fd, 5));
    serve_one(fd);
    R(listen(fd, 0));
    serve_one(fd);
    R(listen(fd, -1));
    serve_one(fd);
    R(listen(fd, 2147483647));
    serve_one(fd);

    say("# a listener is no connection");
    R(getpeername(fd, SA(&name), &len));
    addr = there(1);
    R(connect(fd, SA(&addr), sizeof addr));
    R(recv(fd, &byte, 1, 0));
    R(recv(fd, &byte, 1, MSG_DONTWAIT));
    R(send(fd, &byte, 1, MSG_NOSIGNAL));
    addr = here(own_port(2));
    R(bind(fd, SA(&addr), sizeof addr));
    R(listen(fd, 5));
    serve_one(fd);
    R(close(fd));

    say("# port taken by a listener");
    fd = listener_on(own_port(1), 5);
    int other = tcp();
    addr = here(own_port(1));
    R(bind(other, SA(&addr), sizeof addr));
    R(close(fd));
    R(bind(other, SA(&addr), sizeof addr));
    R(listen(other, 5));
    close(other);

    say("# unbound");
    fd = tcp();
    R(listen(fd, 5));
    R(getsockname(fd, SA(&name), &len));
    say("name: %s", place(&name));
    serve_one(fd);
    close(fd);

    say("# a connection does not listen");
    fd = connect_peer(&slot);
    R(listen(fd, 5));
    R(accept(fd, NULL, NULL));
    close(fd);

    say("# neither bound nor listening");
    fd = tcp();
    R(accept(fd, NULL, NULL));
    close(fd);
    return 0;
}
