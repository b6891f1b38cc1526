/* One direction as fast as it goes: the client sends a known pattern on every
 * connection without end, the server checks each byte and after some time
 * tells how many it got. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "pattern.h"
#include "stack.h"

#define CHUNK 16384

struct stream {
  uint64_t at;
};

static bool server;
static uint64_t conns, first_ns, received;
static unsigned char data[CHUNK];

static void fail(const char *what, uint64_t at)
{
  printf("stream: FAILED: %s at byte %llu\n", what, (unsigned long long)at);
  exit(1);
}

static void receive(struct conn *conn)
{
  struct stream *s = conn->user;
  size_t n;
  while ((n = conn_recv(conn, data, sizeof(data))) > 0) {
    if (first_ns == 0)
      first_ns = now_ns();
    for (size_t i = 0; i < n; i++)
      if (data[i] != pattern(0, s->at + i))
        fail("wrong byte", s->at + i);
    s->at += n;
    received += n;
  }
  if (conn_ended(conn))
    fail("end of the stream", s->at);
}

static void transmit(struct conn *conn)
{
  struct stream *s = conn->user;
  size_t n;
  do {
    for (size_t i = 0; i < sizeof(data); i++)
      data[i] = pattern(0, s->at + i);
    n = conn_send(conn, data, sizeof(data));
    s->at += n;
  } while (n == sizeof(data));
}

static void handle(struct conn *conn, enum stack_event event, int error)
{
  switch (event) {
    case STACK_ACCEPTED:
      conn->user = checked(calloc(1, sizeof(struct stream)));
      receive(conn);
      break;
    case STACK_OPENED:
    case STACK_READY:
      if (server)
        receive(conn);
      else
        transmit(conn);
      break;
    case STACK_FAILED:
      printf("stream: %s\n", strerror(error));
      fail("connection failed", ((const struct stream *)conn->user)->at);
      break;
  }
}

static int usage(const char *name)
{
  fprintf(stderr, "usage: %s client IP PORT CONNS\n       %s server PORT MILLISECONDS\n", name,
          name);
  return 2;
}

/* For so long after the first byte. */
static int serve(struct stack *stack, uint16_t port, uint64_t span_ns)
{
  int error = stack_listen(stack, port, 4096);
  if (error != 0) {
    printf("stream: cannot listen: %s\n", strerror(error));
    return 1;
  }
  printf("stream: listening on port %u (%s)\n", port, stack_name);
  fflush(stdout);
  while (first_ns == 0 || now_ns() - first_ns < span_ns)
    if (stack_run(stack, 1) != 0)
      fail("the stack is gone", received);
  printf("stream: ok bytes=%llu ns=%llu\n", (unsigned long long)received,
         (unsigned long long)(now_ns() - first_ns));
  return 0;
}

/* Until it is killed. */
static int load(struct stack *stack, uint32_t ip, uint16_t port)
{
  for (uint64_t opened = 0; opened < conns;) {
    struct stream *s = checked(calloc(1, sizeof(*s)));
    if (stack_open(stack, ip, port, s) == NULL)
      free(s);
    else
      opened++;
    stack_run(stack, 0);
  }
  while (stack_run(stack, 100) == 0)
    ;
  return 1;
}

int main(int argc, char *argv[])
{
  server = argc == 4 && strcmp(argv[1], "server") == 0;
  if (!server && (argc != 5 || strcmp(argv[1], "client") != 0))
    return usage(argv[0]);
  stack_init();
  struct stack *stack = stack_new(handle, NULL, 64);
  if (server) {
    uint16_t port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535);
    uint64_t ms = arg_number(argc, argv, 3, "MILLISECONDS", 0, 1, 3600000);
    return serve(stack, port, ms * 1000000);
  }
  uint16_t port = (uint16_t)arg_number(argc, argv, 3, "PORT", 0, 1, 65535);
  conns = arg_number(argc, argv, 4, "CONNS", 1, 1, 100000);
  return load(stack, arg_address(argv[2]), port);
}
