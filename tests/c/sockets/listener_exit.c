/* A port refuses at once when the process that listened on it has ended. */
#include "test.h"

enum { ROUNDS = 60 };

static pid_t listen_in_child(uint16_t port, int told)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    int listener = listener_on(port, 8);
    int conn = accept(listener, NULL, NULL);
    if (conn < 0)
        die("accept");
    (void) !write(told, "a", 1);
    pause();
    _exit(0);
}

int main(void)
{
    int ready[2], status, refused = 0, answered = 0;

    if (pipe(ready) != 0)
        die("pipe");
    for (int round = 0; round < ROUNDS; round++) {
        uint16_t port = own_port(round);
        int slot = -1;
        char byte;
        pid_t child = listen_in_child(port, ready[1]);
        /* Once it listens. */
        for (int i = 0; i < 2000 && slot < 0; i++) {
            const char *answer = peer_ask("connect %d", port);
            if (answer[0] >= '0' && answer[0] <= '9')
                slot = atoi(answer);
            else
                sleep_ms(1);
        }
        if (read(ready[0], &byte, 1) == 1)
            answered++;
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        refused += !strcmp(peer_ask("connect %d", port), "ECONNREFUSED");
        peer_ask("close %d", slot);
    }
    say("answered: %d, refused: %d", answered, refused);
    return 0;
}
