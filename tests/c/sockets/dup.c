/* dup(2) in all forms: one socket, several descriptors. */
#include "test.h"

enum { HIGH = 200 };

int main(void)
{
    int slot, fd = connect_peer(&slot), copy, other;
    char text[16] = "";

    say("# dup");
    copy = OK(dup(fd));
    R(write(copy, "from the copy", 13));
    peer("read %d 13", slot);
    peer("text %d ab", slot);
    wait_bytes(fd, 2);
    R(read(copy, text, 1));
    R(read(fd, text, 1));
    say("close on exec: %d", fcntl(copy, F_GETFD));

    say("# flags of the socket are shared, of the descriptor are not");
    set_nonblocking(fd);
    say("O_NONBLOCK: %d", (fcntl(copy, F_GETFL) & O_NONBLOCK) != 0);
    R(read(copy, text, 1));
    R(fcntl(copy, F_SETFL, 0));
    R(fcntl(copy, F_SETFD, FD_CLOEXEC));
    say("close on exec: %d", fcntl(fd, F_GETFD));

    say("# the last one closes");
    R(close(fd));
    R(write(fd, "a", 1));
    R(write(copy, "alive", 5));
    peer("read %d 5", slot);
    R(close(copy));
    peer("eof %d", slot);

    say("# F_DUPFD, F_DUPFD_CLOEXEC");
    fd = connect_peer(&slot);
    copy = fcntl(fd, F_DUPFD, HIGH);
    say("from there on: %d", copy >= HIGH);
    say("close on exec: %d", fcntl(copy, F_GETFD));
    other = fcntl(fd, F_DUPFD_CLOEXEC, HIGH);
    say("the next: %d", other == copy + 1);
    say("close on exec: %d", fcntl(other, F_GETFD));
    R(close(fd));
    R(close(copy));
    R(write(other, "still", 5));
    peer("read %d 5", slot);
    R(fcntl(other, F_DUPFD, -1));

    say("# dup2 to a free number");
    R(dup2(other, HIGH + 50) == HIGH + 50);
    R(close(other));
    R(write(HIGH + 50, "moved", 5));
    peer("read %d 5", slot);

    say("# dup2 onto a socket closes that");
    int second, victim = connect_peer(&second);
    R(dup2(HIGH + 50, victim) == victim);
    peer("eof %d", second);
    R(close(HIGH + 50));
    R(write(victim, "new", 3));
    peer("read %d 3", slot);

    say("# dup2 onto itself");
    R(dup2(victim, victim) == victim);
    R(write(victim, "same", 4));
    peer("read %d 4", slot);
    R(dup2(-1, victim));
    R(dup2(HIGH + 99, victim));
    R(dup2(victim, -1));
    R(write(victim, "fine", 4));
    peer("read %d 4", slot);

    say("# dup3");
    R(dup3(victim, victim, 0));
    R(dup3(victim, HIGH, 0x40));
    R(dup3(victim, HIGH, O_CLOEXEC) == HIGH);
    say("close on exec: %d", fcntl(HIGH, F_GETFD));
    R(write(HIGH, "three", 5));
    peer("read %d 5", slot);

    say("# a pipe onto a socket, a socket onto a pipe");
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    R(dup2(ends[1], HIGH) == HIGH);
    R(write(HIGH, "pipe", 4));
    R(read(ends[0], text, sizeof text));
    R(dup2(victim, ends[1]) == ends[1]);
    R(write(ends[1], "socket", 6));
    peer("read %d 6", slot);
    R(close(victim));
    R(close(ends[1]));
    peer("eof %d", slot);

    say("# a listener");
    fd = listener_on(own_port(0), 8);
    copy = dup(fd);
    R(close(fd));
    peer_connect(own_port(0));
    OK(accept(copy, NULL, NULL));
    R(close(copy));
    peer_is_refused(own_port(0));

    say("# before it is decided what the socket is");
    fd = tcp();
    copy = dup(fd);
    uint16_t port;
    int listener = peer_listen(8, &port);
    struct sockaddr_in addr = there(port);
    R(connect(copy, SA(&addr), sizeof addr));
    slot = peer_accept(listener);
    R(write(fd, "either", 6));
    peer("read %d 6", slot);
    return 0;
}
