/* AF_INET6 sockets that carry IPv4. */
#include "test.h"

static const char *place6(const struct sockaddr_in6 *addr)
{
    static __thread char texts[2][80];
    static __thread unsigned next;
    char *text = texts[next++ % 2], ip[INET6_ADDRSTRLEN];

    inet_ntop(addr->sin6_family, &addr->sin6_addr, ip, sizeof ip);
    const char *last = strrchr(ip, ':');
    last = last && !strncmp(ip, "::ffff:", 7) ? last + 1 : NULL;
    snprintf(text, sizeof texts[0], "%s%s:%s", last ? "mapped " : "",
             !last ? ip : !strcmp(last, own_ip()) ? "own" : !strcmp(last, peer_ip()) ? "peer" : last,
             addr->sin6_port ? "port" : "0");
    return text;
}

static struct sockaddr_in6 mapped(const char *ip, uint16_t port)
{
    struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    char text[64];

    snprintf(text, sizeof text, "::ffff:%s", ip);
    inet_pton(AF_INET6, text, &addr.sin6_addr);
    return addr;
}

static int tcp6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);

    if (fd < 0)
        die("socket");
    return fd;
}

static void names(int fd)
{
    struct sockaddr_in6 addr;
    socklen_t len = sizeof addr;

    memset(&addr, 0, sizeof addr);
    R(getsockname(fd, SA(&addr), &len));
    say("own: %s, %u bytes", place6(&addr), (unsigned) len);
    R(getpeername(fd, SA(&addr), &len));
    say("peer: %s", place6(&addr));
}

int main(void)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(own_port(0)) }, from;
    socklen_t len = sizeof from;
    int listener = tcp6(), on = 1, value = -1, slot;

    say("# listening on ::");
    R(getsockopt(listener, SOL_SOCKET, SO_DOMAIN, &value, &len));
    say("AF_INET6: %d", value == AF_INET6);
    R(bind(listener, SA(&any), sizeof any));
    R(listen(listener, 8));
    len = sizeof from;
    R(getsockname(listener, SA(&from), &len));
    say("name: %s", place6(&from));
    slot = peer_connect(own_port(0));
    len = sizeof from;
    int fd = OK(accept(listener, SA(&from), &len));
    say("from: %s, %u bytes", place6(&from), (unsigned) len);
    names(fd);
    R(write(fd, "six", 3));
    peer("read %d 3", slot);
    peer("text %d four", slot);
    char text[16] = "";
    R(read(fd, text, sizeof text));
    R(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &len));
    say("AF_INET6: %d", value == AF_INET6);
    close(fd);

    say("# a local client");
    struct sockaddr_in local = address("127.0.0.1", own_port(0));
    int client = tcp();
    R(connect(client, SA(&local), sizeof local));
    len = sizeof from;
    fd = OK(accept(listener, SA(&from), &len));
    say("from: %s", place6(&from));
    close(fd);
    close(client);
    close(listener);

    say("# listening on a mapped address");
    listener = tcp6();
    struct sockaddr_in6 addr = mapped(own_ip(), own_port(1));
    R(bind(listener, SA(&addr), sizeof addr));
    R(listen(listener, 8));
    peer_connect(own_port(1));
    fd = OK(accept(listener, NULL, NULL));
    names(fd);
    close(fd);
    close(listener);

    say("# connecting to a mapped address");
    uint16_t port;
    int theirs = peer_listen(8, &port);
    fd = tcp6();
    addr = mapped(peer_ip(), port);
    R(connect(fd, SA(&addr), sizeof addr));
    slot = peer_accept(theirs);
    names(fd);
    R(write(fd, "hello", 5));
    peer("read %d 5", slot);
    close(fd);

    say("# IPV6_V6ONLY");
    listener = tcp6();
    any.sin6_port = htons(own_port(2));
    R(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
    R(bind(listener, SA(&any), sizeof any));
    R(listen(listener, 8));
    peer_is_refused(own_port(2));
    close(listener);

    say("# both families on one port");
    listener = tcp6();
    R(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
    R(bind(listener, SA(&any), sizeof any));
    R(listen(listener, 8));
    struct sockaddr_in any4 = address("0.0.0.0", own_port(2));
    int four = tcp();
    R(bind(four, SA(&any4), sizeof any4));
    R(listen(four, 8));
    fd = accept_peer(four, own_port(2), &slot);
    R(write(fd, "four", 4));
    peer("read %d 4", slot);

    say("# dual and IPv4 do not share a port");
    listener = tcp6();
    any.sin6_port = htons(own_port(2));
    R(bind(listener, SA(&any), sizeof any));
    return 0;
}
