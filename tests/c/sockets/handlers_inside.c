/* Signals that come while a thread is inside calls on sockets that do not wait:
 * their handlers may do with sockets what they like (signal-safety(7)). */
#include "test.h"

static int fd, slot, other, other_slot, third;
static pthread_t main_thread;
static volatile sig_atomic_t wrong, stage;
static volatile long sum;
static volatile int over;

enum { SIGNALS = 1500, VALUES = 1000 };

#define EXPECT(what, condition) \
    do { \
        if (!(condition) && !wrong) { \
            wrong = errno ? errno : -1; \
            stage = what; \
        } \
    } while (0)

/* What POSIX lets a handler call, on another socket and on the same. */
static void use(int number)
{
    int before = errno, on = 1;
    socklen_t len = sizeof on;
    char byte;
    struct pollfd entry = { .fd = other, .events = POLLOUT };

    (void) number;
    errno = 0;
    EXPECT(1, write(other, "x", 1) == 1);
    EXPECT(2, recv(other, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    /* Ready or not: that is the peer's doing. */
    EXPECT(3, poll(&entry, 1, 0) >= 0);
    EXPECT(4, setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    EXPECT(5, getsockopt(fd, SOL_SOCKET, SO_ERROR, &on, &len) == 0 && on == 0);
    int copy = dup(fd);
    EXPECT(6, copy >= 0);
    EXPECT(7, close(copy) == 0);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    EXPECT(8, made >= 0);
    EXPECT(9, close(made) == 0);
    signals_seen++;
    errno = before;
}

static void add(int number, siginfo_t *info, void *context)
{
    (void) number;
    (void) context;
    sum += info->si_value.sival_int;
}

static void leave(int number)
{
    (void) number;
    EXPECT(10, close(third) == 0);
    signals_seen++;
}

static void *send_signals(void *arg)
{
    sigset_t all;

    (void) arg;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < SIGNALS; i++) {
        int seen = signals_seen;
        pthread_kill(main_thread, SIGUSR1);
        for (int j = 0; seen == signals_seen && j < 10000000; j++)
            ;
        for (volatile int j = 0; j < i % 977; j++)
            ;
    }
    over = 1;
    return NULL;
}

static void *send_values(void *arg)
{
    (void) arg;
    for (int i = 1; i <= VALUES; i++) {
        union sigval value = { .sival_int = i };
        while (pthread_sigqueue(main_thread, SIGRTMIN, value) != 0)
            ;
        for (volatile int j = 0; j < i % 977; j++)
            ;
    }
    over = 1;
    return NULL;
}

/* Calls that do not wait. */
static void work(void)
{
    char bytes[64];
    struct pollfd entry = { .fd = fd, .events = POLLIN };

    while (!over) {
        send(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        poll(&entry, 1, 0);
    }
}

int main(void)
{
    struct sigaction action = { .sa_handler = use, .sa_flags = SA_RESTART }, had;
    pthread_t thread;

    fd = connect_peer(&slot);
    other = connect_peer(&other_slot);
    peer_after(0, "drain %d", slot);
    peer_after(0, "drain %d", other_slot);
    main_thread = pthread_self();

    say("# handlers that use sockets");
    sigaction(SIGUSR1, &action, NULL);
    thread = in_thread(send_signals, NULL);
    work();
    pthread_join(thread, NULL);
    say("some ran: %d, wrong: %s in %d", signals_seen > 100,
        wrong > 0 ? error_name(wrong) : wrong ? "result" : "none", (int) stage);

    say("# nothing of a queued signal is lost");
    over = 0;
    action.sa_sigaction = add;
    action.sa_flags = SA_RESTART | SA_SIGINFO;
    sigaction(SIGRTMIN, &action, NULL);
    thread = in_thread(send_values, NULL);
    work();
    pthread_join(thread, NULL);
    say("sum: %ld", sum);

    say("# a handler that closes the socket under the call");
    third = connect_peer(&slot);
    action.sa_handler = leave;
    action.sa_flags = SA_RESETHAND;
    sigaction(SIGUSR2, &action, NULL);
    signals_seen = 0;
    signal_later(main_thread, SIGUSR2, 20);
    char byte;
    while (recv(third, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN)
        ;
    say("%s, signals: %d", error_name(errno), (int) signals_seen);

    say("# handlers are the program's");
    sigaction(SIGUSR2, NULL, &had);
    say("reset: %d", had.sa_handler == SIG_DFL);
    sigaction(SIGUSR1, NULL, &had);
    say("kept: %d, flags: %d", had.sa_handler == use, had.sa_flags == SA_RESTART);
    say("signal returns it: %d", signal(SIGUSR1, SIG_IGN) == use);
    say("ignored: %d", signal(SIGUSR1, leave) == SIG_IGN);
    say("the last one: %d", signal(SIGUSR1, SIG_DFL) == leave);
    sigaction(SIGRTMIN, NULL, &had);
    say("with SA_SIGINFO: %d", had.sa_sigaction == add && (had.sa_flags & SA_SIGINFO) != 0);
    R(sigaction(SIGKILL, &action, NULL));
    R(sigaction(1000, &action, NULL));
    return 0;
}
