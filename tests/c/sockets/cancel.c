/* Threads that are cancelled in calls on sockets (pthreads(7)). */
#include <semaphore.h>

#include "test.h"

static int fd, slot, listener, epoll;
static char *much;
enum { MUCH = 64 << 20 };

static void do_read(void) { char b[8]; (void) !read(fd, b, sizeof b); }
static void do_recv(void) { char b[8]; recv(fd, b, sizeof b, 0); }
static void do_wait_all(void) { char b[8]; recv(fd, b, sizeof b, MSG_WAITALL); }
static void do_readv(void)
{
    char bytes[8];
    struct iovec part = { bytes, sizeof bytes };

    (void) !readv(fd, &part, 1);
}
static void do_recvmsg(void)
{
    char bytes[8];
    struct iovec part = { bytes, sizeof bytes };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    recvmsg(fd, &message, 0);
}
static void do_accept(void) { accept(listener, NULL, NULL); }
static void do_poll(void) { struct pollfd p = { .fd = fd, .events = POLLIN }; poll(&p, 1, -1); }
static void do_ppoll(void)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };
    struct timespec time = { .tv_sec = 20 };
    sigset_t none;

    sigemptyset(&none);
    ppoll(&entry, 1, &time, &none);
}
static void do_select(void)
{
    fd_set set;

    FD_ZERO(&set);
    FD_SET(fd, &set);
    select(fd + 1, &set, NULL, NULL, NULL);
}
static void do_epoll(void) { struct epoll_event e; epoll_wait(epoll, &e, 1, -1); }
static void do_write(void) { while (write(fd, much, MUCH) > 0) ; }
static void do_connect(void)
{
    /* Answers nothing. */
    struct sockaddr_in silent = address("10.77.0.99", 9);

    connect(fd, SA(&silent), sizeof silent);
}
static void do_nothing(void) { }

struct body {
    void (*call)(void);
    int state, type;
    /* Cancelled before the call. */
    int before;
    volatile int cleaned, returned;
    sem_t ready, go;
};

static void cleanup(void *arg)
{
    ((struct body *) arg)->cleaned = 1;
}

static void *run(void *arg)
{
    struct body *body = arg;

    pthread_setcancelstate(body->state, NULL);
    pthread_setcanceltype(body->type, NULL);
    pthread_cleanup_push(cleanup, body);
    sem_post(&body->ready);
    if (body->before) {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
        sem_wait(&body->go);
        pthread_setcancelstate(body->state, NULL);
    }
    body->call();
    body->returned = 1;
    pthread_cleanup_pop(0);
    return body;
}

static struct body *start(void (*call)(void), int state, int type, int before, pthread_t *thread)
{
    struct body *body = calloc(1, sizeof *body);

    *body = (struct body) { .call = call, .state = state, .type = type, .before = before };
    sem_init(&body->ready, 0, 0);
    sem_init(&body->go, 0, 0);
    if (pthread_create(thread, NULL, run, body) != 0)
        die("no thread");
    sem_wait(&body->ready);
    return body;
}

static void end(const char *what, struct body *body, pthread_t thread)
{
    void *result;

    pthread_join(thread, &result);
    say("%s: %s, cleaned up: %d, returned: %d", what,
        result == PTHREAD_CANCELED ? "cancelled" : "ended", body->cleaned, body->returned);
    free(body);
}

static void try(const char *what, void (*call)(void), int type, int ms)
{
    pthread_t thread;
    struct body *body = start(call, PTHREAD_CANCEL_ENABLE, type, 0, &thread);

    sleep_ms(ms);
    pthread_cancel(thread);
    end(what, body, thread);
}

/* The socket works as before. */
static void check(const char *text)
{
    char bytes[8] = "";

    peer("text %d %s", slot, text);
    R(recv(fd, bytes, strlen(text), MSG_WAITALL));
    say("%s", bytes);
}

static const struct { const char *name; void (*call)(void); } receiving[] = {
    { "read", do_read }, { "recv", do_recv }, { "MSG_WAITALL", do_wait_all },
    { "readv", do_readv }, { "recvmsg", do_recvmsg },
    { "poll", do_poll }, { "ppoll", do_ppoll }, { "select", do_select },
    { "epoll_wait", do_epoll }, { "accept", do_accept },
};

int main(void)
{
    struct epoll_event event = { .events = EPOLLIN };
    pthread_t thread;
    struct body *body;

    fd = connect_peer(&slot);
    listener = listener_on(own_port(0), 8);
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);

    say("# while they wait");
    for (size_t i = 0; i < COUNT(receiving); i++) {
        try(receiving[i].name, receiving[i].call, PTHREAD_CANCEL_DEFERRED, 60);
        check("abc");
    }
    say("# just begun");
    for (int i = 0; i < 200; i++) {
        body = start(do_read, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 0, &thread);
        pthread_cancel(thread);
        void *result;
        pthread_join(thread, &result);
        if (result != PTHREAD_CANCELED || !body->cleaned)
            say("not cancelled");
        free(body);
    }
    check("def");

    say("# of the asynchronous type");
    for (size_t i = 0; i < COUNT(receiving); i++)
        try(receiving[i].name, receiving[i].call, PTHREAD_CANCEL_ASYNCHRONOUS, 30);
    check("ghi");

    say("# before the call, though something is there");
    peer("text %d jkl", slot);
    wait_bytes(fd, 3);
    for (size_t i = 0; i < COUNT(receiving); i++) {
        body = start(receiving[i].call, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 1,
            &thread);
        pthread_cancel(thread);
        sem_post(&body->go);
        end(receiving[i].name, body, thread);
    }
    char bytes[8] = "";
    R(read(fd, bytes, sizeof bytes));
    say("%s", bytes);

    say("# disabled");
    body = start(do_read, PTHREAD_CANCEL_DISABLE, PTHREAD_CANCEL_DEFERRED, 0, &thread);
    sleep_ms(50);
    pthread_cancel(thread);
    sleep_ms(50);
    say("returned: %d", body->returned);
    peer("text %d m", slot);
    end("read", body, thread);

    say("# beside others that wait for the same");
    struct body *other;
    pthread_t waits;
    body = start(do_poll, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 0, &thread);
    other = start(do_poll, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 0, &waits);
    sleep_ms(50);
    pthread_cancel(thread);
    end("poll", body, thread);
    peer("text %d n", slot);
    end("poll", other, waits);
    R(read(fd, bytes, sizeof bytes));
    body = start(do_epoll, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 0, &thread);
    sleep_ms(50);
    other = start(do_epoll, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 0, &waits);
    sleep_ms(50);
    pthread_cancel(thread);
    end("epoll_wait", body, thread);
    peer("text %d o", slot);
    end("epoll_wait", other, waits);
    R(read(fd, bytes, sizeof bytes));

    say("# calls that are no cancellation points");
    int on = 1;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    body = start(do_nothing, PTHREAD_CANCEL_ENABLE, PTHREAD_CANCEL_DEFERRED, 1, &thread);
    pthread_cancel(thread);
    R(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    sem_post(&body->go);
    end("nothing", body, thread);

    say("# a write that waits for room");
    much = calloc(1, MUCH);
    try("write", do_write, PTHREAD_CANCEL_DEFERRED, 200);
    close(fd);

    say("# connect");
    fd = tcp();
    try("connect", do_connect, PTHREAD_CANCEL_DEFERRED, 60);
    R(close(fd));
    R(close(listener));
    R(close(epoll));
    return 0;
}
