/* Sockets that could be TAS's, where there is no service: they are the
 * kernel's. Run in a network namespace of its own, without interfaces. */
#include "say.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7000)};
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(7001),
                               .sin_addr.s_addr = htonl(0x0a000001)};
    int one = 1;
    int listener = NEED(socket(AF_INET, SOCK_STREAM, 0));
    SAY(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
    SAY(bind(listener, (struct sockaddr *)&any, sizeof(any)));
    SAY(listen(listener, 1));
    int client = NEED(socket(AF_INET, SOCK_STREAM, 0));
    SAY(connect(client, (struct sockaddr *)&peer, sizeof(peer)));
    SAY(bind(client, (struct sockaddr *)&peer, sizeof(peer)));
    pid_t child = NEED(fork());
    if (child == 0) {
        int other = NEED(socket(AF_INET6, SOCK_STREAM, 0));
        _exit(connect(other, (struct sockaddr *)&peer, sizeof(peer)) == 0);
    }
    int status;
    NEED(waitpid(child, &status, 0));
    SAY(status);
    return 0;
}
