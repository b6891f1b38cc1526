/* A program whose library has a constructor (early.c). */
#include <stdio.h>

void early(void);

int main(void)
{
    early();
    puts("main");
    return 0;
}
