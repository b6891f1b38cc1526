/* The conversation of talk.c, held by a constructor that runs before that of a
 * preloaded library. The C library gives constructors main's arguments. */
#define main talk
#include "talk.c"
#undef main

__attribute__((constructor)) static void before_everything(int argc, char **argv)
{
    exit(talk(argc, argv));
}

void early(void)
{
}
