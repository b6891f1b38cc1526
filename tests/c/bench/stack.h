/* A thread's TCP stack. The programs here are written once against it, and
 * linked with stack_ll.c (the low-level library of TAS) or stack_linux.c
 * (Linux sockets), so that both run the same code. */
#ifndef STACK_H_
#define STACK_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stack;

struct conn {
  /* The program's own. */
  void *user;
  struct stack *stack;
};

enum stack_event {
  /* A connection of stack_open is established. */
  STACK_OPENED,
  /* A peer has connected to the listener. */
  STACK_ACCEPTED,
  /* Bytes or the end may be there, or room to send. Told once for what is
   * there: call conn_recv and conn_send until they return 0. */
  STACK_READY,
  /* The connection could not be opened or has failed, `error` says why (an
   * errno). The program calls conn_close. */
  STACK_FAILED,
};

typedef void (*stack_handler)(struct conn *conn, enum stack_event event, int error);

/* "TAS" or "Linux". */
extern const char *const stack_name;

/* Once per process; exits with a message when there is no stack. */
void stack_init(void);

/* One per thread; exits with a message on failure. `max_events`: how many are
 * handled between two looks at the clock. */
struct stack *stack_new(stack_handler handler, void *user, unsigned max_events);
void *stack_user(const struct stack *stack);

/* Several threads may listen on the same port. Returns 0 or an errno. */
int stack_listen(struct stack *stack, uint16_t port, unsigned backlog);

/* Address and port in host order. NULL (errno EAGAIN): not now. */
struct conn *stack_open(struct stack *stack, uint32_t ip, uint16_t port, void *user);

/* Handles what happened, waiting for it up to `timeout_ms` if nothing has.
 * Returns -1 when the stack is gone. */
int stack_run(struct stack *stack, int timeout_ms);

/* Return how many bytes were moved. */
size_t conn_recv(struct conn *conn, void *buf, size_t len);
size_t conn_send(struct conn *conn, const void *buf, size_t len);

/* Whether the peer will send no more and everything it sent was received. */
bool conn_ended(const struct conn *conn);

/* Ends the own direction after what was sent; once. */
void conn_finish(struct conn *conn);

/* Lets go of the connection. Unless both directions have ended, the peer sees
 * a reset. */
void conn_close(struct conn *conn);

#endif
