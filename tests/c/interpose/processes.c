/* Ways to start processes, and what they do with descriptors first. */
#include "say.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int status_of(pid_t pid)
{
    int status;
    NEED(waitpid(pid, &status, 0));
    return status;
}

/* Connected by loopback. */
static void pair(int ends[2])
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = NEED(socket(AF_INET, SOCK_STREAM, 0));
    NEED(bind(listener, (struct sockaddr *)&addr, len));
    NEED(listen(listener, 1));
    NEED(getsockname(listener, (struct sockaddr *)&addr, &len));
    ends[0] = NEED(socket(AF_INET, SOCK_STREAM, 0));
    NEED(connect(ends[0], (struct sockaddr *)&addr, len));
    ends[1] = NEED(accept(listener, NULL, NULL));
    NEED(close(listener));
}

static void receive(int fd)
{
    char buf[64] = "";
    SAY(read(fd, buf, sizeof(buf) - 1));
    printf("received %s", buf);
}

int main(void)
{
    int ends[2];
    pair(ends);
    fflush(stdout);

    pid_t child = NEED(fork());
    if (child == 0) {
        close(ends[0]);
        dprintf(ends[1], "from a child\n");
        _exit(3);
    }
    SAY(status_of(child));
    receive(ends[0]);

    /* In the parent's memory: what it closes and duplicates is its own. */
    child = vfork();
    if (child == 0) {
        close(ends[0]);
        dup2(ends[1], 1);
        close(ends[1]);
        execl("/bin/echo", "echo", "after vfork", NULL);
        _exit(127);
    }
    SAY(status_of(child));
    SAY(fcntl(ends[1], F_GETFD));
    receive(ends[0]);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    char *args[] = {"echo", "spawned", NULL};
    SAY(posix_spawn(&child, "/bin/echo", &actions, NULL, args, environ));
    SAY(status_of(child));
    receive(ends[0]);

    child = NEED(fork());
    if (child == 0) {
        dup2(ends[1], 1);
        closefrom(3);
        execl("/bin/sh", "sh", "-c", "echo from a shell", NULL);
        _exit(127);
    }
    SAY(status_of(child));
    receive(ends[0]);

    /* A copy of the process that no handler of fork has seen. */
    child = NEED(syscall(SYS_clone, SIGCHLD, 0L, 0L, 0L, 0L));
    if (child == 0) {
        dprintf(ends[1], "cloned\n");
        close(ends[1]);
        _exit(0);
    }
    SAY(status_of(child));
    receive(ends[0]);

    FILE *stream = popen("cat", "w");
    SAY(fputs("through popen\n", stream));
    SAY(pclose(stream));
    SAY(system("echo through system"));
    return 0;
}
