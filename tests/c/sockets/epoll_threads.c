/* Several threads waiting on one epoll; EPOLLEXCLUSIVE; changes while waiting. */
#include "test.h"

enum { THREADS = 4, SOCKETS = 40, ROUNDS = 5 };

static int epoll, fds[SOCKETS], slots[SOCKETS];
static int handled[SOCKETS], total;
static int stop;

/* One-shot items: no two threads have the same socket at a time. */
static void *serve(void *arg)
{
    (void) arg;
    while (!__atomic_load_n(&stop, __ATOMIC_SEQ_CST)) {
        struct epoll_event event;
        char byte;
        if (epoll_wait(epoll, &event, 1, 50) != 1)
            continue;
        uint32_t i = event.data.u32;
        if (read(fds[i], &byte, 1) != 1)
            die("read");
        handled[i]++;
        __atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST);
        if (write(fds[i], &byte, 1) != 1)
            die("write");
        event.events = EPOLLIN | EPOLLONESHOT;
        if (epoll_ctl(epoll, EPOLL_CTL_MOD, fds[i], &event) != 0)
            die("epoll_ctl");
    }
    return NULL;
}

static void *wait_one(void *arg)
{
    struct outcome *outcome = arg;
    struct epoll_event event;

    *outcome = OUTCOME(epoll_wait(epoll, &event, 1, 5000));
    return NULL;
}

static void *wait_short(void *arg)
{
    struct outcome *outcome = arg;
    struct epoll_event event;

    *outcome = OUTCOME(epoll_wait(epoll, &event, 1, 300));
    return NULL;
}

static void one_shot(void)
{
    pthread_t threads[THREADS];

    say("# one-shot items shared by threads");
    epoll = epoll_create1(0);
    for (uint32_t i = 0; i < SOCKETS; i++) {
        struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = i };
        fds[i] = connect_peer(&slots[i]);
        epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event);
    }
    for (int i = 0; i < THREADS; i++)
        threads[i] = in_thread(serve, NULL);
    int answered = 0;
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SOCKETS; i++)
            peer_ask("text %d %c", slots[i], 'a' + round);
        for (int i = 0; i < SOCKETS; i++)
            answered += peer_ask("read %d 1", slots[i])[0] == 'a' + round;
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int right = 0;
    for (int i = 0; i < SOCKETS; i++) {
        right += handled[i] == ROUNDS;
        close(fds[i]);
    }
    say("answered: %d, handled: %d, sockets with all: %d", answered, total, right);
    close(epoll);
}

static void changes(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    struct outcome outcome;
    int slot, fd = connect_peer(&slot);

    say("# added while a thread waits");
    epoll = epoll_create1(0);
    pthread_t thread = in_thread(wait_one, &outcome);
    sleep_ms(50);
    event.events = EPOLLOUT;
    R(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    pthread_join(thread, NULL);
    say_outcome("epoll_wait", outcome);

    say("# changed while a thread waits");
    event.events = EPOLLIN;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    thread = in_thread(wait_one, &outcome);
    sleep_ms(50);
    event.events = EPOLLIN | EPOLLOUT;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    pthread_join(thread, NULL);
    say_outcome("epoll_wait", outcome);

    say("# removed while a thread waits");
    event.events = EPOLLIN;
    R(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event));
    thread = in_thread(wait_short, &outcome);
    sleep_ms(50);
    R(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL));
    peer("text %d a", slot);
    pthread_join(thread, NULL);
    say_outcome("epoll_wait", outcome);
    close(fd);
    close(epoll);
}

static void exclusive(void)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE }, got;
    int listener = listener_on(own_port(0), 8), first = epoll_create1(0), second = epoll_create1(0);

    say("# EPOLLEXCLUSIVE");
    R(epoll_ctl(first, EPOLL_CTL_ADD, listener, &event));
    R(epoll_ctl(second, EPOLL_CTL_ADD, listener, &event));
    R(epoll_ctl(first, EPOLL_CTL_MOD, listener, &event));
    event.events = EPOLLIN;
    R(epoll_ctl(first, EPOLL_CTL_MOD, listener, &event));
    event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
    int third = epoll_create1(0);
    R(epoll_ctl(third, EPOLL_CTL_ADD, listener, &event));
    event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP;
    R(epoll_ctl(third, EPOLL_CTL_ADD, listener, &event));
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    R(epoll_ctl(third, EPOLL_CTL_ADD, first, &event));
    peer_connect(own_port(0));
    wait_events(listener, POLLIN);
    say("at least one is told: %d",
        epoll_wait(first, &got, 1, 0) + epoll_wait(second, &got, 1, 0) >= 1);
    close(accept(listener, NULL, NULL));
    R(epoll_ctl(first, EPOLL_CTL_DEL, listener, NULL));
    R(epoll_ctl(second, EPOLL_CTL_DEL, listener, NULL));
}

int main(void)
{
    one_shot();
    changes();
    exclusive();
    return 0;
}
