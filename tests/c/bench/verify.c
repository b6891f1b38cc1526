/* Transfers bytes of a known pattern both ways at once and checks every one;
 * each side ends its own direction when it has sent all, and wants to see the
 * other's end after exactly the bytes announced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "pattern.h"
#include "stack.h"

#define CHUNK 65536

/* What a client sends first. */
struct hello {
  uint64_t seed;
  uint64_t total;
};

struct settings {
  bool server;
  uint32_t ip;
  uint16_t port;
  size_t message_size;
  uint64_t messages;
  uint64_t conns;
  /* Connections at a time. */
  uint64_t at_once;
};

struct transfer {
  struct hello hello;
  size_t hello_done;
  uint64_t sent;
  uint64_t received;
  bool finished;
};

static struct settings set;
static uint64_t started, completed, verified;
static unsigned char out[1u << 20], in[CHUNK];
/* What `out` holds: bytes `out_from` to `out_to` of a transfer. */
static const struct transfer *out_of;
static uint64_t out_from, out_to;

static void fail(const char *what, uint64_t at)
{
  printf("verify: FAILED: %s at byte %llu\n", what, (unsigned long long)at);
  exit(1);
}

static uint64_t out_seed(const struct transfer *t)
{
  return set.server ? ~t->hello.seed : t->hello.seed;
}

static uint64_t in_seed(const struct transfer *t)
{
  return set.server ? t->hello.seed : ~t->hello.seed;
}

/* Moves the hello; whether all of it is there. */
static bool exchange_hello(struct conn *conn, struct transfer *t)
{
  while (t->hello_done < sizeof(t->hello)) {
    unsigned char *at = (unsigned char *)&t->hello + t->hello_done;
    size_t left = sizeof(t->hello) - t->hello_done;
    size_t n = set.server ? conn_recv(conn, at, left) : conn_send(conn, at, left);
    if (n == 0)
      return false;
    t->hello_done += n;
  }
  return true;
}

/* The next `len` bytes to send. A message that goes out in many pieces is made
 * once. */
static const unsigned char *message(const struct transfer *t, size_t len)
{
  if (out_of != t || t->sent < out_from || t->sent + len > out_to) {
    for (size_t i = 0; i < len; i++)
      out[i] = pattern(out_seed(t), t->sent + i);
    out_of = t;
    out_from = t->sent;
    out_to = t->sent + len;
  }
  return out + (t->sent - out_from);
}

static bool send_some(struct conn *conn, struct transfer *t)
{
  bool progress = false;
  while (t->sent < t->hello.total) {
    /* Up to the end of the current message. */
    size_t len = set.message_size - t->sent % set.message_size;
    if (len > t->hello.total - t->sent)
      len = t->hello.total - t->sent;
    size_t n = conn_send(conn, message(t, len), len);
    t->sent += n;
    progress |= n > 0;
    if (n < len)
      return progress;
  }
  if (!t->finished) {
    t->finished = true;
    conn_finish(conn);
  }
  return progress;
}

static bool receive_some(struct conn *conn, struct transfer *t)
{
  bool progress = false;
  size_t n;
  while ((n = conn_recv(conn, in, sizeof(in))) > 0) {
    for (size_t i = 0; i < n; i++)
      if (in[i] != pattern(in_seed(t), t->received + i))
        fail("wrong byte", t->received + i);
    t->received += n;
    verified += n;
    progress = true;
    if (t->received > t->hello.total)
      fail("more bytes than were sent", t->received);
  }
  return progress;
}

static void pump(struct conn *conn)
{
  struct transfer *t = conn->user;
  if (!exchange_hello(conn, t)) {
    if (conn_ended(conn))
      fail("end within the hello", t->hello_done);
    return;
  }
  /* Sending again only once something came back would not do: both sides may
   * have full buffers. Each is told when there is room. */
  while (receive_some(conn, t) | send_some(conn, t))
    ;
  if (!conn_ended(conn))
    return;
  if (t->received != t->hello.total)
    fail("end too early", t->received);
  if (!t->finished)
    return;
  if (out_of == t)
    out_of = NULL;
  free(t);
  conn_close(conn);
  completed++;
}

static void handle(struct conn *conn, enum stack_event event, int error)
{
  const struct transfer *t = conn->user;
  switch (event) {
    case STACK_ACCEPTED:
      conn->user = checked(calloc(1, sizeof(struct transfer)));
      pump(conn);
      break;
    case STACK_OPENED:
    case STACK_READY:
      pump(conn);
      break;
    case STACK_FAILED:
      printf("verify: %s\n", strerror(error));
      fail("connection failed", t->received);
      break;
  }
}

static void open_more(struct stack *stack)
{
  while (started < set.conns && started - completed < set.at_once) {
    struct transfer *t = checked(calloc(1, sizeof(*t)));
    t->hello.seed = now_ns() * 2654435761u + started;
    t->hello.total = set.message_size * set.messages;
    if (stack_open(stack, set.ip, set.port, t) == NULL) {
      free(t);
      return;
    }
    started++;
  }
}

static int usage(const char *name)
{
  fprintf(stderr, "usage: %s client IP PORT MESSAGE-SIZE MESSAGES [CONNS] [AT-ONCE]\n"
          "       %s server PORT CONNS [MESSAGE-SIZE]\n", name, name);
  return 2;
}

static bool parse(int argc, char *argv[])
{
  set.server = argc >= 4 && strcmp(argv[1], "server") == 0;
  if (set.server) {
    set.port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535);
    set.conns = arg_number(argc, argv, 3, "CONNS", 1, 1, UINT64_MAX);
    set.message_size = arg_number(argc, argv, 4, "MESSAGE-SIZE", CHUNK, 1, sizeof(out));
    return argc <= 5;
  }
  if (argc < 6 || argc > 8 || strcmp(argv[1], "client") != 0)
    return false;
  set.ip = arg_address(argv[2]);
  set.port = (uint16_t)arg_number(argc, argv, 3, "PORT", 0, 1, 65535);
  set.message_size = arg_number(argc, argv, 4, "MESSAGE-SIZE", 1, 1, sizeof(out));
  set.messages = arg_number(argc, argv, 5, "MESSAGES", 1, 0, 1u << 30);
  set.conns = arg_number(argc, argv, 6, "CONNS", 1, 1, UINT64_MAX);
  set.at_once = arg_number(argc, argv, 7, "AT-ONCE", set.conns, 1, UINT64_MAX);
  return true;
}

/* The stack is told to go on until nothing more comes of it, so that the last
 * end is on its way before the process ends. */
static void settle(struct stack *stack)
{
  for (uint64_t end = now_ns() + 200000000; now_ns() < end;)
    if (stack_run(stack, 10) != 0)
      return;
}

int main(int argc, char *argv[])
{
  if (!parse(argc, argv))
    return usage(argv[0]);
  stack_init();
  struct stack *stack = stack_new(handle, NULL, 64);
  if (set.server) {
    int error = stack_listen(stack, set.port, 4096);
    if (error != 0) {
      printf("verify: cannot listen: %s\n", strerror(error));
      return 1;
    }
    printf("verify: listening on port %u (%s)\n", set.port, stack_name);
    fflush(stdout);
  }
  while (completed < set.conns) {
    if (!set.server)
      open_more(stack);
    if (stack_run(stack, 100) != 0)
      fail("the stack is gone", verified);
  }
  settle(stack);
  printf("verify: ok %llu bytes\n", (unsigned long long)verified);
  return 0;
}
