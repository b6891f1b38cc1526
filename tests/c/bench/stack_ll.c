/* stack.h on the low-level library of TAS. */
#include "stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tas_ll.h>

#include "args.h"

/* Connections offered to a listener ahead of their arrival. */
#define ACCEPTS 64

struct ll_conn {
  struct conn base;
  struct flextcp_connection tcp;
  /* Unread bytes, and where they start in the receive buffer. */
  uint32_t rx_avail;
  uint32_t rx_pos;
  bool accepted;
  bool ended;
  bool finished;
  /* The program has let go; the connection is freed once TAS has, too. */
  bool released;
  /* TAS has let go. */
  bool gone;
  struct ll_conn *retry_next;
};

struct stack {
  struct flextcp_context ctx;
  struct flextcp_listener listener;
  /* 1 until the answer to listen_open is there, then 0 or a negative errno. */
  int listen_status;
  stack_handler handler;
  void *user;
  struct flextcp_event *events;
  unsigned max_events;
  /* Connections whose close found a full queue. */
  struct ll_conn *retries;
  /* Accepts that found a full queue. */
  unsigned missing_accepts;
};

const char *const stack_name = "TAS";

void stack_init(void)
{
  if (flextcp_init() != 0)
    exit(1);
}

struct stack *stack_new(stack_handler handler, void *user, unsigned max_events)
{
  struct stack *s = checked(calloc(1, sizeof(*s)));
  s->handler = handler;
  s->user = user;
  /* A stretch that wraps around takes two events at once. */
  s->max_events = max_events < 2 ? 2 : max_events;
  s->events = checked(calloc(s->max_events, sizeof(*s->events)));
  if (flextcp_context_create(&s->ctx) != 0)
    exit(1);
  return s;
}

void *stack_user(const struct stack *s)
{
  return s->user;
}

static struct ll_conn *conn_new(struct stack *s)
{
  struct ll_conn *c = checked(calloc(1, sizeof(*c)));
  c->base.stack = s;
  return c;
}

static struct ll_conn *conn_of(struct flextcp_connection *tcp)
{
  return (struct ll_conn *)((char *)tcp - offsetof(struct ll_conn, tcp));
}

static void offer_accepts(struct stack *s)
{
  for (; s->missing_accepts > 0; s->missing_accepts--) {
    struct ll_conn *c = conn_new(s);
    c->accepted = true;
    if (flextcp_listen_accept(&s->ctx, &s->listener, &c->tcp) != 0) {
      free(c);
      return;
    }
  }
}

int stack_listen(struct stack *s, uint16_t port, unsigned backlog)
{
  s->listen_status = 1;
  if (flextcp_listen_open(&s->ctx, &s->listener, port, backlog,
                          FLEXTCP_LISTEN_REUSEPORT) != 0)
    return errno;
  while (s->listen_status == 1)
    if (stack_run(s, 100) != 0)
      return ECONNRESET;
  if (s->listen_status == 0) {
    s->missing_accepts = ACCEPTS;
    offer_accepts(s);
  }
  return -s->listen_status;
}

struct conn *stack_open(struct stack *s, uint32_t ip, uint16_t port, void *user)
{
  struct ll_conn *c = conn_new(s);
  c->base.user = user;
  if (flextcp_connection_open(&s->ctx, &c->tcp, ip, port) != 0) {
    free(c);
    return NULL;
  }
  return &c->base;
}

static void notify(struct ll_conn *c, enum stack_event event, int error)
{
  if (!c->released)
    c->base.stack->handler(&c->base, event, error);
}

/* The answer to an open or accept; a failed one leaves nothing to close. */
static void answered(struct ll_conn *c, int status)
{
  if (c->accepted) {
    c->base.stack->missing_accepts++;
    if (status != 0) {
      /* The program never knew of it. */
      free(c);
      return;
    }
  }
  if (status == 0) {
    notify(c, c->accepted ? STACK_ACCEPTED : STACK_OPENED, 0);
    return;
  }
  c->gone = true;
  notify(c, STACK_FAILED, -status);
}

static void received(struct ll_conn *c, const void *buf, size_t len)
{
  if (c->rx_avail == 0)
    c->rx_pos = (uint32_t)((const char *)buf - (const char *)c->tcp.rxb_base);
  c->rx_avail += (uint32_t)len;
  notify(c, STACK_READY, 0);
}

static void closed(struct ll_conn *c, int status)
{
  c->gone = true;
  if (c->released)
    free(c);
  else
    notify(c, STACK_FAILED, status == 0 ? ECONNABORTED : -status);
}

static void dispatch(struct stack *s, const struct flextcp_event *e)
{
  switch (e->event_type) {
    case FLEXTCP_EV_LISTEN_OPEN:
      s->listen_status = e->ev.listen_open.status;
      break;
    case FLEXTCP_EV_LISTEN_ACCEPT:
      answered(conn_of(e->ev.listen_accept.conn), e->ev.listen_accept.status);
      break;
    case FLEXTCP_EV_CONN_OPEN:
      answered(conn_of(e->ev.conn_open.conn), e->ev.conn_open.status);
      break;
    case FLEXTCP_EV_CONN_RECEIVED:
      received(conn_of(e->ev.conn_received.conn), e->ev.conn_received.buf,
               e->ev.conn_received.len);
      break;
    case FLEXTCP_EV_CONN_SENDBUF:
      notify(conn_of(e->ev.conn_sendbuf.conn), STACK_READY, 0);
      break;
    case FLEXTCP_EV_CONN_RXCLOSED:
      conn_of(e->ev.conn_rxclosed.conn)->ended = true;
      notify(conn_of(e->ev.conn_rxclosed.conn), STACK_READY, 0);
      break;
    case FLEXTCP_EV_CONN_CLOSED:
      closed(conn_of(e->ev.conn_closed.conn), e->ev.conn_closed.status);
      break;
    default:
      /* NEWCONN: accepts are offered ahead. TXCLOSED: TAS finishes by itself. */
      break;
  }
}

static void retry_closes(struct stack *s)
{
  struct ll_conn *c = s->retries;
  s->retries = NULL;
  while (c != NULL) {
    struct ll_conn *next = c->retry_next;
    conn_close(&c->base);
    c = next;
  }
}

int stack_run(struct stack *s, int timeout_ms)
{
  retry_closes(s);
  int n = flextcp_context_poll(&s->ctx, (int)s->max_events, s->events);
  if (n < 0)
    return -1;
  for (int i = 0; i < n; i++)
    dispatch(s, &s->events[i]);
  offer_accepts(s);
  if (n == 0 && timeout_ms != 0 && s->retries == NULL
      && flextcp_context_canwait(&s->ctx) == 0
      && flextcp_context_wait(&s->ctx, timeout_ms) != 0 && errno == ECONNRESET)
    return -1;
  return 0;
}

size_t conn_recv(struct conn *conn, void *buf, size_t len)
{
  struct ll_conn *c = (struct ll_conn *)conn;
  if (len > c->rx_avail)
    len = c->rx_avail;
  if (len == 0 || c->gone)
    return 0;
  size_t first = c->tcp.rxb_len - c->rx_pos;
  if (first > len)
    first = len;
  memcpy(buf, (const char *)c->tcp.rxb_base + c->rx_pos, first);
  memcpy((char *)buf + first, c->tcp.rxb_base, len - first);
  if (flextcp_connection_rx_done(&conn->stack->ctx, &c->tcp, len) != 0)
    return 0;
  c->rx_pos = (uint32_t)((c->rx_pos + len) % c->tcp.rxb_len);
  c->rx_avail -= (uint32_t)len;
  return len;
}

size_t conn_send(struct conn *conn, const void *buf, size_t len)
{
  struct ll_conn *c = (struct ll_conn *)conn;
  void *to1 = NULL, *to2 = NULL;
  size_t first = 0;
  ssize_t n = flextcp_connection_tx_alloc2(&c->tcp, len, &to1, &first, &to2);
  if (n <= 0)
    return 0;
  memcpy(to1, buf, first);
  if ((size_t)n > first)
    memcpy(to2, (const char *)buf + first, (size_t)n - first);
  if (flextcp_connection_tx_send(&conn->stack->ctx, &c->tcp, (size_t)n) != 0)
    return 0;
  return (size_t)n;
}

bool conn_ended(const struct conn *conn)
{
  const struct ll_conn *c = (const struct ll_conn *)conn;
  return c->ended && c->rx_avail == 0;
}

void conn_finish(struct conn *conn)
{
  struct ll_conn *c = (struct ll_conn *)conn;
  c->finished = true;
  /* Fails only where the connection has failed, which an event tells. */
  flextcp_connection_tx_close(&conn->stack->ctx, &c->tcp);
}

void conn_close(struct conn *conn)
{
  struct ll_conn *c = (struct ll_conn *)conn;
  c->released = true;
  if (c->gone) {
    free(c);
    return;
  }
  if (flextcp_connection_close(&conn->stack->ctx, &c->tcp) == 0)
    return;
  if (errno == ECONNRESET) {
    free(c);
  } else if (errno == EAGAIN) {
    c->retry_next = conn->stack->retries;
    conn->stack->retries = c;
  }
}
