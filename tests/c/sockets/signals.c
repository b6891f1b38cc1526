/* Signals under blocking calls: EINTR, and SA_RESTART where it applies. */
#include "test.h"

static int fd, slot, listener, epoll;
static char *much;
enum { MUCH = 64 << 20 };

static long do_read(void) { char b[8]; return read(fd, b, sizeof b); }
static long do_recv(void) { char b[8]; return recv(fd, b, sizeof b, 0); }
static long do_accept(void) { return accept(listener, NULL, NULL) < 0 ? -1 : 0; }
static long do_poll(void) { struct pollfd p = { .fd = fd, .events = POLLIN }; return poll(&p, 1, 2000); }
static long do_epoll(void) { struct epoll_event e; return epoll_wait(epoll, &e, 1, 2000); }
static long do_select(void)
{
    fd_set set;
    struct timeval time = { .tv_sec = 2 };

    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &time);
}
static long do_recvmsg(void)
{
    char bytes[8];
    struct iovec part = { bytes, sizeof bytes };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    return recvmsg(fd, &message, 0);
}

/* Interrupts the main thread; what ends its call comes when the handler has run. */
static pthread_t main_thread;

static void *interrupt(void *arg)
{
    const char *later = arg;
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    sleep_ms(40);
    pthread_kill(main_thread, SIGUSR1);
    for (int i = 0; i < 3000 && !signals_seen; i++)
        sleep_ms(1);
    sleep_ms(40);
    if (later)
        peer_ask("%s", later);
    return NULL;
}

static void try(const char *what, long (*call)(void), int flags, char *later)
{
    count_signal(SIGUSR1, flags);
    signals_seen = 0;
    main_thread = pthread_self();
    pthread_t thread = in_thread(interrupt, later);
    errno = 0;
    report(what, call());
    say("signals: %d", (int) signals_seen);
    pthread_join(thread, NULL);
}

int main(void)
{
    char text[64], start[64];
    struct epoll_event event = { .events = EPOLLIN };

    fd = connect_peer(&slot);
    listener = listener_on(own_port(0), 8);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    snprintf(text, sizeof text, "text %d abc", slot);
    snprintf(start, sizeof start, "start %d", own_port(0));

    say("# without SA_RESTART");
    try("read", do_read, 0, NULL);
    try("recv", do_recv, 0, NULL);
    try("recvmsg", do_recvmsg, 0, NULL);
    try("accept", do_accept, 0, NULL);
    try("poll", do_poll, 0, NULL);
    try("select", do_select, 0, NULL);
    try("epoll_wait", do_epoll, 0, NULL);

    say("# with SA_RESTART");
    try("read", do_read, SA_RESTART, text);
    try("recv", do_recv, SA_RESTART, text);
    try("recvmsg", do_recvmsg, SA_RESTART, text);
    try("accept", do_accept, SA_RESTART, start);
    try("poll", do_poll, SA_RESTART, NULL);
    try("select", do_select, SA_RESTART, NULL);
    try("epoll_wait", do_epoll, SA_RESTART, NULL);

    say("# a timeout of the socket: never restarted");
    struct timeval time = { .tv_sec = 2 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    try("read", do_read, SA_RESTART, NULL);
    try("accept", do_accept, SA_RESTART, NULL);
    time.tv_sec = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);

    say("# ignored ones do not disturb");
    signal(SIGUSR1, SIG_IGN);
    signal_later(pthread_self(), SIGUSR1, 30);
    peer_after(100, "%s", text);
    R(do_read());
    signal_later(pthread_self(), SIGUSR1, 30);
    peer_after(100, "%s", text);
    R(do_epoll());
    R(do_read());

    say("# blocked ones wait");
    sigset_t set, before;
    count_signal(SIGUSR1, 0);
    signals_seen = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    signal_later(pthread_self(), SIGUSR1, 30);
    peer_after(100, "%s", text);
    R(do_read());
    say("signals: %d", (int) signals_seen);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    say("signals: %d", (int) signals_seen);

    say("# under a write: what went, or EINTR");
    much = calloc(1, MUCH);
    count_signal(SIGUSR1, 0);
    signal_later(pthread_self(), SIGUSR1, 150);
    ssize_t sent = write(fd, much, MUCH);
    say("part: %d", sent > 0 && sent < MUCH);
    do {
        signal_later(pthread_self(), SIGUSR1, 150);
        sent = write(fd, much, MUCH);
    } while (sent > 0);
    say("then: %s", error_name(errno));

    return 0;
}
