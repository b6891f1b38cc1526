/* splice(2) between a socket and a pipe. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot), ends[2];
    char text[16] = "";

    if (pipe(ends) != 0)
        die("pipe");
    say("# socket to pipe");
    peer("text %d abcdef", slot);
    wait_bytes(fd, 6);
    R(splice(fd, NULL, ends[1], NULL, 4, 0));
    R(read(ends[0], text, sizeof text));
    say("text: %s", text);
    R(splice(fd, NULL, ends[1], NULL, 100, SPLICE_F_MOVE));
    R(read(ends[0], text, sizeof text));

    say("# waits for data");
    peer_after(50, "text %d xy", slot);
    R(splice(fd, NULL, ends[1], NULL, 100, 0));
    R(read(ends[0], text, sizeof text));

    say("# pipe to socket");
    R(write(ends[1], "through", 7));
    R(splice(ends[0], NULL, fd, NULL, 100, 0));
    peer("read %d 7", slot);

    say("# nothing there");
    set_nonblocking(fd);
    R(splice(fd, NULL, ends[1], NULL, 100, SPLICE_F_NONBLOCK));
    R(splice(ends[0], NULL, fd, NULL, 100, SPLICE_F_NONBLOCK));

    say("# room in the pipe for less than there is: takes what fits, and does not wait");
    static char full[1 << 16];
    int room = 4096, there;
    for (int left = fcntl(ends[1], F_GETPIPE_SZ) - room; left > 0; left -= room)
        if (write(ends[1], full, room) != room)
            die("write");
    peer("send %d 20000", slot);
    wait_bytes(fd, 20000);
    there = splice(fd, NULL, ends[1], NULL, 20000, SPLICE_F_NONBLOCK);
    say("moves some: %d", there > 0);
    for (int left = 20000 - there; left > 0; left -= there)
        if ((there = recv(fd, full, left, 0)) <= 0)
            die("recv");
    for (int left = 1; left > 0 && ioctl(ends[0], FIONREAD, &left) == 0 && left > 0;)
        if (read(ends[0], full, sizeof full) <= 0)
            die("read");

    say("# refused");
    loff_t offset = 0;
    R(splice(fd, &offset, ends[1], NULL, 10, 0));
    R(splice(fd, NULL, fd, NULL, 10, 0));

    say("# the end");
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    R(splice(fd, NULL, ends[1], NULL, 100, 0));
    close(ends[1]);
    R(splice(ends[0], NULL, fd, NULL, 100, 0));
    return 0;
}
