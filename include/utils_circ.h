/* Circular buffers of `size` bytes: positions are below `size`, lengths at most
 * `size`. Nothing here needs `size` to be a power of two. */

#ifndef UTILS_CIRC_H_
#define UTILS_CIRC_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Returns the position `off` bytes behind `pos`. */
static inline uint32_t circ_offset(uint32_t pos, uint32_t size, uint32_t off)
{
  uint32_t to_end = size - pos;
  return off < to_end ? pos + off : off - to_end;
}

/* Returns how many bytes lie from `start` up to but not including `end`; 0 if
 * they are equal. */
static inline uint32_t circ_range(uint32_t start, uint32_t end, uint32_t size)
{
  return start <= end ? end - start : size - start + end;
}

/* Returns 1 if `pos` is one of the `len` positions from `start` on, else 0. */
static inline int circ_in_interval(uint32_t start, uint32_t len, uint32_t size,
    uint32_t pos)
{
  return circ_range(start, pos, size) < len;
}

/* Copies `len` bytes at `pos` out of the buffer. */
static inline void circ_read(void *dst, const void *buf, uint32_t size,
    uint32_t pos, uint32_t len)
{
  uint32_t to_end = size - pos;
  uint32_t first = len < to_end ? len : to_end;
  memcpy(dst, (const uint8_t *) buf + pos, first);
  memcpy((uint8_t *) dst + first, buf, len - first);
}

/* Copies `len` bytes into the buffer at `pos`. */
static inline void circ_write(const void *src, void *buf, uint32_t size,
    uint32_t pos, uint32_t len)
{
  uint32_t to_end = size - pos;
  uint32_t first = len < to_end ? len : to_end;
  memcpy((uint8_t *) buf + pos, src, first);
  memcpy(buf, (const uint8_t *) src + first, len - first);
}

/* The same over two pieces of memory, `len_1` and `len_2` bytes, which follow
 * one another: bytes `off` to `off + len` of them are within both. */

/* Copies `len` bytes from `off` on out of the pieces. */
static inline void split_read(void *dst, size_t len, const void *buf_1,
    size_t len_1, const void *buf_2, size_t len_2, size_t off)
{
  size_t first = 0;
  (void) len_2;
  if (off < len_1) {
    first = len < len_1 - off ? len : len_1 - off;
    memcpy(dst, (const uint8_t *) buf_1 + off, first);
  }
  if (len > first)
    memcpy((uint8_t *) dst + first,
        (const uint8_t *) buf_2 + (off + first - len_1), len - first);
}

/* Copies `len` bytes into the pieces from `off` on. */
static inline void split_write(const void *src, size_t len, void *buf_1,
    size_t len_1, void *buf_2, size_t len_2, size_t off)
{
  size_t first = 0;
  (void) len_2;
  if (off < len_1) {
    first = len < len_1 - off ? len : len_1 - off;
    memcpy((uint8_t *) buf_1 + off, src, first);
  }
  if (len > first)
    memcpy((uint8_t *) buf_2 + (off + first - len_1),
        (const uint8_t *) src + first, len - first);
}

#ifdef __cplusplus
}
#endif

#endif /* UTILS_CIRC_H_ */
