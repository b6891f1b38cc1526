/* A process for each connection: the child uses it, the parent closes it. */
#include "test.h"

enum { CONNECTIONS = 20 };

static void echo(int fd)
{
    char text[4096];
    ssize_t got;

    while ((got = read(fd, text, sizeof text)) > 0)
        if (write(fd, text, (size_t) got) != got)
            die("write");
    _exit(got == 0 ? 0 : 1);
}

int main(void)
{
    int listener = listener_on(own_port(0), 64), slots[CONNECTIONS], status, ended = 0;
    pid_t children[CONNECTIONS];

    say("# accepted by the parent, served by a child");
    for (int i = 0; i < CONNECTIONS; i++) {
        int fd = accept_peer(listener, own_port(0), &slots[i]);
        /* In some, data is there before the child is. */
        if (i % 2)
            peer_ask("text %d before", slots[i]);
        if ((children[i] = fork()) == 0) {
            close(listener);
            alarm(20);
            echo(fd);
        }
        close(fd);
    }
    int answered = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        if (i % 2)
            answered += !strcmp(peer_ask("read %d 6", slots[i]), "before");
        peer_ask("text %d hello", slots[i]);
        answered += !strcmp(peer_ask("read %d 5", slots[i]), "hello");
    }
    say("answered: %d", answered);
    for (int i = 0; i < CONNECTIONS; i++)
        peer_ask("shut %d wr", slots[i]);
    int ends = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        ends += !strcmp(peer_ask("eof %d", slots[i]), "eof");
        waitpid(children[i], &status, 0);
        ended += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    say("ends: %d, ended: %d", ends, ended);

    say("# the connection stays open until the last holder closes it");
    int slot, fd = connect_peer(&slot), go[2];
    char byte;
    if (pipe(go) != 0)
        die("pipe");
    pid_t child = fork();
    if (child == 0) {
        close(go[1]);
        if (read(go[0], &byte, 1) != 1 || write(fd, "child", 5) != 5)
            die("child");
        _exit(0);
    }
    R(write(fd, "parent", 6));
    peer("read %d 6", slot);
    R(close(fd));
    R(write(go[1], "a", 1));
    peer("read %d 10", slot);
    waitpid(child, &status, 0);
    say("status: %d", status);

    say("# the child ends, the parent goes on");
    fd = connect_peer(&slot);
    child = fork();
    if (child == 0) {
        if (write(fd, "child", 5) != 5)
            die("child");
        _exit(0);
    }
    waitpid(child, &status, 0);
    say("status: %d", status);
    peer("read %d 5", slot);
    R(write(fd, "parent", 6));
    peer("read %d 6", slot);
    peer("text %d back", slot);
    char text[16] = "";
    R(read(fd, text, sizeof text));
    say("text: %s", text);

    say("# a child that does not touch it");
    child = fork();
    if (child == 0)
        _exit(0);
    waitpid(child, &status, 0);
    R(write(fd, "still", 5));
    peer("read %d 5", slot);

    say("# in turns");
    for (int turn = 0; turn < 3; turn++) {
        child = fork();
        if (child == 0) {
            char c;
            if (read(fd, &c, 1) != 1 || write(fd, &c, 1) != 1)
                die("child");
            _exit(0);
        }
        peer("text %d %c", slot, 'x' + turn);
        peer("read %d 1", slot);
        waitpid(child, &status, 0);
    }
    R(close(fd));
    peer("eof %d", slot);
    return 0;
}
