/* A histogram of times: exact below 64 ns, then 1 part in 64. */
#ifndef LATENCY_H_
#define LATENCY_H_

#include <stdint.h>

#define LATENCY_SUB 64
#define LATENCY_BUCKETS (59 * LATENCY_SUB)

struct latency {
  /* Sum of the buckets, where somebody has added them up. */
  uint64_t count;
  uint64_t buckets[LATENCY_BUCKETS];
};

static inline unsigned latency_bucket(uint64_t ns)
{
  if (ns < LATENCY_SUB)
    return (unsigned)ns;
  unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6u;
  return (shift + 1) * LATENCY_SUB + (unsigned)((ns >> shift) - LATENCY_SUB);
}

static inline void latency_add(struct latency *l, uint64_t ns)
{
  uint64_t *bucket = &l->buckets[latency_bucket(ns)];
  /* One thread writes, others may read. */
  __atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELAXED);
}

/* The shortest time in ns that a bucket holds. */
static inline uint64_t latency_floor(unsigned bucket)
{
  if (bucket < LATENCY_SUB)
    return bucket;
  return (uint64_t)(LATENCY_SUB + bucket % LATENCY_SUB) << (bucket / LATENCY_SUB - 1);
}

/* The time in us below which `share` (0 to 1) of all lie. */
static inline double latency_percentile(const struct latency *l, double share)
{
  uint64_t rank = (uint64_t)(share * (double)l->count), seen = 0;
  for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
    seen += l->buckets[i];
    if (seen > rank)
      return (double)latency_floor(i) / 1e3;
  }
  return 0;
}

/* The longest time in us, rounded down as the buckets are. */
static inline double latency_max(const struct latency *l)
{
  for (unsigned i = LATENCY_BUCKETS; i-- > 0;)
    if (l->buckets[i] != 0)
      return (double)latency_floor(i) / 1e3;
  return 0;
}

#endif
