/* Reads return what is there; boundaries of writes do not matter; the end. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char text[64] = "";
    unsigned char bytes[10000];

    say("# in parts");
    peer("text %d abcdefghij", slot);
    wait_bytes(fd, 10);
    R(read(fd, text, 3));
    R(recv(fd, text + 3, 4, 0));
    R(recvfrom(fd, text + 7, 60, 0, NULL, NULL));
    say("text: %s", text);

    say("# two messages in one read");
    memset(text, 0, sizeof text);
    peer("text %d first-", slot);
    peer("text %d second", slot);
    wait_bytes(fd, 12);
    R(read(fd, text, sizeof text));
    say("text: %s", text);

    say("# waits for the first byte only");
    peer_after(50, "text %d z", slot);
    R(read(fd, text, sizeof text));

    say("# with the sender's address, which connections do not have");
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    peer("text %d w", slot);
    R(recvfrom(fd, text, sizeof text, 0, SA(&addr), &len));
    say("length of the address: %u", (unsigned) len);

    say("# nothing is there");
    R(recv(fd, text, sizeof text, MSG_DONTWAIT));
    set_nonblocking(fd);
    R(read(fd, text, sizeof text));
    R(recv(fd, text, sizeof text, 0));
    struct iovec part = { text, sizeof text };
    R(readv(fd, &part, 1));

    say("# across the end of what is there");
    peer("send %d 10000", slot);
    wait_bytes(fd, 10000);
    R(recv(fd, bytes, 9999, 0));
    say("pattern: %d", is_pattern(bytes, 9999, 0));
    R(recv(fd, bytes, 9999, 0));
    R(recv(fd, bytes, 9999, 0));

    say("# the end, after the data, as often as asked");
    peer("text %d bye", slot);
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    R(read(fd, text, sizeof text));
    R(read(fd, text, sizeof text));
    R(recv(fd, text, sizeof text, 0));
    R(recv(fd, text, sizeof text, MSG_DONTWAIT));
    R(recv(fd, text, sizeof text, MSG_PEEK));

    say("# the other direction is open");
    R(write(fd, "answer", 6));
    peer("read %d 6", slot);
    return 0;
}
