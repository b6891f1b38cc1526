/* shutdown(2) while another thread waits on the socket. */
#include "test.h"

struct waiter {
    int fd;
    struct outcome outcome;
};

static void *reading(void *arg)
{
    struct waiter *waiter = arg;
    char text[16];

    waiter->outcome = OUTCOME(recv(waiter->fd, text, sizeof text, 0));
    return NULL;
}

static void *writing(void *arg)
{
    struct waiter *waiter = arg;
    char *much = calloc(1, 64 << 20);

    /* The first takes what goes, the second what the end does. */
    (void) !send(waiter->fd, much, 64 << 20, MSG_NOSIGNAL);
    waiter->outcome = OUTCOME(send(waiter->fd, much, 1, MSG_NOSIGNAL));
    free(much);
    return NULL;
}

static void *polling(void *arg)
{
    struct waiter *waiter = arg;
    struct pollfd entry = { .fd = waiter->fd, .events = POLLIN | POLLRDHUP };

    poll(&entry, 1, 5000);
    waiter->outcome = (struct outcome) { .value = entry.revents };
    return NULL;
}

static void with(const char *what, void *(*body)(void *), int how)
{
    int slot;
    struct waiter waiter = { .fd = connect_peer(&slot) };
    pthread_t thread = in_thread(body, &waiter);

    say("# %s", what);
    sleep_ms(100);
    R(shutdown(waiter.fd, how));
    pthread_join(thread, NULL);
    if (body == polling)
        say("events: %s", bits((unsigned) waiter.outcome.value));
    else
        say_outcome("then", waiter.outcome);
    close(waiter.fd);
}

int main(void)
{
    with("SHUT_RD under a read", reading, SHUT_RD);
    with("SHUT_RDWR under a read", reading, SHUT_RDWR);
    with("SHUT_WR under a write", writing, SHUT_WR);
    with("SHUT_RDWR under a write", writing, SHUT_RDWR);
    with("SHUT_RD under poll", polling, SHUT_RD);
    with("SHUT_RDWR under poll", polling, SHUT_RDWR);
    return 0;
}
