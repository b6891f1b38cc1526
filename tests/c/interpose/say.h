/* Programs that print what every call returns, so that two runs can be compared. */
#ifndef SAY_H
#define SAY_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints a call, its result, and its errno if it failed; the result is the value. */
#define SAY(call)                                                                     \
    ({                                                                                \
        errno = 0;                                                                    \
        long said_ = (long)(call);                                                    \
        int why_ = errno;                                                             \
        printf("%s = %ld%s%s\n", #call, said_, said_ == -1 ? " " : "",                \
               said_ == -1 ? strerrorname_np(why_) : "");                             \
        fflush(stdout);                                                               \
        said_;                                                                        \
    })

/* For what must work for the program to make sense. */
#define NEED(call)                                                                    \
    ({                                                                                \
        long got_ = (long)(call);                                                     \
        if (got_ == -1) {                                                             \
            printf("%s: %s\n", #call, strerror(errno));                               \
            exit(1);                                                                  \
        }                                                                             \
        got_;                                                                         \
    })

#endif
