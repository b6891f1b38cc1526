/* A program that ends without a word right after reading: if it has read all,
 * the peer sees an end, otherwise a reset. */
#include "test.h"

enum { MUCH = 200000 };

static void leave(void)
{
    _exit(0);
}

static void kill_oneself(void)
{
    raise(SIGKILL);
}

static void fault(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

/* A child that reads `reads` of `sent` bytes, and ends. */
static void try(const char *what, int sent, int reads, void (*end)(void))
{
    uint16_t port;
    int listener = peer_listen(4, &port), ready[2], status;
    char byte;

    say("# %s: %d of %d bytes", what, reads, sent);
    if (pipe(ready) != 0)
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        struct sockaddr_in addr = there(port);
        int fd = tcp();
        static unsigned char bytes[MUCH];
        if (connect(fd, SA(&addr), sizeof addr) != 0)
            die("connect");
        for (int got = 0; got < reads;) {
            ssize_t n = read(fd, bytes, (size_t) (reads - got));
            if (n <= 0 || !is_pattern(bytes, (size_t) n, (unsigned long) got))
                die("read");
            got += (int) n;
        }
        if (reads < sent)
            wait_bytes(fd, 1);
        (void) !write(ready[1], "a", 1);
        end();
    }
    int slot = peer_accept(listener);
    peer("send %d %d", slot, sent);
    R(read(ready[0], &byte, 1));
    waitpid(child, &status, 0);
    close(ready[0]);
    close(ready[1]);
    peer("eof %d", slot);
    peer_ask("close %d", slot);
}

int main(void)
{
    try("_exit", 1, 1, leave);
    try("_exit", 1000, 1000, leave);
    try("_exit", 1000, 999, leave);
    try("_exit", 1000, 0, leave);
    try("_exit", MUCH, MUCH, leave);
    try("killed", 1000, 1000, kill_oneself);
    try("killed", 1000, 500, kill_oneself);
    try("killed", MUCH, MUCH, kill_oneself);
    try("fault", 5000, 5000, fault);
    try("abort", 5000, 5000, abort);
    return 0;
}
