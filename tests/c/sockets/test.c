#include <stdarg.h>
#include <sys/resource.h>

#include "test.h"

enum { PATIENCE_MS = 5000 };

volatile sig_atomic_t signals_seen;

__attribute__((constructor)) static void line_buffered(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
}

long report(const char *what, long value)
{
    int error = errno;

    if (value < 0)
        printf("%s = %ld %s\n", what, value, error_name(error));
    else
        printf("%s = %ld\n", what, value);
    errno = error;
    return value;
}

long report_ok(const char *what, long value)
{
    int error = errno;

    if (value < 0)
        printf("%s = %ld %s\n", what, value, error_name(error));
    else
        printf("%s = ok\n", what);
    errno = error;
    return value;
}

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    putchar('\n');
}

void die(const char *format, ...)
{
    int error = errno;
    va_list args;

    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (%s)\n", error_name(error));
    fflush(stdout);
    _exit(1);
}

const char *error_name(int error)
{
    const char *name = strerrorname_np(error);

    /* glibc knows one of two names; manual pages mostly say the other. */
    if (error == EOPNOTSUPP)
        return "EOPNOTSUPP";
    return name ? name : "unknown";
}

const char *bits(unsigned events)
{
    static const struct { unsigned bit; const char *name; } names[] = {
        { EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" }, { EPOLLERR, "ERR" },
        { EPOLLHUP, "HUP" }, { POLLNVAL, "NVAL" }, { EPOLLRDNORM, "RDNORM" },
        { EPOLLRDBAND, "RDBAND" }, { EPOLLWRNORM, "WRNORM" }, { EPOLLWRBAND, "WRBAND" },
        { EPOLLRDHUP, "RDHUP" },
    };
    static __thread char texts[4][128];
    static __thread unsigned next;
    char *text = texts[next++ % 4];

    text[0] = '\0';
    for (size_t i = 0; i < COUNT(names); i++)
        if (events & names[i].bit) {
            strcat(text, *text ? "|" : "");
            strcat(text, names[i].name);
        }
    if (!*text)
        strcpy(text, "0");
    return text;
}

static const char *setting(const char *name)
{
    const char *value = getenv(name);

    if (!value)
        die("%s is not set", name);
    return value;
}

uint16_t own_port(int n)
{
    return (uint16_t) (atoi(setting("T_PORT")) + n);
}

const char *own_ip(void)
{
    return setting("T_OWN_IP");
}

const char *peer_ip(void)
{
    return setting("T_PEER_IP");
}

struct sockaddr_in address(const char *ip, uint16_t port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };

    if (inet_pton(AF_INET, ip, &addr.sin_addr) != 1)
        die("no address: %s", ip);
    return addr;
}

struct sockaddr_in here(uint16_t port)
{
    return address(own_ip(), port);
}

struct sockaddr_in there(uint16_t port)
{
    return address(peer_ip(), port);
}

const char *place(const struct sockaddr_in *addr)
{
    static __thread char texts[4][64];
    static __thread unsigned next;
    char *text = texts[next++ % 4], ip[INET_ADDRSTRLEN];

    if (addr->sin_family != AF_INET)
        return "no IPv4 address";
    inet_ntop(AF_INET, &addr->sin_addr, ip, sizeof ip);
    snprintf(text, sizeof texts[0], "%s:%s",
             !strcmp(ip, own_ip()) ? "own" : !strcmp(ip, peer_ip()) ? "peer"
             : !strcmp(ip, "0.0.0.0") ? "any" : !strcmp(ip, "127.0.0.1") ? "loopback" : ip,
             addr->sin_port ? "port" : "0");
    return text;
}

int tcp(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        die("socket");
    return fd;
}

void set_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) != 0)
        die("O_NONBLOCK");
}

int listener_on(uint16_t port, int backlog)
{
    struct sockaddr_in addr = here(port);
    int fd = tcp();

    if (bind(fd, SA(&addr), sizeof addr) != 0)
        die("bind");
    if (listen(fd, backlog) != 0)
        die("listen");
    return fd;
}

int connect_peer(int *peer_socket)
{
    uint16_t port;
    int listener = peer_listen(8, &port), fd = tcp();
    struct sockaddr_in addr = there(port);

    if (connect(fd, SA(&addr), sizeof addr) != 0)
        die("connect");
    *peer_socket = peer_accept(listener);
    peer_ask("close %d", listener);
    return fd;
}

int connect_peer_nonblocking(int *peer_socket)
{
    int fd = connect_peer(peer_socket);

    set_nonblocking(fd);
    return fd;
}

int accept_peer(int listener, uint16_t port, int *peer_socket)
{
    *peer_socket = peer_connect(port);
    int fd = accept(listener, NULL, NULL);
    if (fd < 0)
        die("accept");
    return fd;
}

enum { ALL_EVENTS = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };

unsigned events_now(int fd)
{
    struct pollfd entry = { .fd = fd, .events = ALL_EVENTS };

    if (poll(&entry, 1, 0) < 0)
        die("poll");
    return (unsigned short) entry.revents;
}

unsigned wait_events(int fd, unsigned events)
{
    struct pollfd entry = { .fd = fd, .events = (short) events };

    if (poll(&entry, 1, PATIENCE_MS) < 0)
        die("poll");
    if (!entry.revents)
        die("no event of %s within %d ms", bits(events), PATIENCE_MS);
    return events_now(fd);
}

void wait_bytes(int fd, int count)
{
    long start = now_ms();
    char *bytes = malloc((size_t) count);
    ssize_t got;

    while ((got = recv(fd, bytes, (size_t) count, MSG_PEEK | MSG_DONTWAIT)) < count) {
        if (now_ms() - start > PATIENCE_MS)
            die("%zd of %d bytes within %d ms", got, count, PATIENCE_MS);
        sleep_ms(1);
    }
    free(bytes);
}

void fill(unsigned char *bytes, size_t count, unsigned long position)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char) ((position + i) % 251);
}

int is_pattern(const unsigned char *bytes, size_t count, unsigned long position)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != (unsigned char) ((position + i) % 251))
            return 0;
    return 1;
}

void send_all(int fd, unsigned long position, size_t count)
{
    unsigned char bytes[16384];

    while (count > 0) {
        size_t part = count < sizeof bytes ? count : sizeof bytes;
        fill(bytes, part, position);
        ssize_t sent = send(fd, bytes, part, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            wait_events(fd, POLLOUT);
            continue;
        }
        if (sent <= 0)
            die("send");
        position += (unsigned long) sent;
        count -= (size_t) sent;
    }
}

long receive_all(int fd, unsigned long position, size_t count)
{
    unsigned char bytes[16384];
    size_t done = 0;

    while (done < count) {
        size_t part = count - done < sizeof bytes ? count - done : sizeof bytes;
        ssize_t got = recv(fd, bytes, part, 0);
        if (got < 0 && errno == EAGAIN) {
            wait_events(fd, POLLIN);
            continue;
        }
        if (got < 0)
            die("recv");
        if (got == 0)
            break;
        if (!is_pattern(bytes, (size_t) got, position + done))
            return -1;
        done += (size_t) got;
    }
    return (long) done;
}

long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(long ms)
{
    struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        ;
}

const char *took(long start, long ms)
{
    static __thread char text[32];
    long passed = now_ms() - start;

    /* The clock above rounds down. */
    if (passed >= ms - 1 && passed < ms + 3000)
        return "in time";
    snprintf(text, sizeof text, "after %ld ms", passed);
    return text;
}

long cpu_ms(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000 +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1000;
}

pthread_t in_thread(void *(*body)(void *), void *arg)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, body, arg) != 0)
        die("pthread_create");
    return thread;
}

struct outcome outcome_of(long value)
{
    return (struct outcome) { .value = value, .error = errno };
}

void say_outcome(const char *what, struct outcome outcome)
{
    errno = outcome.error;
    report(what, outcome.value);
}

static void count_it(int number)
{
    (void) number;
    signals_seen++;
}

void count_signal(int number, int flags)
{
    struct sigaction action = { .sa_handler = count_it, .sa_flags = flags };

    sigaction(number, &action, NULL);
}

struct alarm {
    pthread_t thread;
    int number, ms;
};

static void *ring(void *arg)
{
    struct alarm *alarm = arg;

    sleep_ms(alarm->ms);
    pthread_kill(alarm->thread, alarm->number);
    free(alarm);
    return NULL;
}

void signal_later(pthread_t thread, int number, int ms)
{
    struct alarm *alarm = malloc(sizeof *alarm);
    sigset_t all, before;

    *alarm = (struct alarm) { .thread = thread, .number = number, .ms = ms };
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_detach(in_thread(ring, alarm));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
