/* Numbers on the command line. */
#ifndef ARGS_H_
#define ARGS_H_

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* The number `text`, or `fallback` for an argument that is not there; exits
 * when it is none or not in the range. */
static inline uint64_t arg_number(int argc, char *const argv[], int i, const char *name,
                                  uint64_t fallback, uint64_t min, uint64_t max)
{
  if (i >= argc)
    return fallback;
  char *end;
  errno = 0;
  unsigned long long n = strtoull(argv[i], &end, 10);
  if (errno != 0 || end == argv[i] || *end != '\0' || argv[i][0] == '-' || n < min || n > max) {
    fprintf(stderr, "%s: '%s' is not a number from %llu to %llu\n", name, argv[i],
            (unsigned long long)min, (unsigned long long)max);
    exit(2);
  }
  return n;
}

/* The IPv4 address `text` in host order. */
static inline uint32_t arg_address(const char *text)
{
  struct in_addr addr;
  if (inet_pton(AF_INET, text, &addr) != 1) {
    fprintf(stderr, "'%s' is not an IPv4 address\n", text);
    exit(2);
  }
  return ntohl(addr.s_addr);
}

static inline uint64_t now_ns(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void *checked(void *memory)
{
  if (memory == NULL) {
    fprintf(stderr, "out of memory\n");
    exit(1);
  }
  return memory;
}

#endif
