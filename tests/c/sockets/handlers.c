/* Signal handlers that use sockets themselves while a call waits. */
#include <sys/time.h>

#include "test.h"

static int fd, slot;

static void answer(int number)
{
    int before = errno;

    (void) number;
    (void) !write(fd, "alarm", 5);
    errno = before;
}

int main(void)
{
    struct sigaction action = { .sa_handler = answer, .sa_flags = SA_RESTART };
    char text[16];

    fd = connect_peer(&slot);
    sigaction(SIGUSR1, &action, NULL);

    say("# under a read, restarted");
    signal_later(pthread_self(), SIGUSR1, 40);
    peer_after(120, "text %d abc", slot);
    R(read(fd, text, sizeof text));
    peer("read %d 5", slot);

    say("# under a read, interrupted");
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, NULL);
    signal_later(pthread_self(), SIGUSR1, 40);
    R(read(fd, text, sizeof text));
    peer("read %d 5", slot);

    say("# under poll");
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    signal_later(pthread_self(), SIGUSR1, 40);
    R(poll(&entry, 1, 3000));
    peer("read %d 5", slot);

    say("# a timer while much is sent and received");
    count_signal(SIGALRM, SA_RESTART);
    int second, other = connect_peer(&second);
    struct itimerval often = { .it_interval.tv_usec = 2000, .it_value.tv_usec = 2000 };
    peer_after(0, "echo %d", second);
    setitimer(ITIMER_REAL, &often, NULL);
    int wrong = 0;
    for (unsigned long position = 0; position < 2000000; position += 5000) {
        send_all(other, position, 5000);
        wrong += receive_all(other, position, 5000) != 5000;
    }
    memset(&often, 0, sizeof often);
    setitimer(ITIMER_REAL, &often, NULL);
    say("wrong: %d, signals: %d", wrong, signals_seen > 0);
    return 0;
}
