/* Processes that use one connection at the same time: nothing is lost, and
 * nothing comes twice. */
#include "test.h"

enum { WRITERS = 3, RECORDS = 400, RECORD = 700, MUCH = 600000 };

/* The children end well. */
static int all_end(int children)
{
    int status, well = 0;

    for (int i = 0; i < children; i++)
        if (wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            well++;
    return well;
}

static void write_records(int fd, int byte)
{
    unsigned char record[RECORD];

    memset(record, byte, RECORD);
    for (int i = 0; i < RECORDS; i++)
        if (write(fd, record, RECORD) != RECORD)
            die("write");
}

/* Reads to the end; tells how many bytes, and their sum. */
static void read_all(int fd, int told)
{
    static unsigned char bytes[5000];
    long sums[2] = { 0, 0 };
    ssize_t n;

    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        sums[0] += n;
        for (ssize_t i = 0; i < n; i++)
            sums[1] += bytes[i];
    }
    if (n != 0 || write(told, sums, sizeof sums) != sizeof sums)
        die("read");
}

static void several_send(void)
{
    int slot, fd = connect_peer(&slot), told[2];
    long sums[2];

    say("# %d processes send, another receives what comes back", WRITERS);
    if (pipe(told) != 0)
        die("pipe");
    peer_after(0, "echo %d", slot);
    if (fork() == 0) {
        alarm(25);
        read_all(fd, told[1]);
        _exit(0);
    }
    for (int i = 0; i < WRITERS; i++)
        if (fork() == 0) {
            alarm(25);
            write_records(fd, i + 1);
            if (write(told[1], "", 1) != 1)
                die("tell");
            _exit(0);
        }
    for (int i = 0; i < WRITERS; i++)
        if (read(told[0], sums, 1) != 1)
            die("told");
    R(shutdown(fd, SHUT_WR));
    if (read(told[0], sums, sizeof sums) != sizeof sums)
        die("told");
    say("bytes: %ld, sum: %ld", sums[0], sums[1]);
    say("ended: %d", all_end(WRITERS + 1));
    close(fd);
}

static void several_receive(void)
{
    int slot, fd = connect_peer(&slot), told[2];
    long all[2] = { 0, 0 }, sums[2], expected = 0;

    say("# two processes receive");
    if (pipe(told) != 0)
        die("pipe");
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            alarm(25);
            read_all(fd, told[1]);
            _exit(0);
        }
    close(fd);
    peer("send %d %d", slot, MUCH);
    peer("shut %d wr", slot);
    for (int i = 0; i < 2; i++) {
        if (read(told[0], sums, sizeof sums) != sizeof sums)
            die("told");
        all[0] += sums[0];
        all[1] += sums[1];
    }
    for (long i = 0; i < MUCH; i++)
        expected += i % 251;
    say("bytes: %ld, as they were sent: %d", all[0], all[1] == expected);
    say("ended: %d", all_end(2));
    peer("eof %d", slot);
}

static void both_ways(void)
{
    int slot, fd = connect_peer(&slot);
    static unsigned char bytes[RECORD];
    long got = 0;
    ssize_t n;

    say("# one sends, the other receives");
    peer_after(0, "echo %d", slot);
    if (fork() == 0) {
        alarm(25);
        for (int i = 0; i < RECORDS; i++) {
            fill(bytes, RECORD, (unsigned long) i * RECORD);
            if (write(fd, bytes, RECORD) != RECORD)
                die("write");
        }
        shutdown(fd, SHUT_WR);
        _exit(0);
    }
    while ((n = read(fd, bytes, sizeof bytes)) > 0) {
        if (!is_pattern(bytes, (size_t) n, (unsigned long) got))
            die("wrong bytes at %ld", got);
        got += n;
    }
    say("all of it: %d, then %zd", got == (long) RECORDS * RECORD, n);
    say("ended: %d", all_end(1));
}

/* The process that waits is told though another has used the connection since. */
static void wait_for_what_comes(int with_epoll)
{
    int slot, fd = connect_peer(&slot), ready[2];
    char byte;

    say("# one waits in %s, the other sends", with_epoll ? "epoll_wait" : "poll");
    if (pipe(ready) != 0)
        die("pipe");
    fflush(stdout);
    if (fork() == 0) {
        alarm(25);
        struct epoll_event event = { .events = EPOLLIN };
        struct pollfd entry = { .fd = fd, .events = POLLIN };
        int epfd = epoll_create1(0);
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) != 0 || write(ready[1], "a", 1) != 1)
            die("epoll");
        say("told: %d", with_epoll ? epoll_wait(epfd, &event, 1, 10000) : poll(&entry, 1, 10000));
        char text[8] = "";
        R(read(fd, text, sizeof text));
        say("%s", text);
        fflush(stdout);
        _exit(0);
    }
    R(read(ready[0], &byte, 1));
    fflush(stdout);
    sleep_ms(50);
    if (write(fd, "parent", 6) != 6 || strcmp(peer_ask("read %d 6", slot), "parent"))
        die("write");
    peer_ask("text %d back", slot);
    say("ended: %d", all_end(1));
    R(close(fd));
    peer("eof %d", slot);
}

int main(void)
{
    several_send();
    several_receive();
    both_ways();
    wait_for_what_comes(0);
    wait_for_what_comes(1);
    return 0;
}
