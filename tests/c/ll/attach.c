/* The library against a service: attach MODE [IP PORT]
 *
 * With a peer that echoes at IP and PORT (default 10.0.0.2, 80):
 *   echo       two threads, twenty connections each, every byte verified
 *   move       the same, while each connection goes to and fro between them
 *   cancel     connections that are closed before they are open
 *   silent     as cancel, with a peer that never answers
 * For a particular service:
 *   refused    port 1 refuses, and no port can be listened on
 *   death      the service ends after an update
 *   not-ready  the service is there and not ready
 *   absent     there is no service */
#include <arpa/inet.h>
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

struct stream {
  struct flextcp_connection conn;
  struct stream *next;
  size_t sent, received;
  int tx_closed, rx_closed, closing, closed;
  unsigned seed;
};

static uint32_t peer_ip = 0x0a000002;
static uint16_t peer_port = 80;

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
      if (flextcp_connection_open(&ctx, &mine[next].conn, peer_ip, peer_port) != 0) {
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
  CHECK(flextcp_connection_open(&ctx, &conn, peer_ip, 1) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_CONN_OPEN && ev.ev.conn_open.status == -ECONNREFUSED);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 1, 0) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_LISTEN_OPEN && ev.ev.listen_open.status == -EADDRINUSE);
}

/* --- Moving ------------------------------------------------------------------*/

/* What one thread hands to the other. */
static struct inbox {
  pthread_mutex_t lock;
  struct stream *first;
} inboxes[THREADS] = {{PTHREAD_MUTEX_INITIALIZER, NULL}, {PTHREAD_MUTEX_INITIALIZER, NULL}};
static struct stream movers[CONNS];
static int movers_closed;

static void hand_over(unsigned to, struct stream *stream)
{
  pthread_mutex_lock(&inboxes[to].lock);
  stream->next = inboxes[to].first;
  inboxes[to].first = stream;
  pthread_mutex_unlock(&inboxes[to].lock);
}

static void take_over(unsigned self, struct flextcp_context *ctx)
{
  struct stream *stream, *next;

  pthread_mutex_lock(&inboxes[self].lock);
  stream = inboxes[self].first;
  inboxes[self].first = NULL;
  pthread_mutex_unlock(&inboxes[self].lock);
  for (; stream != NULL; stream = next) {
    next = stream->next;
    if (flextcp_connection_move(ctx, &stream->conn) != 0) {
      CHECK(errno == EAGAIN);
      hand_over(self, stream);
    }
  }
}

/* Sends little at a time, and hands the connection over in between. */
static void next_leg(unsigned self, struct flextcp_context *ctx, struct stream *stream)
{
  size_t i, len = BYTES - stream->sent < 700 ? BYTES - stream->sent : 700;
  ssize_t got;
  void *buf;

  got = flextcp_connection_tx_alloc(&stream->conn, len, &buf);
  CHECK(got >= 0);
  for (i = 0; i < (size_t) got; i++)
    ((uint8_t *) buf)[i] = pattern(stream, stream->sent + i);
  stream->sent += got;
  CHECK(flextcp_connection_tx_send(ctx, &stream->conn, got) == 0);
  if (stream->sent == BYTES)
    CHECK(flextcp_connection_tx_close(ctx, &stream->conn) == 0);
  else
    hand_over(1 - self, stream);
}

static void *move_thread(void *arg)
{
  unsigned self = (uintptr_t) arg;
  struct flextcp_context ctx;
  struct flextcp_event evs[4];
  int i, num, next = self == 0 ? 0 : CONNS;

  CHECK(flextcp_context_create(&ctx) == 0);
  while (__atomic_load_n(&movers_closed, __ATOMIC_ACQUIRE) < CONNS) {
    for (; next < CONNS; next++) {
      movers[next].seed = next;
      if (flextcp_connection_open(&ctx, &movers[next].conn, peer_ip, peer_port) != 0) {
        CHECK(errno == EAGAIN);
        break;
      }
    }
    take_over(self, &ctx);
    num = flextcp_context_poll(&ctx, 4, evs);
    CHECK(num >= 0);
    for (i = 0; i < num; i++) {
      if (evs[i].event_type == FLEXTCP_EV_CONN_OPEN) {
        CHECK(evs[i].ev.conn_open.status == 0);
        next_leg(self, &ctx, (struct stream *) evs[i].ev.conn_open.conn);
      } else if (evs[i].event_type == FLEXTCP_EV_CONN_MOVED) {
        CHECK(evs[i].ev.conn_moved.status == 0);
        next_leg(self, &ctx, (struct stream *) evs[i].ev.conn_moved.conn);
      } else if (evs[i].event_type != FLEXTCP_EV_CONN_SENDBUF) {
        /* Room or not, the next leg sends what fits. */
        handle(&ctx, &evs[i]);
      }
      if (evs[i].event_type == FLEXTCP_EV_CONN_RXCLOSED)
        close_if_done(&ctx, (struct stream *) evs[i].ev.conn_rxclosed.conn);
      else if (evs[i].event_type == FLEXTCP_EV_CONN_TXCLOSED)
        close_if_done(&ctx, (struct stream *) evs[i].ev.conn_txclosed.conn);
      else if (evs[i].event_type == FLEXTCP_EV_CONN_CLOSED)
        __atomic_add_fetch(&movers_closed, 1, __ATOMIC_RELEASE);
    }
  }
  return NULL;
}

static void move(void)
{
  pthread_t threads[THREADS];
  uintptr_t i;

  CHECK(flextcp_init() == 0);
  for (i = 0; i < THREADS; i++)
    CHECK(pthread_create(&threads[i], NULL, move_thread, (void *) i) == 0);
  for (i = 0; i < THREADS; i++)
    CHECK(pthread_join(threads[i], NULL) == 0);
}

/* --- Closing early -------------------------------------------------------------*/

/* Polls once; whether a connection was closed. */
static int poll_closed(struct flextcp_context *ctx)
{
  struct flextcp_event ev;
  int num = flextcp_context_poll(ctx, 1, &ev);

  CHECK(num >= 0);
  if (num == 0)
    return 0;
  if (ev.event_type == FLEXTCP_EV_CONN_OPEN) {
    /* While the close waited for room. */
    CHECK(ev.ev.conn_open.status == 0);
    return 0;
  }
  CHECK(ev.event_type == FLEXTCP_EV_CONN_CLOSED);
  CHECK(ev.ev.conn_closed.status == 0);
  memset(ev.ev.conn_closed.conn, 0x5a, sizeof(struct flextcp_connection));
  return 1;
}

/* Opens connections, closes them at once or a little later, and wants one
 * event for each. */
static void open_and_close(int pause)
{
  static struct flextcp_connection conns[CONNS];
  struct flextcp_context ctx;
  int i, round, closed;

  CHECK(flextcp_init() == 0);
  CHECK(flextcp_context_create(&ctx) == 0);
  for (round = 0; round < 20; round++) {
    closed = 0;
    for (i = 0; i < CONNS; i++) {
      while (flextcp_connection_open(&ctx, &conns[i], peer_ip, peer_port) != 0) {
        CHECK(errno == EAGAIN);
        closed += poll_closed(&ctx);
      }
      usleep(pause * round);
      while (flextcp_connection_close(&ctx, &conns[i]) != 0) {
        CHECK(errno == EAGAIN);
        closed += poll_closed(&ctx);
      }
    }
    while (closed < CONNS)
      closed += poll_closed(&ctx);
    CHECK(poll_closed(&ctx) == 0);
  }
}

static void cancel(void)
{
  open_and_close(10);
}

static void silent(void)
{
  struct flextcp_context ctx;
  struct flextcp_connection conn;
  struct flextcp_listener lst;
  struct flextcp_event ev;

  open_and_close(0);
  /* Nobody connects to this listener. */
  CHECK(flextcp_context_create(&ctx) == 0);
  CHECK(flextcp_listen_open(&ctx, &lst, 9999, 1, 0) == 0);
  CHECK(flextcp_listen_accept(&ctx, &lst, &conn) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_LISTEN_OPEN && ev.ev.listen_open.status == 0);
  next_event(&ctx, &ev);
  CHECK(ev.event_type == FLEXTCP_EV_CONN_CLOSED && ev.ev.conn_closed.status == 0);
}

/* --- Particular services -----------------------------------------------------------*/

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
  CHECK(flextcp_connection_open(&ctx, &conn, peer_ip, peer_port) == 0);
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
  CHECK(flextcp_connection_open(&ctx, &other, peer_ip, peer_port) == -1 && errno == ECONNRESET);
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
               {"move", move},
               {"cancel", cancel},
               {"silent", silent},
               {"refused", refused},
               {"not-ready", not_ready},
               {"absent", absent},
               {"death", death}};
  struct in_addr ip;
  size_t i;

  alarm(60);
  if (argc == 4 && inet_pton(AF_INET, argv[2], &ip) == 1) {
    peer_ip = ntohl(ip.s_addr);
    peer_port = atoi(argv[3]);
    argc = 2;
  }
  for (i = 0; argc == 2 && i < sizeof(modes) / sizeof(modes[0]); i++) {
    if (strcmp(argv[1], modes[i].name) == 0) {
      modes[i].run();
      return 0;
    }
  }
  fprintf(stderr, "usage: attach MODE [IP PORT]\n");
  return 2;
}
