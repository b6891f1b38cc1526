/* MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC and what they do together. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[64] = "";

    say("# MSG_PEEK");
    peer("text %d abcdef", slot);
    wait_bytes(fd, 6);
    R(recv(fd, text, 4, MSG_PEEK));
    R(recv(fd, text, sizeof text, MSG_PEEK));
    say("text: %.6s", text);
    R(recv(fd, text, 2, 0));
    R(recv(fd, text, sizeof text, MSG_PEEK | MSG_DONTWAIT));
    say("text: %.4s", text);
    R(recv(fd, text, sizeof text, MSG_DONTWAIT));
    R(recv(fd, text, sizeof text, MSG_PEEK | MSG_DONTWAIT));

    say("# MSG_PEEK waits");
    peer_after(50, "text %d x", slot);
    R(recv(fd, text, sizeof text, MSG_PEEK));
    R(recv(fd, text, sizeof text, 0));

    say("# MSG_WAITALL");
    peer_after(30, "text %d 12345", slot);
    peer_after(80, "text %d 67890", slot);
    memset(text, 0, sizeof text);
    R(recv(fd, text, 10, MSG_WAITALL));
    say("text: %s", text);

    say("# MSG_WAITALL does not wait if nothing may");
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    R(recv(fd, text, 10, MSG_WAITALL | MSG_DONTWAIT));
    R(recv(fd, text, 10, MSG_WAITALL | MSG_DONTWAIT));

    say("# MSG_WAITALL with a timeout: what came until then");
    struct timeval time = { .tv_usec = 100000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    peer("text %d abc", slot);
    wait_bytes(fd, 3);
    long start = now_ms();
    R(recv(fd, text, 10, MSG_WAITALL));
    say("%s", took(start, 100));
    start = now_ms();
    R(recv(fd, text, 10, MSG_WAITALL));
    say("%s", took(start, 100));
    time.tv_usec = 0;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);

    say("# MSG_WAITALL and a signal: what came until then");
    count_signal(SIGUSR1, SA_RESTART);
    peer("text %d abcd", slot);
    wait_bytes(fd, 4);
    signal_later(pthread_self(), SIGUSR1, 50);
    R(recv(fd, text, 10, MSG_WAITALL));
    say("signals: %d", (int) signals_seen);

    say("# MSG_TRUNC throws away");
    memset(text, 0, sizeof text);
    peer("text %d abcdef", slot);
    wait_bytes(fd, 6);
    R(recv(fd, text, 4, MSG_TRUNC));
    say("untouched: %d", text[0] == 0);
    R(recv(fd, NULL, 1, MSG_TRUNC));
    R(recv(fd, text, sizeof text, 0));
    say("text: %s", text);

    say("# other flags");
    R(recv(fd, text, sizeof text, MSG_ERRQUEUE));
    R(recv(fd, text, sizeof text, MSG_OOB));

    say("# MSG_WAITALL up to the end");
    peer_after(30, "text %d last", slot);
    peer_after(80, "shut %d wr", slot);
    R(recv(fd, text, 10, MSG_WAITALL));
    R(recv(fd, text, 10, MSG_WAITALL));
    return 0;
}
