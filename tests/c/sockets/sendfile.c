/* sendfile(2) to a socket, and what it refuses. */
#include "test.h"

enum { SIZE = 300000 };

int main(void)
{
    char path[] = "/tmp/tas-sendfile-XXXXXX";
    int file = mkstemp(path), slot, fd = connect_peer(&slot);
    unsigned char *bytes = malloc(SIZE);
    off_t offset = 0;

    unlink(path);
    fill(bytes, SIZE, 0);
    if (write(file, bytes, SIZE) != SIZE)
        die("write");

    say("# from an offset: the file's position stays");
    R(sendfile(fd, file, &offset, 1000));
    say("offset: %ld, position: %ld", (long) offset, (long) lseek(file, 0, SEEK_CUR));
    R(sendfile(fd, file, &offset, SIZE - 1000));
    say("offset: %ld", (long) offset);
    peer("recv %d %d", slot, SIZE);

    say("# from the position, which moves");
    fd = connect_peer(&slot);
    lseek(file, 0, SEEK_SET);
    R(sendfile(fd, file, NULL, 5000));
    say("position: %ld", (long) lseek(file, 0, SEEK_CUR));
    peer("recv %d 5000", slot);

    say("# more than there is, and at the end");
    offset = SIZE - 10;
    fd = connect_peer(&slot);
    R(sendfile(fd, file, &offset, 100));
    R(sendfile(fd, file, &offset, 100));
    R(sendfile(fd, file, &offset, 0));
    R(shutdown(fd, SHUT_WR));
    say("bytes: %d", atoi(peer_ask("drain %d", slot)));

    say("# not blocking: part of it, then EAGAIN, then the rest");
    fd = connect_peer_nonblocking(&slot);
    offset = 0;
    unsigned long sent = 0;
    /* More than any buffers hold: the file again and again. */
    for (;;) {
        ssize_t rc = sendfile(fd, file, &offset, SIZE);
        if (rc < 0) {
            int error = errno;
            sleep_ms(60);
            if (!(events_now(fd) & POLLOUT)) {
                say("error: %s", error_name(error));
                break;
            }
            continue;
        }
        sent += (unsigned long) rc;
        if (offset == SIZE)
            offset = 0;
    }
    say("offset is where it stopped: %d", (unsigned long) offset == sent % SIZE);

    say("# refused");
    fd = connect_peer(&slot);
    offset = 0;
    R(sendfile(file, fd, NULL, 10));
    offset = -1;
    R(sendfile(fd, file, &offset, 10));
    int unconnected = tcp();
    signal(SIGPIPE, SIG_IGN);
    offset = 0;
    R(sendfile(unconnected, file, &offset, 10));
    R(sendfile(fd, -1, &offset, 10));
    R(shutdown(fd, SHUT_WR));
    R(sendfile(fd, file, &offset, 10));
    say("offset: %ld", (long) offset);
    return 0;
}
