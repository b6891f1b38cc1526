/* Sockets used before main, and after it. */
#include "test.h"

static int fd = -1, slot;

__attribute__((constructor(200))) static void before_main(void)
{
    fd = connect_peer(&slot);
    if (write(fd, "before", 6) != 6)
        die("write");
}

static void after_main(void)
{
    if (write(fd, "after", 5) != 5)
        die("write");
    close(fd);
    peer("read %d 6", slot);
}

int main(void)
{
    peer("read %d 6", slot);
    R(write(fd, "main", 4));
    peer("read %d 4", slot);
    atexit(after_main);
    return 0;
}
