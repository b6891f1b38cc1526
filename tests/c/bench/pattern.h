/* Bytes that show when they arrive in the wrong place. */
#ifndef PATTERN_H_
#define PATTERN_H_

#include <stdint.h>

/* Byte `i` of the stream of `seed`; its period is long enough that a stretch
 * in the wrong place shows. */
static inline unsigned char pattern(uint64_t seed, uint64_t i)
{
  uint64_t x = (seed + i / 8) * 0x9e3779b97f4a7c15u;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9u;
  return (unsigned char)(x >> (8 * (i % 8)));
}

#endif
