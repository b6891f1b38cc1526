/* fork and exec, posix_spawn, vfork, popen, system beside open sockets. */
#include <spawn.h>

#include "test.h"

extern char **environ;

int main(void)
{
    int slot, fd = connect_peer(&slot), listener = listener_on(own_port(0), 8), status;
    char *args[] = { "true", NULL }, text[32] = "";

    say("# fork and exec");
    pid_t child = fork();
    if (child == 0) {
        execvp("true", args);
        _exit(127);
    }
    waitpid(child, &status, 0);
    say("status: %d", status);

    say("# vfork and exec");
    child = vfork();
    if (child == 0) {
        execvp("true", args);
        _exit(127);
    }
    waitpid(child, &status, 0);
    say("status: %d", status);

    say("# posix_spawn");
    R(posix_spawnp(&child, "true", NULL, NULL, args, environ));
    waitpid(child, &status, 0);
    say("status: %d", status);

    say("# system, popen");
    R(system("exit 3") >> 8);
    FILE *out = popen("echo from a shell", "r");
    if (!out || !fgets(text, sizeof text, out))
        die("popen");
    pclose(out);
    say("read: %.12s", text);

    say("# pipes of children work across exec");
    int ends[2];
    if (pipe(ends) != 0)
        die("pipe");
    child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execlp("echo", "echo", "piped", NULL);
        _exit(127);
    }
    memset(text, 0, sizeof text);
    R(read(ends[0], text, sizeof text));
    waitpid(child, &status, 0);

    say("# the sockets have not suffered");
    R(write(fd, "fine", 4));
    peer("read %d 4", slot);
    int conn = accept_peer(listener, own_port(0), &slot);
    R(write(conn, "fine", 4));
    peer("read %d 4", slot);
    return 0;
}
