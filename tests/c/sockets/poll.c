/* poll(2), ppoll(2): what each state of a socket is worth; timeouts, odd entries. */
#include "test.h"

static void show(const char *what, int fd)
{
    say("%s: %s", what, bits(events_now(fd)));
}

int main(void)
{
    int slot, fd = tcp();

    say("# states");
    show("new", fd);
    struct sockaddr_in addr = here(own_port(0));
    R(bind(fd, SA(&addr), sizeof addr));
    show("bound", fd);
    R(listen(fd, 8));
    show("listening", fd);
    peer_connect(own_port(0));
    say("a connection waits: %s", bits(wait_events(fd, POLLIN)));
    close(fd);
    fd = connect_peer(&slot);
    show("connected", fd);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    show("data", fd);

    say("# all the names of readable and writable");
    struct pollfd entries[4] = {
        { .fd = fd, .events = POLLIN | POLLRDNORM | POLLRDBAND | POLLOUT | POLLWRNORM | POLLPRI }
    };
    R(poll(entries, 1, 0));
    say("events: %s", bits((unsigned short) entries[0].revents));
    entries[0].events = 0;
    R(poll(entries, 1, 0));
    say("events: %s", bits((unsigned short) entries[0].revents));

    say("# entries that are none");
    entries[0] = (struct pollfd) { .fd = -1, .events = POLLIN, .revents = 77 };
    entries[1] = (struct pollfd) { .fd = 999, .events = POLLIN };
    entries[2] = (struct pollfd) { .fd = fd, .events = POLLIN };
    entries[3] = (struct pollfd) { .fd = fd, .events = POLLOUT };
    R(poll(entries, 4, 0));
    for (int i = 0; i < 4; i++)
        say("%d: %s", i, bits((unsigned short) entries[i].revents));
    R(poll(entries, 1, 0));
    R(poll(NULL, 0, 0));

    say("# timeouts");
    int quiet, other = connect_peer(&quiet);
    entries[0] = (struct pollfd) { .fd = other, .events = POLLIN };
    long start = now_ms();
    R(poll(entries, 1, 100));
    say("%s", took(start, 100));
    struct timespec time = { .tv_nsec = 60000000 };
    start = now_ms();
    R(ppoll(entries, 1, &time, NULL));
    say("%s, untouched: %ld", took(start, 60), time.tv_nsec);
    time.tv_nsec = 0;
    R(ppoll(entries, 1, &time, NULL));
    time.tv_nsec = -1;
    R(ppoll(entries, 1, &time, NULL));
    start = now_ms();
    R(poll(NULL, 0, 50));
    say("%s", took(start, 50));

    say("# waking");
    peer_after(50, "text %d x", quiet);
    R(poll(entries, 1, 5000));
    say("events: %s", bits((unsigned short) entries[0].revents));
    char byte;
    R(read(other, &byte, 1));
    peer_after(50, "shut %d wr", quiet);
    R(poll(entries, 1, -1));
    say("events: %s", bits((unsigned short) entries[0].revents));
    close(other);
    other = connect_peer(&quiet);
    entries[0] = (struct pollfd) { .fd = other, .events = 0 };
    peer_after(50, "rst %d", quiet);
    R(poll(entries, 1, -1));
    say("events: %s", bits((unsigned short) entries[0].revents));

    say("# many");
    enum { MANY = 100 };
    struct pollfd many[MANY];
    for (int i = 0; i < MANY; i++)
        many[i] = (struct pollfd) { .fd = dup(fd), .events = POLLIN };
    R(poll(many, MANY, 1000));
    return 0;
}
