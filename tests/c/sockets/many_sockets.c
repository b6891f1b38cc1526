/* Many sockets at a time, and an epoll over all of them: 10,000, or T_SOCKETS. */
#include <sys/resource.h>

#include "test.h"

/* How many of those wanted the process may have; the peer needs as many. */
static int allowed(int wanted, struct rlimit *limit)
{
    limit->rlim_cur = limit->rlim_max = (rlim_t) wanted + 200;
    if (setrlimit(RLIMIT_NOFILE, limit) == 0)
        return wanted;
    getrlimit(RLIMIT_NOFILE, limit);
    limit->rlim_cur = limit->rlim_max;
    setrlimit(RLIMIT_NOFILE, limit);
    return limit->rlim_max > (rlim_t) wanted + 200 ? wanted : (int) limit->rlim_max - 200;
}

int main(void)
{
    const char *wanted = getenv("T_SOCKETS");
    struct rlimit limit;
    int count = allowed(wanted ? atoi(wanted) : 10000, &limit);
    int *fds = calloc((size_t) count, sizeof *fds), *slots = calloc((size_t) count, sizeof *slots);
    int listener = listener_on(own_port(0), 4096);
    /* However many they are, their buffers fit into a process's memory. */
    int bytes = 8192;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(listener, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    int epoll = epoll_create1(0), ready = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t) i };
        fds[i] = accept_peer(listener, own_port(0), &slots[i]);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event) != 0)
            die("epoll_ctl");
    }
    say("# every tenth has data");
    for (int i = 0; i < count; i += 10)
        peer_ask("text %d a", slots[i]);
    char *seen = calloc(1, (size_t) count);
    for (long start = now_ms(); ready < count / 10 && now_ms() - start < 5000;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, 1000);
        for (int i = 0; i < n; i++) {
            char byte;
            uint32_t which = events[i].data.u32;
            if (read(fds[which], &byte, 1) == 1 && which % 10 == 0 && !seen[which]) {
                seen[which] = 1;
                ready++;
            }
        }
    }
    say("all seen: %d", ready == (count + 9) / 10);
    struct epoll_event event;
    R(epoll_wait(epoll, &event, 1, 0));

    say("# all answer");
    int answered = 0;
    for (int i = 0; i < count; i++)
        if (write(fds[i], "b", 1) != 1)
            die("write");
    for (int i = 0; i < count; i++)
        answered += !strcmp(peer_ask("read %d 1", slots[i]), "b");
    say("all answered: %d", answered == count);

    say("# no descriptor is left");
    limit.rlim_cur = (rlim_t) fds[count - 1] + 1;
    setrlimit(RLIMIT_NOFILE, &limit);
    int slot = peer_connect(own_port(0)), probe;
    while ((probe = open("/dev/null", O_RDONLY)) >= 0)
        ;
    wait_events(listener, POLLIN);
    R(accept(listener, NULL, NULL));
    R(socket(AF_INET, SOCK_STREAM, 0));
    R(dup(fds[0]));
    R(epoll_create1(0));
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int late = OK(accept(listener, NULL, NULL));
    R(write(late, "late", 4));
    peer("read %d 4", slot);

    say("# closed");
    for (int i = 0; i < count; i++)
        close(fds[i]);
    answered = 0;
    for (int i = 0; i < count; i++)
        answered += !strcmp(peer_ask("eof %d", slots[i]), "eof");
    say("all ended: %d", answered == count);
    return 0;
}
