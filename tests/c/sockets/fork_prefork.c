/* Servers that fork after listen: parent and children accept. */
#include "test.h"

enum { CHILDREN = 4, CONNECTIONS = 40 };

static void serve(int listener)
{
    for (;;) {
        char text[16];
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            die("accept");
        ssize_t got = read(fd, text, sizeof text);
        if (got > 0 && text[0] == 'q')
            _exit(0);
        if (got > 0 && write(fd, text, (size_t) got) != got)
            die("write");
        close(fd);
    }
}

static int ask_all(int count)
{
    int slots[CONNECTIONS], answered = 0;

    for (int i = 0; i < count; i++) {
        slots[i] = peer_connect(own_port(0));
        peer_ask("text %d hello", slots[i]);
    }
    for (int i = 0; i < count; i++) {
        answered += !strcmp(peer_ask("read %d 6", slots[i]), "hello eof");
        peer_ask("close %d", slots[i]);
    }
    return answered;
}

int main(void)
{
    int listener = listener_on(own_port(0), 64), status, ended = 0;
    pid_t children[CHILDREN];

    say("# children accept");
    for (int i = 0; i < CHILDREN; i++)
        if ((children[i] = fork()) == 0) {
            alarm(20);
            serve(listener);
        }
    say("answered: %d", ask_all(CONNECTIONS));

    say("# two of them are killed");
    for (int i = 0; i < 2; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], &status, 0);
    }
    sleep_ms(50);
    say("answered: %d", ask_all(CONNECTIONS));

    say("# the parent closes the listener");
    close(listener);
    say("answered: %d", ask_all(CONNECTIONS));

    say("# the rest end when told");
    for (int i = 2; i < CHILDREN; i++)
        peer_ask("text %d q", peer_connect(own_port(0)));
    for (int i = 2; i < CHILDREN; i++) {
        waitpid(children[i], &status, 0);
        ended += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    say("ended: %d", ended);
    peer_is_refused(own_port(0));

    say("# a parent that has accepted itself before");
    listener = listener_on(own_port(1), 8);
    int slot = peer_connect(own_port(1));
    R(close(accept(listener, NULL, NULL)));
    peer("eof %d", slot);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        serve(listener);
    }
    close(listener);
    slot = peer_connect(own_port(1));
    peer_ask("text %d hello", slot);
    say("answered: %d", !strcmp(peer_ask("read %d 6", slot), "hello eof"));
    peer_ask("text %d q", peer_connect(own_port(1)));
    waitpid(child, &status, 0);
    say("ended: %d", WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
