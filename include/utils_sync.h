/* Spin locks: a word that is 0 when free and 1 when held. */

#ifndef UTILS_SYNC_H_
#define UTILS_SYNC_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the lock if it is free. Returns 1 if it did, else 0. */
static inline int util_spin_trylock(volatile uint32_t *lock)
{
  return __atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) == 0;
}

/* Waits until the lock is free and takes it. */
static inline void util_spin_lock(volatile uint32_t *lock)
{
  while (!util_spin_trylock(lock)) {
    /* Wait on a copy in the own cache: writing would take it from the owner. */
    while (__atomic_load_n(lock, __ATOMIC_RELAXED) != 0) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    }
  }
}

/* Frees the lock, which the caller holds. */
static inline void util_spin_unlock(volatile uint32_t *lock)
{
  __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#ifdef __cplusplus
}
#endif

#endif /* UTILS_SYNC_H_ */
