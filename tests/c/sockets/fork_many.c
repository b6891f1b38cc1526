/* 200 children, each with sockets of its own, while the parent goes on. */
#include "test.h"

enum { CHILDREN = 200, AT_ONCE = 8 };

int main(void)
{
    uint16_t port;
    int listener = peer_listen(64, &port), slot, fd = connect_peer(&slot), good = 0, status;

    for (int i = 0; i < CHILDREN / AT_ONCE; i++) {
        int slots[AT_ONCE], killed = 1;
        for (int j = 0; j < AT_ONCE; j++)
            if (fork() == 0) {
                struct sockaddr_in addr = there(port);
                int own = tcp();
                char byte;
                alarm(20);
                if (connect(own, SA(&addr), sizeof addr) != 0 || write(own, "a", 1) != 1)
                    _exit(1);
                /* Some end without a close, some are killed. */
                if (read(own, &byte, 1) != 1)
                    _exit(2);
                if (j == 1)
                    raise(SIGKILL);
                exit(0);
            }
        for (int j = 0; j < AT_ONCE; j++) {
            slots[j] = peer_accept(listener);
            peer_ask("read %d 1", slots[j]);
            peer_ask("text %d b", slots[j]);
        }
        for (int j = 0; j < AT_ONCE; j++) {
            wait(&status);
            good += WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0;
        }
        for (int j = 0; j < AT_ONCE; j++) {
            /* One that is killed may have told nobody that it had read all. */
            const char *end = peer_ask("eof %d", slots[j]);
            good += !strcmp(end, "eof") || (killed > 0 && !strcmp(end, "ECONNRESET"));
            killed -= !strcmp(end, "ECONNRESET");
            peer_ask("close %d", slots[j]);
        }
    }
    say("ended well: %d", good);
    R(write(fd, "fine", 4));
    peer("read %d 4", slot);
    return 0;
}
