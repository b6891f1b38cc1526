/* Sends every message back once all of it has arrived. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "stack.h"

struct settings {
  uint16_t port;
  unsigned threads;
  unsigned max_flows;
  size_t message_size;
  uint64_t op_delay_ns;
  size_t working_set;
  unsigned backlog;
  unsigned max_events;
};

struct thread {
  const struct settings *settings;
  unsigned char *working_set;
  unsigned flows;
  unsigned char checksum;
};

/* A connection's message, and how much of it has come and gone. */
struct echo {
  size_t received;
  size_t sent;
  unsigned char message[];
};

static void release(struct conn *conn)
{
  struct thread *t = stack_user(conn->stack);
  t->flows--;
  free(conn->user);
  conn_close(conn);
}

/* What an application would do with a message, to be measured with. */
static void work(struct thread *t)
{
  const struct settings *set = t->settings;
  for (size_t i = 0; i < set->working_set; i += 64)
    t->checksum ^= t->working_set[i]++;
  if (set->op_delay_ns != 0)
    for (uint64_t end = now_ns() + set->op_delay_ns; now_ns() < end;)
      ;
}

static void echo(struct conn *conn)
{
  struct thread *t = stack_user(conn->stack);
  size_t size = t->settings->message_size;
  struct echo *e = conn->user;
  for (;;) {
    if (e->received < size) {
      size_t n = conn_recv(conn, e->message + e->received, size - e->received);
      if (n == 0)
        break;
      e->received += n;
      if (e->received == size)
        work(t);
    }
    if (e->received == size) {
      size_t n = conn_send(conn, e->message + e->sent, size - e->sent);
      if (n == 0)
        return;
      e->sent += n;
      if (e->sent == size)
        e->received = e->sent = 0;
    }
  }
  if (conn_ended(conn)) {
    conn_finish(conn);
    release(conn);
  }
}

static void handle(struct conn *conn, enum stack_event event, int error)
{
  struct thread *t = stack_user(conn->stack);
  (void)error;
  switch (event) {
    case STACK_ACCEPTED:
      if (t->flows == t->settings->max_flows) {
        conn_close(conn);
        break;
      }
      t->flows++;
      conn->user = checked(calloc(1, sizeof(struct echo) + t->settings->message_size));
      echo(conn);
      break;
    case STACK_READY:
      echo(conn);
      break;
    case STACK_FAILED:
      release(conn);
      break;
    case STACK_OPENED:
      break;
  }
}

static void *serve(void *arg)
{
  struct thread *t = arg;
  const struct settings *set = t->settings;
  t->working_set = checked(calloc(1, set->working_set + 1));
  struct stack *stack = stack_new(handle, t, set->max_events);
  int error = stack_listen(stack, set->port, set->backlog);
  if (error != 0) {
    fprintf(stderr, "echoserver: cannot listen on port %u: %s\n", set->port, strerror(error));
    exit(1);
  }
  printf("echoserver: listening on port %u (%s)\n", set->port, stack_name);
  fflush(stdout);
  while (stack_run(stack, 1000) == 0)
    ;
  fprintf(stderr, "echoserver: the %s stack is gone\n", stack_name);
  exit(1);
}

int main(int argc, char *argv[])
{
  if (argc < 3 || argc > 11) {
    fprintf(stderr, "usage: %s PORT THREADS CONFIG [MAX-FLOWS] [MAX-BYTES] [OP-DELAY] "
            "[WORKING-SET] [ICACHE-SET] [LISTEN-BACKLOG] [MAX-EPEVENTS]\n"
            "Sends messages of MAX-BYTES (1024) bytes back, spending OP-DELAY ns and touching "
            "WORKING-SET bytes for each.\nCONFIG and ICACHE-SET are ignored.\n", argv[0]);
    return 2;
  }
  struct settings set = {
    .port = (uint16_t)arg_number(argc, argv, 1, "PORT", 0, 1, 65535),
    .threads = (unsigned)arg_number(argc, argv, 2, "THREADS", 1, 1, 32),
    .max_flows = (unsigned)arg_number(argc, argv, 4, "MAX-FLOWS", 131072, 1, 131072),
    .message_size = arg_number(argc, argv, 5, "MAX-BYTES", 1024, 1, 1u << 30),
    .op_delay_ns = arg_number(argc, argv, 6, "OP-DELAY", 0, 0, 1000000000),
    .working_set = arg_number(argc, argv, 7, "WORKING-SET", 0, 0, 1u << 30),
    .backlog = (unsigned)arg_number(argc, argv, 9, "LISTEN-BACKLOG", 4096, 1, 131072),
    .max_events = (unsigned)arg_number(argc, argv, 10, "MAX-EPEVENTS", 32, 1, 4096),
  };
  stack_init();
  struct thread threads[32] = { 0 };
  pthread_t ids[32];
  for (unsigned i = 0; i < set.threads; i++) {
    threads[i].settings = &set;
    if (pthread_create(&ids[i], NULL, serve, &threads[i]) != 0) {
      perror("pthread_create");
      return 1;
    }
  }
  for (unsigned i = 0; i < set.threads; i++)
    pthread_join(ids[i], NULL);
  return 0;
}
