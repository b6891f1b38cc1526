/* First-in first-out queue between threads. Elements lie in their owners'
 * memory: embed a struct nbqueue_el and leave it alone while it is queued. */

#ifndef UTILS_NBQUEUE_H_
#define UTILS_NBQUEUE_H_

#include <pthread.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct nbqueue_el {
  /* Element behind this one; the last one's is the first, so that one pointer
   * in the queue reaches both ends. */
  struct nbqueue_el *next;
};

struct nbqueue {
  /* Last element, NULL when empty. */
  struct nbqueue_el *head;
  pthread_mutex_t mutex;
};

/* Prepares an empty queue. */
static inline void nbqueue_init(struct nbqueue *nbq)
{
  nbq->head = NULL;
  pthread_mutex_init(&nbq->mutex, NULL);
}

/* Adds an element at the end. */
static inline void nbqueue_enq(struct nbqueue *nbq, struct nbqueue_el *el)
{
  pthread_mutex_lock(&nbq->mutex);
  if (nbq->head == NULL) {
    el->next = el;
  } else {
    el->next = nbq->head->next;
    nbq->head->next = el;
  }
  nbq->head = el;
  pthread_mutex_unlock(&nbq->mutex);
}

/* Takes the first element; NULL when there is none. */
static inline void *nbqueue_deq(struct nbqueue *nbq)
{
  struct nbqueue_el *first = NULL;

  pthread_mutex_lock(&nbq->mutex);
  if (nbq->head != NULL) {
    first = nbq->head->next;
    if (first == nbq->head)
      nbq->head = NULL;
    else
      nbq->head->next = first->next;
  }
  pthread_mutex_unlock(&nbq->mutex);
  return first;
}

#ifdef __cplusplus
}
#endif

#endif /* UTILS_NBQUEUE_H_ */
