/* An echo server on the low-level library of TAS: sends back what it receives. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tas_ll.h>

#define EVENTS 64
#define ACCEPTS 16

/* What is kept of a connection. The library's part comes first, so that a
 * pointer to it is a pointer to the whole. */
struct client {
  struct flextcp_connection tcp;
  size_t unread; /* received and not yet sent back */
  size_t pos;    /* where that begins in the receive buffer */
  int ended;     /* the peer has closed its direction */
  int closing;   /* so have we */
};

static struct flextcp_context ctx;
static struct flextcp_listener listener;

static void offer(void)
{
  struct client *c = calloc(1, sizeof(*c));
  if (c == NULL || flextcp_listen_accept(&ctx, &listener, &c->tcp) != 0) {
    fprintf(stderr, "cannot accept\n");
    exit(1);
  }
}

/* Sends back as much as the transmit buffer takes. */
static void echo(struct client *c)
{
  while (c->unread > 0) {
    size_t len = c->tcp.rxb_len - c->pos; /* up to the end of the ring */
    if (len > c->unread)
      len = c->unread;
    void *to;
    ssize_t n = flextcp_connection_tx_alloc(&c->tcp, len, &to);
    if (n <= 0)
      return; /* full: CONN_SENDBUF tells when there is room */
    memcpy(to, (const char *)c->tcp.rxb_base + c->pos, n);
    flextcp_connection_tx_send(&ctx, &c->tcp, n);
    flextcp_connection_rx_done(&ctx, &c->tcp, n);
    c->pos = (c->pos + n) % c->tcp.rxb_len;
    c->unread -= n;
  }
  if (c->ended && !c->closing) {
    c->closing = 1;
    flextcp_connection_tx_close(&ctx, &c->tcp);
  }
}

static void handle(const struct flextcp_event *e)
{
  struct client *c;
  switch (e->event_type) {
    case FLEXTCP_EV_LISTEN_OPEN:
      if (e->ev.listen_open.status != 0) {
        fprintf(stderr, "listen: %s\n", strerror(-e->ev.listen_open.status));
        exit(1);
      }
      for (int i = 0; i < ACCEPTS; i++)
        offer();
      printf("listening\n");
      fflush(stdout);
      break;
    case FLEXTCP_EV_LISTEN_ACCEPT:
      offer(); /* for the next one */
      if (e->ev.listen_accept.status != 0)
        free(e->ev.listen_accept.conn);
      break;
    case FLEXTCP_EV_CONN_RECEIVED:
      c = (struct client *)e->ev.conn_received.conn;
      if (c->unread == 0)
        c->pos = (char *)e->ev.conn_received.buf - (char *)c->tcp.rxb_base;
      c->unread += e->ev.conn_received.len;
      echo(c);
      break;
    case FLEXTCP_EV_CONN_SENDBUF:
      echo((struct client *)e->ev.conn_sendbuf.conn);
      break;
    case FLEXTCP_EV_CONN_RXCLOSED:
      c = (struct client *)e->ev.conn_rxclosed.conn;
      c->ended = 1;
      echo(c);
      break;
    case FLEXTCP_EV_CONN_TXCLOSED: /* all is acknowledged, FIN included */
      flextcp_connection_close(&ctx, e->ev.conn_txclosed.conn);
      break;
    case FLEXTCP_EV_CONN_CLOSED: /* also after a reset by the peer */
      free(e->ev.conn_closed.conn);
      break;
    default:
      break;
  }
}

int main(int argc, char *argv[])
{
  struct flextcp_event events[EVENTS];
  int port = argc == 2 ? atoi(argv[1]) : 0;
  if (port <= 0 || port > 65535) {
    fprintf(stderr, "usage: echo PORT\n");
    return 1;
  }
  if (flextcp_init() != 0 || flextcp_context_create(&ctx) != 0
      || flextcp_listen_open(&ctx, &listener, port, 128, 0) != 0)
    return 1; /* the library has said why */

  for (;;) {
    int n = flextcp_context_poll(&ctx, EVENTS, events);
    if (n < 0)
      return 1; /* the service is gone */
    for (int i = 0; i < n; i++)
      handle(&events[i]);
    /* Sleeps only when TAS allows it: otherwise it returns at once. */
    if (n == 0)
      flextcp_context_wait(&ctx, -1);
  }
}
