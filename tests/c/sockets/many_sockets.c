/* Many sockets at a time, and an epoll over all of them. */
#include <sys/resource.h>

#include "test.h"

int main(void)
{
    const char *wanted = getenv("T_SOCKETS");
    int count = wanted ? atoi(wanted) : 1000, listener = listener_on(own_port(0), 4096);
    int *fds = calloc((size_t) count, sizeof *fds), *slots = calloc((size_t) count, sizeof *slots);
    struct rlimit limit = { (rlim_t) count + 100, (rlim_t) count + 100 };

    setrlimit(RLIMIT_NOFILE, &limit);
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
