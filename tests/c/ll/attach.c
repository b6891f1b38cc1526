/* The library against a service: attach echo | refused | not-ready | absent | death */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "tas_ll.h"

#define THREADS 2
#define CONNS 20
#define BYTES 20000
#define PEER_IP 0x0a000002u

struct stream {
  struct flextcp_connection conn;
  size_t sent, received;
  int tx_closed, rx_closed, closing, closed;
  unsigned seed;
};

static uint8_t pattern(const struct stream *stream, size_t pos)
{
  return (pos * 131 + stream->seed * 17 + (pos >> 8)) & 0xff;
}

static void pump(struct flextcp_context *ctx, struct stream *stream)
{
  ssize_t len, i;
  void *buf;

  while (stream->sent < BYTES) {
    len = flextcp_connection_tx_alloc(&stream->conn, BYTES - stream->sent, &buf);
    CHECK(len >= 0);
    if (len == 0)
      return;
    for (i = 0; i < len; i++)
      ((uint8_t *) buf)[i] = pattern(stream, stream->sent + i);
    stream->sent += len;
    CHECK(flextcp_connection_tx_send(ctx, &stream->conn, len) == 0);
    if (stream->sent == BYTES)
      CHECK(flextcp_connection_tx_close(ctx, &stream->conn) == 0);
  }
}

static void received(struct flextcp_context *ctx, struct stream *stream, const uint8_t *buf,
                     size_t len)
{
  size_t i;

  for (i = 0; i < len; i++)
    CHECK(buf[i] == pattern(stream, stream->received + i));
  stream->received += len;
  CHECK(flextcp_connection_rx_done(ctx, &stream->conn, len) == 0);
}

/* The queue to the slow path may be too short for all at once. */
static void close_if_done(struct flextcp_context *ctx, struct stream *stream)
{
  if (!stream->tx_closed || !stream->rx_closed || stream->closing)
    return;
  if (flextcp_connection_close(ctx, &stream->conn) == 0)
    stream->closing = 1;
  else
    CHECK(errno == EAGAIN);
}

static void handle(struct flextcp_context *ctx, const struct flextcp_event *ev)
{
  struct stream *stream;

  switch (ev->event_type) {
    case FLEXTCP_EV_CONN_OPEN:
      stream = (struct stream *) ev->ev.conn_open.conn;
      CHECK(ev->ev.conn_open.status == 0);
      pump(ctx, stream);
      break;
    case FLEXTCP_EV_CONN_RECEIVED:
      stream = (struct stream *) ev->ev.conn_received.conn;
      received(ctx, stream, ev->ev.conn_received.buf, ev->ev.conn_received.len);
      break;
    case FLEXTCP_EV_CONN_SENDBUF:
      pump(ctx, (struct stream *) ev->ev.conn_sendbuf.conn);
      break;
    case FLEXTCP_EV_CONN_RXCLOSED:
      stream = (struct stream *) ev->ev.conn_rxclosed.conn;
      CHECK(stream->received == BYTES);
      stream->rx_closed = 1;
      break;
    case FLEXTCP_EV_CONN_TXCLOSED:
      stream = (struct stream *) ev->ev.conn_txclosed.conn;
      stream->tx_closed = 1;
      break;
    case FLEXTCP_EV_CONN_CLOSED:
      stream = (struct stream *) ev->ev.conn_closed.conn;
      CHECK(ev->ev.conn_closed.status == 0 && !stream->closed);
      stream->closed = 1;
      break;
    default:
      CHECK(!"unexpected event");
  }
}

static void *exchange(void *arg)
{
  static struct stream streams[THREADS][CONNS];
  struct stream *mine = streams[(uintptr_t) arg];
  struct flextcp_context ctx;
  struct flextcp_event evs[4];
  int i, num, done = 0, next = 0;

  CHECK(flextcp_context_create(&ctx) == 0);
  while (done < CONNS) {
    while (next < CONNS) {
      mine[next].seed = 100 * (uintptr_t) arg + next;
      if (flextcp_connection_open(&ctx, &mine[next].conn, PEER_IP, 80) != 0) {
        CHECK(errno == EAGAIN);
        break;
      }
      next++;
    }
    num = flextcp_context_poll(&ctx, 4, evs);
    CHECK(num >= 0);
    for (i = 0; i < num; i++) {
      handle(&ctx, &evs[i]);
      done += evs[i].event_type == FLEXTCP_EV_CONN_CLOSED;
    }
    for (i = 0; i < next; i++)
      close_if_done(&ctx, &mine[i]);
    if (num == 0 && next == CONNS && flextcp_context_canwait(&ctx) == 0)
      CHECK(flextcp_context_wait(&ctx, -1) == 0);
  }
  return NULL;
}

static void echo(void)
{
  pthread_t threads[THREADS];
  uintptr_t i;

  CHECK(flextcp_init() == 0);
  for (i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, exchange, (void *) i) == 0);
  for (i = 0; i < THREADS; i++)
    CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(flextcp_init() == -1 && errno == EALREADY);
}

static void next_event(struct flextcp_context *ctx, struct flextcp_event *ev)
{
  int num;

  while ((num = flextcp_context_poll(ctx, 1, ev)) == 0)
    if (flextcp_context_canwait(ctx) == 0)
      CHECK(flextcp_context_wait(ctx, -1) == 0);
  CHECK(num == 1);
}

static void refused(void)
{
  struct flextcp_context ctx;
  struct flextcp_connection conn;
  struct flextcp_listener lst;
  struct flextcp_event ev;

  CHECK(flextcp_init() == 0);
  CHECK(flextcp_context_create(&ctx) == 0);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 1) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_CONN_OPEN && ev.ev.conn_open.status == -ECONNREFUSED);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 1, 0) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_LISTEN_OPEN && ev.ev.listen_open.status == -EADDRINUSE);
}

static void not_ready(void)
{
  CHECK(flextcp_init() == -1 && errno == EAGAIN);
}

static void absent(void)
{
  struct flextcp_context ctx;

  CHECK(flextcp_init() == -1 && errno == ECONNREFUSED);
  CHECK(flextcp_context_create(&ctx) == -1 && errno == ENOTCONN);
}

/* The service goes away while data is in flight, and while asleep. */
static void death(void)
{
  struct flextcp_context ctx, asleep;
  struct flextcp_connection conn, other;
  struct flextcp_listener lst;
  struct flextcp_event ev;
  void *buf;
  int num = 0;

  CHECK(flextcp_init() == 0);
  CHECK(flextcp_context_create(&ctx) == 0);
  CHECK(flextcp_context_create(&asleep) == 0);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_CONN_OPEN && ev.ev.conn_open.status == 0);
  CHECK(flextcp_connection_tx_alloc(&conn, 10, &buf) == 10);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 5) == 0);
  next_event(&ctx, &ev);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 5) == 0);
  while (flextcp_context_canwait(&asleep) != 0 && num >= 0)
    num = flextcp_context_poll(&asleep, 1, &ev);
  CHECK(flextcp_context_wait(&asleep, -1) == -1 && errno == ECONNRESET);
  while ((num = flextcp_context_poll(&ctx, 1, &ev)) >= 0) {
  }
  CHECK(errno == ECONNRESET);
  CHECK(flextcp_context_canwait(&ctx) == -1 && errno == ECONNRESET);
  CHECK(flextcp_context_wait(&ctx, -1) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_open(&ctx, &other, PEER_IP, 80) == -1 && errno == ECONNRESET);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 1, 0) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 0) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1 && errno == ECONNRESET);
}

int main(int argc, char *argv[])
{
  static const struct {
    const char *name;
    void (*run)(void);
  } modes[] = {{"echo", echo},
               {"refused", refused},
               {"not-ready", not_ready},
               {"absent", absent},
               {"death", death}};
  size_t i;

  alarm(60);
  for (i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++) {
    if (strcmp(argv[1], modes[i].name) == 0) {
      modes[i].run();
      return 0;
    }
  }
  fprintf(stderr, "usage: attach echo|refused|not-ready|absent|death\n");
  return 2;
}
