/* The tested program's end of the conversation with the peer. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"

enum { LINE = 4096 };

static int control = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what, const char *command)
{
    printf("peer: %s: %s\n", what, command);
    fflush(stdout);
    _exit(1);
}

static void meet(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    const char *path = getenv("T_PEER");

    if (!path || strlen(path) >= sizeof addr.sun_path)
        fail("not named by T_PEER", "");
    strcpy(addr.sun_path, path);
    control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(control, (struct sockaddr *) &addr, sizeof addr) != 0)
        fail("does not listen", path);
}

static const char *ask(const char *prefix, const char *format, va_list args)
{
    static __thread char answer[LINE];
    char command[LINE];
    size_t len = (size_t) snprintf(command, sizeof command, "%s", prefix);

    len += (size_t) vsnprintf(command + len, sizeof command - len - 1, format, args);
    command[len++] = '\n';
    command[len] = '\0';
    pthread_mutex_lock(&turn);
    if (control < 0)
        meet();
    if (send(control, command, len, MSG_NOSIGNAL) != (ssize_t) len)
        fail("is gone at", command);
    for (len = 0; len < sizeof answer - 1; len++)
        if (read(control, &answer[len], 1) != 1)
            fail("has gone at", command);
        else if (answer[len] == '\n')
            break;
    answer[len] = '\0';
    pthread_mutex_unlock(&turn);
    return answer;
}

const char *peer_ask(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    const char *answer = ask("", format, args);
    va_end(args);
    return answer;
}

void peer(const char *format, ...)
{
    char command[LINE];
    va_list args;

    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    const char *answer = peer_ask("%s", command);
    printf("peer %s = %s\n", command, answer);
}

void peer_after(int ms, const char *format, ...)
{
    char prefix[32];
    va_list args;

    snprintf(prefix, sizeof prefix, "after %d ", ms);
    va_start(args, format);
    ask(prefix, format, args);
    va_end(args);
}

static int number(const char *what, const char *answer)
{
    char *end;
    long slot = strtol(answer, &end, 10);

    if (end == answer)
        fail(what, answer);
    return (int) slot;
}

int peer_listen(int backlog, uint16_t *port)
{
    int slot, bound;

    if (sscanf(peer_ask("listen %d", backlog), "%d %d", &slot, &bound) != 2)
        fail("cannot", "listen");
    *port = (uint16_t) bound;
    return slot;
}

int peer_accept(int listener)
{
    return number("cannot accept", peer_ask("accept %d", listener));
}

int peer_connect(uint16_t port)
{
    return number("cannot connect", peer_ask("connect %d", port));
}

void peer_is_refused(uint16_t port)
{
    const char *answer;
    int tries = 100;

    while (strcmp(answer = peer_ask("connect %d", port), "ECONNREFUSED") && --tries > 0) {
        int slot = atoi(answer);
        if (slot > 0)
            peer_ask("close %d", slot);
        usleep(10000);
    }
    printf("the peer is refused: %s\n", tries > 0 ? "yes" : answer);
}

void peer_leave(void)
{
    if (control >= 0)
        close(control);
    control = -1;
}
