/* recvmmsg(2) and sendmmsg(2). */
#include "test.h"

enum { MESSAGES = 4 };

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char texts[MESSAGES][4];
    struct iovec parts[MESSAGES];
    struct mmsghdr messages[MESSAGES] = { 0 };

    for (int i = 0; i < MESSAGES; i++) {
        parts[i] = (struct iovec) { texts[i], 3 };
        messages[i].msg_hdr = (struct msghdr) { .msg_iov = &parts[i], .msg_iovlen = 1 };
    }

    say("# sending");
    for (int i = 0; i < MESSAGES; i++)
        memset(texts[i], 'a' + i, 3);
    R(sendmmsg(fd, messages, MESSAGES, 0));
    for (int i = 0; i < MESSAGES; i++)
        say("length: %u", messages[i].msg_len);
    peer("read %d 12", slot);

    say("# receiving what is there");
    peer("text %d 12345678", slot);
    wait_bytes(fd, 8);
    memset(texts, 0, sizeof texts);
    R(recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL));
    for (int i = 0; i < 3; i++)
        say("%s %u", texts[i], messages[i].msg_len);
    R(recvmmsg(fd, messages, MESSAGES, MSG_DONTWAIT, NULL));

    say("# MSG_WAITFORONE");
    peer_after(50, "text %d ab", slot);
    R(recvmmsg(fd, messages, MESSAGES, MSG_WAITFORONE, NULL));
    say("length: %u", messages[0].msg_len);

    say("# none");
    R(recvmmsg(fd, messages, 0, 0, NULL));
    R(sendmmsg(fd, messages, 0, 0));
    return 0;
}
