/*
 * peer SOCKET ADDRESS: obeys tested programs that connect to the unix socket
 * SOCKET; connects to ADDRESS, where they are. One process for each of them.
 *
 * Commands, S being a socket's number; those that wait give up with `timeout`:
 *   listen BACKLOG       a listener on a port of its own: `S PORT`
 *   accept S             the next connection's S
 *   connect PORT         S once connected, or why not
 *   start PORT           S; does not wait for the connection
 *   finish S             waits for it: 0 or why not
 *   text S WORD          sends that
 *   send S N             sends N bytes of the pattern: how many were
 *   recv S N             receives N bytes: how many were as they should be
 *   read S N             receives up to N bytes as text
 *   drain S              receives to the end: `N eof` or `N ERROR`
 *   eof S                waits for the end: `eof`, an error, or `data`
 *   acked S              waits until all that was sent is acknowledged
 *   echo S               echoes until the end, then closes
 *   shut S rd|wr|rdwr, close S, rst S (closes with a reset)
 *   rcvbuf S N, sndbuf S N
 *   port S               port of the connection's other end
 *   after MS COMMAND     answers at once, and does it in MS milliseconds
 *
 * The pattern: byte i of a direction of a connection is i modulo 251.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { SLOTS = 16384, LINE = 4096, LIMIT_MS = 4000, CHUNK = 65536 };

struct slot {
    int fd;
    unsigned long sent, received;
};

static struct slot slots[SLOTS];
static int used;
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static struct in_addr target;

static const char *name(int error)
{
    const char *known = strerrorname_np(error);

    return known ? known : "unknown";
}

static void put(char *answer, const char *text)
{
    snprintf(answer, LINE, "%s", text);
}

static void result(char *answer, long rc)
{
    if (rc < 0)
        put(answer, name(errno));
    else
        snprintf(answer, LINE, "%ld", rc);
}

static int new_slot(int fd)
{
    pthread_mutex_lock(&slots_lock);
    int slot = used < SLOTS ? used++ : -1;
    if (slot >= 0)
        slots[slot] = (struct slot) { .fd = fd };
    pthread_mutex_unlock(&slots_lock);
    return slot;
}

static int ready(int fd, short events)
{
    struct pollfd entry = { .fd = fd, .events = events };
    int rc = poll(&entry, 1, LIMIT_MS);

    if (rc == 0)
        errno = ETIMEDOUT;
    return rc > 0 ? 0 : -1;
}

static void do_listen(long backlog, char *answer)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof addr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *) &addr, len) != 0 ||
        listen(fd, (int) backlog) != 0 || getsockname(fd, (struct sockaddr *) &addr, &len) != 0)
        result(answer, -1);
    else
        snprintf(answer, LINE, "%d %d", new_slot(fd), ntohs(addr.sin_port));
}

static void do_accept(struct slot *slot, char *answer)
{
    int fd = ready(slot->fd, POLLIN) == 0 ? accept4(slot->fd, NULL, NULL, SOCK_CLOEXEC) : -1;

    result(answer, fd < 0 ? -1 : new_slot(fd));
}

static int connected(int fd)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (ready(fd, POLLOUT) != 0)
        return -1;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    errno = error;
    return error ? -1 : 0;
}

static void do_connect(long port, int wait, char *answer)
{
    struct sockaddr_in addr = {
        .sin_family = AF_INET, .sin_addr = target, .sin_port = htons((uint16_t) port)
    };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = connect(fd, (struct sockaddr *) &addr, sizeof addr);

    if (rc != 0 && errno == EINPROGRESS)
        rc = wait ? connected(fd) : 0;
    if (rc != 0) {
        result(answer, -1);
        close(fd);
    } else {
        result(answer, new_slot(fd));
    }
}

static void do_text(struct slot *slot, const char *text, char *answer)
{
    result(answer, ready(slot->fd, POLLOUT) == 0
                       ? send(slot->fd, text, strlen(text), MSG_NOSIGNAL) : -1);
}

static void do_send(struct slot *slot, long count, char *answer)
{
    unsigned char bytes[CHUNK];
    long done = 0;

    while (done < count) {
        size_t part = (size_t) (count - done) < CHUNK ? (size_t) (count - done) : CHUNK;
        for (size_t i = 0; i < part; i++)
            bytes[i] = (unsigned char) ((slot->sent + i) % 251);
        if (ready(slot->fd, POLLOUT) != 0)
            break;
        ssize_t sent = send(slot->fd, bytes, part, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN)
            continue;
        if (sent < 0)
            break;
        slot->sent += (unsigned long) sent;
        done += sent;
    }
    if (done == count)
        result(answer, done);
    else
        snprintf(answer, LINE, "%ld %s", done, name(errno));
}

/* Receives up to `count` bytes; says how it ended. */
static void take(struct slot *slot, long count, int print_count, char *answer)
{
    unsigned char bytes[CHUNK];
    const char *end = "";
    long done = 0;

    while (done < count) {
        size_t part = (size_t) (count - done) < CHUNK ? (size_t) (count - done) : CHUNK;
        if (ready(slot->fd, POLLIN) != 0) {
            end = "timeout";
            break;
        }
        ssize_t got = recv(slot->fd, bytes, part, MSG_DONTWAIT);
        if (got <= 0) {
            end = got == 0 ? "eof" : name(errno);
            break;
        }
        for (ssize_t i = 0; i < got; i++)
            if (bytes[i] != (unsigned char) ((slot->received + (unsigned long) i) % 251))
                end = "wrong bytes";
        slot->received += (unsigned long) got;
        done += got;
        if (*end)
            break;
    }
    if (print_count)
        snprintf(answer, LINE, *end ? "%ld %s" : "%ld", done, end);
    else
        put(answer, done ? "data" : end);
}

static void do_read(struct slot *slot, long count, char *answer)
{
    long done = 0;
    ssize_t got = 1;

    while (done < count && done < LINE - 16 && ready(slot->fd, POLLIN) == 0 &&
           (got = recv(slot->fd, answer + done, (size_t) (count - done), MSG_DONTWAIT)) > 0)
        done += got;
    snprintf(answer + done, (size_t) (LINE - done), "%s",
             done == count ? "" : got == 0 ? " eof" : name(errno));
}

static void do_acked(struct slot *slot, char *answer)
{
    int left = 1;

    for (int i = 0; i < LIMIT_MS && left; i++) {
        if (ioctl(slot->fd, TIOCOUTQ, &left) != 0)
            break;
        usleep(1000);
    }
    put(answer, left ? "timeout" : "all");
}

static void do_close(struct slot *slot, int reset, char *answer)
{
    struct linger linger = { .l_onoff = 1, .l_linger = 0 };

    if (reset)
        setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    result(answer, close(slot->fd));
    slot->fd = -1;
}

static void do_echo(struct slot *slot, char *answer)
{
    char bytes[CHUNK];
    ssize_t got, done, sent;

    while (ready(slot->fd, POLLIN) == 0 && (got = recv(slot->fd, bytes, sizeof bytes, 0)) > 0)
        for (done = 0; done < got; done += sent)
            if (ready(slot->fd, POLLOUT) != 0 ||
                (sent = send(slot->fd, bytes + done, (size_t) (got - done), MSG_NOSIGNAL)) < 0)
                break;
    do_close(slot, 0, answer);
}

static void do_port(struct slot *slot, char *answer)
{
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;

    if (getpeername(slot->fd, (struct sockaddr *) &addr, &len) != 0)
        result(answer, -1);
    else
        result(answer, ntohs(addr.sin_port));
}

static void obey(const char *line, char *answer);

struct later {
    int ms;
    char command[LINE];
};

static void *act_later(void *arg)
{
    struct later *later = arg;
    char answer[LINE];

    usleep((useconds_t) later->ms * 1000);
    obey(later->command, answer);
    free(later);
    return NULL;
}

static void do_after(int ms, const char *command, char *answer)
{
    struct later *later = malloc(sizeof *later);
    pthread_t thread;

    later->ms = ms;
    snprintf(later->command, sizeof later->command, "%s", command);
    pthread_create(&thread, NULL, act_later, later);
    pthread_detach(thread);
    put(answer, "ok");
}

static void buffer(struct slot *slot, int option, long bytes, char *answer)
{
    int value = (int) bytes;

    result(answer, setsockopt(slot->fd, SOL_SOCKET, option, &value, sizeof value));
}

static void on_socket(const char *verb, struct slot *slot, const char *text, char *answer)
{
    long n = strtol(text, NULL, 10);

    if (!strcmp(verb, "accept"))
        do_accept(slot, answer);
    else if (!strcmp(verb, "finish"))
        result(answer, connected(slot->fd));
    else if (!strcmp(verb, "text"))
        do_text(slot, text, answer);
    else if (!strcmp(verb, "send"))
        do_send(slot, n, answer);
    else if (!strcmp(verb, "recv"))
        take(slot, n, 1, answer);
    else if (!strcmp(verb, "read"))
        do_read(slot, n, answer);
    else if (!strcmp(verb, "drain"))
        take(slot, 1L << 40, 1, answer);
    else if (!strcmp(verb, "eof"))
        take(slot, 1, 0, answer);
    else if (!strcmp(verb, "acked"))
        do_acked(slot, answer);
    else if (!strcmp(verb, "echo"))
        do_echo(slot, answer);
    else if (!strcmp(verb, "shut"))
        result(answer, shutdown(slot->fd, !strcmp(text, "rd") ? SHUT_RD
                                          : !strcmp(text, "wr") ? SHUT_WR : SHUT_RDWR));
    else if (!strcmp(verb, "close") || !strcmp(verb, "rst"))
        do_close(slot, *verb == 'r', answer);
    else if (!strcmp(verb, "rcvbuf"))
        buffer(slot, SO_RCVBUF, n, answer);
    else if (!strcmp(verb, "sndbuf"))
        buffer(slot, SO_SNDBUF, n, answer);
    else if (!strcmp(verb, "port"))
        do_port(slot, answer);
    else
        put(answer, "no such command");
}

static void obey(const char *line, char *answer)
{
    char verb[16] = "", text[LINE] = "";
    long first = 0;
    int at = 0;

    sscanf(line, "%15s %ld %n", verb, &first, &at);
    if (at > 0)
        snprintf(text, sizeof text, "%s", line + at);
    if (!strcmp(verb, "listen"))
        do_listen(first, answer);
    else if (!strcmp(verb, "connect") || !strcmp(verb, "start"))
        do_connect(first, *verb == 'c', answer);
    else if (!strcmp(verb, "after"))
        do_after((int) first, text, answer);
    else if (first < 0 || first >= used)
        put(answer, "no such socket");
    else
        on_socket(verb, &slots[first], text, answer);
}

static void converse(int control)
{
    FILE *commands = fdopen(control, "r");
    char line[LINE], answer[LINE];

    while (fgets(line, sizeof line, commands)) {
        line[strcspn(line, "\n")] = '\0';
        obey(line, answer);
        strcat(answer, "\n");
        if (send(control, answer, strlen(answer), MSG_NOSIGNAL) < 0)
            break;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (argc != 3 || inet_pton(AF_INET, argv[2], &target) != 1 ||
        strlen(argv[1]) >= sizeof addr.sun_path) {
        fprintf(stderr, "usage: peer SOCKET ADDRESS\n");
        return 2;
    }
    strcpy(addr.sun_path, argv[1]);
    struct rlimit limit = { SLOTS + 100, SLOTS + 100 };
    setrlimit(RLIMIT_NOFILE, &limit);
    signal(SIGCHLD, SIG_IGN);
    if (bind(listener, (struct sockaddr *) &addr, sizeof addr) != 0 || listen(listener, 64) != 0) {
        perror(argv[1]);
        return 1;
    }
    puts("peer ready");
    fflush(stdout);
    for (;;) {
        int control = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (control < 0)
            continue;
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(listener);
            converse(control);
            _exit(0);
        }
        close(control);
    }
}
