/* Assertions about layouts and values, for C11 and C++17. Types are compared in
 * C only: C++ has no such builtin. */

#ifndef ASSERT_ABI_H_
#define ASSERT_ABI_H_

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define ASSERT_ABI(cond, text) static_assert((cond), text)
#define SAME_TYPE(s, m, type) 1
#define ALIGNMENT(s) alignof(struct s)
#else
#define ASSERT_ABI(cond, text) _Static_assert((cond), text)
/* By pointers, since qualifiers of the types themselves would not count. */
#define SAME_TYPE(s, m, type) \
  __builtin_types_compatible_p( \
      __typeof__(&((struct s *) 0)->m), __typeof__(type) *)
#define ALIGNMENT(s) _Alignof(struct s)
#endif

#define STRUCT(s, size, align) \
  ASSERT_ABI(sizeof(struct s) == (size), "size of " #s); \
  ASSERT_ABI(ALIGNMENT(s) == (align), "alignment of " #s);

#define MEMBER_AT(s, m, offset) \
  ASSERT_ABI(offsetof(struct s, m) == (offset), "place of " #s "." #m);

#define MEMBER_SIZED(s, m, offset, size) \
  MEMBER_AT(s, m, offset) \
  ASSERT_ABI(sizeof(((struct s *) 0)->m) == (size), "size of " #s "." #m);

#define MEMBER(s, m, offset, size, type) \
  MEMBER_SIZED(s, m, offset, size) \
  ASSERT_ABI(SAME_TYPE(s, m, type), "type of " #s "." #m);

#define CONSTANT(name, value) ASSERT_ABI((name) == (value), #name);

#define ENUMERATOR(e, name, value) \
  ASSERT_ABI((name) == (value) && sizeof(enum e) == sizeof(int), #name);

#endif /* ASSERT_ABI_H_ */
