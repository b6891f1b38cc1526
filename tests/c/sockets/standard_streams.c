/* The standard streams of the C library on sockets. */
#include "test.h"

static int saved[3];

static void put(int fd, int as)
{
    fflush(NULL);
    saved[as] = dup(as);
    if (dup2(fd, as) != as)
        die("dup2");
}

static void put_back(int as)
{
    fflush(NULL);
    if (dup2(saved[as], as) != as)
        die("dup2 back");
    close(saved[as]);
}

static void output(int fd, int slot)
{
    say("# output");
    put(fd, STDOUT_FILENO);
    printf("hello %d", 42);
    fputs(" there", stdout);
    putchar('!');
    put_back(STDOUT_FILENO);
    peer("read %d 15", slot);

    say("# what was printed before goes where the descriptor goes");
    fflush(stdout);
    saved[1] = dup(STDOUT_FILENO);
    printf("early");
    dup2(fd, STDOUT_FILENO);
    printf(" and late");
    put_back(STDOUT_FILENO);
    peer("read %d 14", slot);

    say("# closed, and its number taken");
    fflush(stdout);
    saved[1] = dup(STDOUT_FILENO);
    close(STDOUT_FILENO);
    if (dup(fd) != STDOUT_FILENO)
        die("dup");
    printf("taken");
    put_back(STDOUT_FILENO);
    peer("read %d 5", slot);
}

static void errors(int fd, int slot)
{
    say("# errors");
    put(fd, STDERR_FILENO);
    errno = ENOENT;
    perror("first");
    fprintf(stderr, "second");
    put_back(STDERR_FILENO);
    peer("read %d 32", slot);
    peer("recv %d 1", slot);
    peer("read %d 6", slot);
}

static void input(int fd, int slot)
{
    char line[64] = "";
    int a = 0, b = 0;
    say("# input");
    peer("text %d 17,25.rest", slot);
    peer("shut %d wr", slot);
    put(fd, STDIN_FILENO);
    R(scanf("%d,%d.", &a, &b));
    say("%d and %d", a, b);
    say("%s", fgets(line, sizeof line, stdin));
    R(getchar());
    say("at the end: %d", feof(stdin) != 0);
    put_back(STDIN_FILENO);
}

/* What a process prints that never flushes, and does not end before it is told. */
static void buffered(int fd, int mode, const char *text, const char *peers, int slot)
{
    int told[2], status;
    char byte;

    fflush(NULL);
    if (pipe(told) != 0)
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        close(told[1]);
        setvbuf(stdout, NULL, mode, 0);
        dup2(fd, STDOUT_FILENO);
        fputs(text, stdout);
        _exit(read(told[0], &byte, 1) < 0);
    }
    close(told[0]);
    peer(peers, slot);
    close(told[1]);
    waitpid(child, &status, 0);
    say("ended with %d", status);
}

static void at_exit(int fd, int slot)
{
    say("# written when the process ends");
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd, STDOUT_FILENO);
        printf("last words");
        exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    say("ended with %d", status);
    peer("read %d 10", slot);
}

int main(void)
{
    int slot, fd = connect_peer(&slot);
    output(fd, slot);
    errors(fd, slot);
    say("# not buffered, and by lines, as setvbuf() said before");
    buffered(fd, _IONBF, "at once", "read %d 7", slot);
    buffered(fd, _IOLBF, "a line\n", "recv %d 7", slot);
    at_exit(fd, slot);
    input(fd, slot);
    R(close(fd));
    peer("eof %d", slot);
    return 0;
}
