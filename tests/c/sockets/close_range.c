/* close_range(2) and closefrom(3) over sockets. */
#include <linux/close_range.h>

#include "test.h"

int main(void)
{
    int first, second, third;
    int a = connect_peer(&first), b = connect_peer(&second), c = connect_peer(&third);
    /* Numbers that nothing else has. */
    R(dup2(a, 300) == 300);
    R(dup2(b, 301) == 301);
    R(dup2(c, 302) == 302);
    close(a);
    close(b);
    close(c);

    say("# marks");
    R(close_range(300, 301, CLOSE_RANGE_CLOEXEC));
    say("close on exec: %d %d %d", fcntl(300, F_GETFD), fcntl(301, F_GETFD), fcntl(302, F_GETFD));
    R(write(300, "alive", 5));
    peer("read %d 5", first);

    say("# closes");
    R(close_range(300, 300, 0));
    peer("eof %d", first);
    R(write(300, "a", 1));
    R(write(301, "alive", 5));
    peer("read %d 5", second);
    R(close_range(302, 301, 0));

    say("# the rest");
    closefrom(301);
    peer("eof %d", second);
    peer("eof %d", third);
    R(write(302, "a", 1));
    return 0;
}
