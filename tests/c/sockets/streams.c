/* Streams of the C library on a socket. */
#include "test.h"

int main(void)
{
    int slot, fd = connect_peer(&slot);
    char line[64];

    say("# one for each direction");
    FILE *in = fdopen(dup(fd), "r"), *out = fdopen(fd, "w");
    R(fprintf(out, "hello,%d", 42));
    R(fflush(out));
    peer("read %d 8", slot);
    peer("text %d first", slot);
    peer("send %d 10", slot);
    R(fread(line, 1, 5, in));
    R(fread(line, 1, 10, in));

    say("# both in one");
    fclose(in);
    peer_ask("text %d x", slot);
    R(fclose(out));
    say("the peer sees the end: %d", *peer_ask("eof %d", slot) != 't');

    fd = connect_peer(&slot);
    FILE *both = fdopen(fd, "r+");
    setvbuf(both, NULL, _IONBF, 0);
    R(fputs("unbuffered", both));
    peer("read %d 10", slot);
    peer("text %d c", slot);
    say("getc: %c", getc(both));
    peer("shut %d wr", slot);
    R(getc(both));
    say("at the end: %d", feof(both) != 0);
    R(fclose(both));
    peer("eof %d", slot);
    return 0;
}
