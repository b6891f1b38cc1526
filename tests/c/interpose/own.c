/* own connect ADDRESS PORT, own listen ADDRESS PORT: makes one socket, tells
 * what became of it, and with `listen` echoes one connection. */
#include "say.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    if (argc != 4)
        return 2;
    v4.sin_port = v6.sin6_port = htons(atoi(argv[3]));
    int is_v6 = strchr(argv[2], ':') != NULL;
    struct sockaddr *addr = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
    socklen_t len = is_v6 ? sizeof(v6) : sizeof(v4);
    if (inet_pton(addr->sa_family, argv[2],
                  is_v6 ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1)
        return 2;
    int one = 1, fd = NEED(socket(addr->sa_family, SOCK_STREAM, 0));
    if (strcmp(argv[1], "connect") == 0) {
        SAY(connect(fd, addr, len));
        return 0;
    }
    NEED(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    SAY(bind(fd, addr, len));
    SAY(listen(fd, 8));
    int conn = NEED(accept(fd, NULL, NULL));
    char buf[64];
    for (ssize_t got; (got = read(conn, buf, sizeof(buf))) > 0;)
        NEED(write(conn, buf, got));
    puts("over");
    return 0;
}
