/* CHECK(condition): says which one failed, and main returns how many did. */

#ifndef CHECK_H_
#define CHECK_H_

#include <stdio.h>

static int check_failed;

#define CHECK(cond) \
  do { \
    if (!(cond)) { \
      check_failed++; \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
    } \
  } while (0)

#endif /* CHECK_H_ */
