/* TCP_INFO, TCP_CONGESTION, SO_RCVBUF and SO_SNDBUF. */
#include "test.h"

static void state(const char *what, int fd)
{
    static const char *const names[] = {
        "none", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT",
        "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"
    };
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        die("TCP_INFO");
    say("%s: %s", what, info.tcpi_state < COUNT(names) ? names[info.tcpi_state] : "unknown");
}

static int get(int fd, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    getsockopt(fd, SOL_SOCKET, name, &value, &len);
    return value;
}

static void set(int fd, int name, int value)
{
    R(setsockopt(fd, SOL_SOCKET, name, &value, sizeof value));
}

int main(void)
{
    int slot, fd = tcp(), listener;

    say("# states");
    state("new", fd);
    close(fd);
    listener = listener_on(own_port(0), 8);
    state("listener", listener);
    fd = connect_peer(&slot);
    state("connected", fd);
    shutdown(fd, SHUT_WR);
    peer("eof %d", slot);
    sleep_ms(50);
    state("after our end", fd);
    peer("shut %d wr", slot);
    sleep_ms(50);
    state("after both", fd);
    close(fd);
    fd = connect_peer(&slot);
    peer("shut %d wr", slot);
    wait_events(fd, POLLRDHUP);
    state("after the peer's end", fd);
    close(fd);
    fd = connect_peer(&slot);
    peer("rst %d", slot);
    wait_events(fd, POLLHUP);
    state("after a reset", fd);
    close(fd);

    say("# what TCP_INFO tells of a connection");
    fd = connect_peer(&slot);
    struct tcp_info info = { 0 };
    socklen_t len = sizeof info;
    /* The round trip that is told of. */
    R(write(fd, "abc", 3));
    peer("read %d 3", slot);
    sleep_ms(50);
    R(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    say("mss: %d, rtt: %d, cwnd: %d", info.tcpi_snd_mss >= 536, info.tcpi_rtt > 0,
        info.tcpi_snd_cwnd > 0);
    len = 8;
    R(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
    say("length: %u", (unsigned) len);

    say("# TCP_CONGESTION");
    char name[32] = "";
    len = sizeof name;
    R(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &len));
    say("a name: %d", name[0] != 0 && memchr(name, 0, len) != NULL);
    R(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, (socklen_t) strlen(name)));
    R(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "no-such", 7));

    say("# buffers: at least what was asked for");
    say("positive: %d %d", get(fd, SO_RCVBUF) > 0, get(fd, SO_SNDBUF) > 0);
    set(fd, SO_RCVBUF, 32768);
    say("enough: %d", get(fd, SO_RCVBUF) >= 32768);
    set(fd, SO_SNDBUF, 32768);
    say("enough: %d", get(fd, SO_SNDBUF) >= 32768);
    set(fd, SO_RCVBUF, 0);
    say("positive: %d", get(fd, SO_RCVBUF) > 0);
    close(fd);

    say("# set before connecting");
    fd = tcp();
    set(fd, SO_RCVBUF, 16384);
    set(fd, SO_SNDBUF, 16384);
    say("enough: %d %d", get(fd, SO_RCVBUF) >= 16384, get(fd, SO_SNDBUF) >= 16384);
    close(fd);

    say("# inherited from the listener");
    set(listener, SO_RCVBUF, 20000);
    fd = accept_peer(listener, own_port(0), &slot);
    say("the same: %d", get(fd, SO_RCVBUF) == get(listener, SO_RCVBUF));
    return 0;
}
