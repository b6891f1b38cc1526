/* Loopback: listeners on all addresses serve local clients and the peer. */
#include "test.h"

static void serve(const char *what, int listener)
{
    struct sockaddr_in from, to;
    socklen_t len = sizeof from;
    char text[16] = "";

    wait_events(listener, POLLIN);
    int fd = accept(listener, SA(&from), &len);
    if (fd < 0)
        die("accept");
    getsockname(fd, SA(&to), &len);
    say("%s: from %s to %s", what, place(&from), place(&to));
    R(read(fd, text, sizeof text));
    R(write(fd, text, strlen(text)));
    R(close(fd));
}

static int local_client(uint16_t port)
{
    struct sockaddr_in addr = address("127.0.0.1", port), own;
    socklen_t len = sizeof own;
    int fd = tcp();

    R(connect(fd, SA(&addr), sizeof addr));
    R(getsockname(fd, SA(&own), &len));
    say("client: %s", place(&own));
    R(write(fd, "local", 5));
    return fd;
}

int main(void)
{
    struct sockaddr_in addr = address("0.0.0.0", own_port(0)), name;
    socklen_t len = sizeof name;
    char text[16] = "";
    int listener = tcp();

    say("# a listener on all addresses");
    R(bind(listener, SA(&addr), sizeof addr));
    R(listen(listener, 8));
    R(getsockname(listener, SA(&name), &len));
    say("name: %s", place(&name));
    int slot = peer_connect(own_port(0));
    peer("text %d remote", slot);
    serve("peer", listener);
    peer("read %d 7", slot);
    int client = local_client(own_port(0));
    serve("local", listener);
    R(read(client, text, sizeof text));
    R(read(client, text, sizeof text));
    close(client);

    say("# both wait");
    client = local_client(own_port(0));
    slot = peer_connect(own_port(0));
    set_nonblocking(listener);
    int accepted = 0;
    for (long start = now_ms(); accepted < 2 && now_ms() - start < 3000;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0) {
            accepted++;
            close(fd);
        } else {
            wait_events(listener, POLLIN);
        }
    }
    say("accepted: %d", accepted);
    R(accept(listener, NULL, NULL));
    close(client);

    say("# in epoll");
    int epoll = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event));
    R(epoll_wait(epoll, &event, 1, 0));
    client = local_client(own_port(0));
    R(epoll_wait(epoll, &event, 1, 3000));
    serve("local", listener);
    close(client);
    slot = peer_connect(own_port(0));
    peer("text %d again", slot);
    R(epoll_wait(epoll, &event, 1, 3000));
    serve("peer", listener);
    close(listener);

    say("# closed for both");
    peer_is_refused(own_port(0));
    addr = address("127.0.0.1", own_port(0));
    client = tcp();
    R(connect(client, SA(&addr), sizeof addr));
    close(client);

    say("# a listener on loopback only");
    listener = tcp();
    addr = address("127.0.0.1", own_port(1));
    R(bind(listener, SA(&addr), sizeof addr));
    R(listen(listener, 8));
    peer_is_refused(own_port(1));
    client = local_client(own_port(1));
    serve("local", listener);
    close(client);
    close(listener);

    say("# a blocked accept takes a local client too");
    listener = tcp();
    addr = address("0.0.0.0", own_port(2));
    R(bind(listener, SA(&addr), sizeof addr));
    R(listen(listener, 8));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(60);
        addr = address("127.0.0.1", own_port(2));
        client = tcp();
        if (connect(client, SA(&addr), sizeof addr) != 0)
            die("child: connect");
        _exit(0);
    }
    OK(accept(listener, NULL, NULL));
    int status;
    waitpid(child, &status, 0);
    say("status: %d", status);
    return 0;
}
