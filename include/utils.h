/* Small things that most C programs around TAS need. */

#ifndef UTILS_H_
#define UTILS_H_

#include <endian.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Each evaluates the argument that it returns twice. To the letter as in
 * sys/param.h, so that both may be included in any order. */
#ifndef MIN
#define MIN(a,b) (((a)<(b))?(a):(b))
#endif
#ifndef MAX
#define MAX(a,b) (((a)>(b))?(a):(b))
#endif

/* What the compiler shall expect of a condition. */
#ifndef LIKELY
#define LIKELY(x) __builtin_expect(!!(x), 1)
#endif
#ifndef UNLIKELY
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#endif

/* The compiler moves no memory access across this. */
#ifndef MEM_BARRIER
#define MEM_BARRIER() __asm__ volatile("" ::: "memory")
#endif

/* Fails to compile if the condition is false; `name` says why, as an
 * identifier. */
#ifndef STATIC_ASSERT
#ifdef __cplusplus
#define STATIC_ASSERT(cond, name) static_assert((cond), #name)
#else
#define STATIC_ASSERT(cond, name) _Static_assert((cond), #name)
#endif
#endif

/* Integers in network byte order: types of their own, so that the compiler
 * notices a missing conversion. f_ converts from them, t_ to them. */
struct beui16 {
  uint16_t x;
} __attribute__((packed));
typedef struct beui16 beui16_t;

struct beui32 {
  uint32_t x;
} __attribute__((packed));
typedef struct beui32 beui32_t;

struct beui64 {
  uint64_t x;
} __attribute__((packed));
typedef struct beui64 beui64_t;

/* The conversion is the same in both directions. The macros of endian.h are
 * not there in strict C. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UTILS_BE_(bits, x) __builtin_bswap##bits(x)
#else
#define UTILS_BE_(bits, x) (x)
#endif

static inline uint16_t f_beui16(beui16_t b)
{
  return UTILS_BE_(16, b.x);
}

static inline uint32_t f_beui32(beui32_t b)
{
  return UTILS_BE_(32, b.x);
}

static inline uint64_t f_beui64(beui64_t b)
{
  return UTILS_BE_(64, b.x);
}

static inline beui16_t t_beui16(uint16_t x)
{
  beui16_t b = { UTILS_BE_(16, x) };
  return b;
}

static inline beui32_t t_beui32(uint32_t x)
{
  beui32_t b = { UTILS_BE_(32, x) };
  return b;
}

static inline beui64_t t_beui64(uint64_t x)
{
  beui64_t b = { UTILS_BE_(64, x) };
  return b;
}

/* The processor's time stamp counter. */
static inline uint64_t util_rdtsc(void)
{
#if defined(__x86_64__) || defined(__i386__)
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (uint64_t) high << 32 | low;
#else
#error "util_rdtsc is not written for this processor"
#endif
}

/* Asks for the cache line at `p`, into all levels of cache. */
static inline void util_prefetch0(const volatile void *p)
{
  __builtin_prefetch((const void *) p, 0, 3);
}

/* Parses a dotted quad into a host order address. Returns 0, or -1 if `s` is no
 * address. */
int util_parse_ipv4(const char *s, uint32_t *ip);

/* Parses aa:bb:cc:dd:ee:ff into six bytes in memory order and two zeros.
 * Returns 0, or -1 if `s` is no address. */
int util_parse_mac(const char *s, uint64_t *mac);

/* Writes `len` bytes at `mem` to stderr in hexadecimal, 16 a line. */
void util_dump_mem(const void *mem, size_t len);

#ifdef __cplusplus
}
#endif

#endif /* UTILS_H_ */
