/* Connecting, contexts, and the answers to opens, listens and accepts. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "check.h"
#include "harness.h"
#include "tas_ll_connect.h"

static struct flextcp_context ctx;
static struct flextcp_connection conn;
static struct flextcp_listener lst;
static struct flextcp_event evs[8];
static struct kernel_appout out;
static struct buffers buffers;

static void poll_nothing(void)
{
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 0);
}

static void own_functions_are_called(void)
{
  h_start_plain();
  CHECK(h_connects == 1 && h_maps == 1);
  h_context(&ctx);
  CHECK(h_newctxs == 1);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_kicks == 1);
}

static void context_is_filled_in(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(ctx.db_id == 100 && ctx.ctx_id == 0 && ctx.num_queues == 1);
  CHECK(ctx.evfd >= 0 && flextcp_context_waitfd(&ctx) == ctx.evfd);
  CHECK((fcntl(ctx.evfd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(ctx.bump_pending_first == NULL && ctx.bump_pending_last == NULL);
  poll_nothing();
}

static void thirty_two_contexts(void)
{
  static struct flextcp_context many[33];
  int i;

  h_start_plain();
  for (i = 0; i < 32; i++) {
    CHECK(flextcp_context_create(&many[i]) == 0);
    CHECK(many[i].ctx_id == i);
  }
  CHECK(flextcp_context_create(&many[32]) == -1 && errno == EMFILE);
}

static void refused_context_does_not_count(void)
{
  int i, before;

  h_start_plain();
  h_refuse = 1;
  before = dup(0);
  for (i = 0; i < 40; i++)
    CHECK(flextcp_context_create(&ctx) == -1);
  CHECK(dup(0) == before + 1);
  h_refuse = 0;
  h_context(&ctx);
}

static void open_succeeds(void)
{
  h_start_plain();
  h_context(&ctx);
  memset(&conn, 0xa5, sizeof(conn));
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 8080) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(out.data.conn_open.opaque == (uintptr_t) &conn);
  CHECK(out.data.conn_open.remote_ip == PEER_IP && out.data.conn_open.remote_port == 8080);
  CHECK(out.data.conn_open.flags == 0);
  poll_nothing();
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_OPEN);
  CHECK(evs[0].ev.conn_open.status == 0 && evs[0].ev.conn_open.conn == &conn);
  CHECK(conn.rxb_base == buffers.rx && conn.rxb_len == sizeof(buffers.rx));
  CHECK(conn.txb_base == buffers.tx && conn.txb_len == sizeof(buffers.tx));
  CHECK(conn.local_ip == OWN_IP && conn.local_port == 4096);
  CHECK(conn.remote_ip == PEER_IP && conn.remote_port == 8080);
  CHECK(conn.flow_id == 7 && conn.seq_rx == 1000 && conn.seq_tx == 2000);
  poll_nothing();
}

static void open_fails(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_opened(0, &conn, NULL, 0, -ECONNREFUSED) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_OPEN);
  CHECK(evs[0].ev.conn_open.status == -ECONNREFUSED && evs[0].ev.conn_open.conn == &conn);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1 && errno == ENOTCONN);
  /* The same memory may be used again. */
  h_connect(&ctx, 0, &conn, &buffers, 0);
}

static void listen_and_accept(void)
{
  struct flextcp_connection second;
  struct kernel_appin in;

  h_start_plain();
  h_context(&ctx);
  memset(&lst, 0xa5, sizeof(lst));
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 16, FLEXTCP_LISTEN_REUSEPORT) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_LISTEN_OPEN);
  CHECK(out.data.listen_open.opaque == (uintptr_t) &lst);
  CHECK(out.data.listen_open.local_port == 80 && out.data.listen_open.backlog == 16);
  CHECK(out.data.listen_open.flags == KERNEL_APPOUT_LISTEN_REUSEPORT);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_LISTEN_OPEN, &lst, 0) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_LISTEN_OPEN);
  CHECK(evs[0].ev.listen_open.status == 0 && evs[0].ev.listen_open.listener == &lst);

  memset(&in, 0, sizeof(in));
  in.data.listen_newconn.opaque = (uintptr_t) &lst;
  in.data.listen_newconn.remote_ip = PEER_IP;
  in.data.listen_newconn.remote_port = 5000;
  CHECK(h_answer(0, KERNEL_APPIN_LISTEN_NEWCONN, &in) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_LISTEN_NEWCONN);
  CHECK(evs[0].ev.listen_newconn.listener == &lst);
  CHECK(evs[0].ev.listen_newconn.remote_ip == PEER_IP);
  CHECK(evs[0].ev.listen_newconn.remote_port == 5000);

  memset(&conn, 0xa5, sizeof(conn));
  CHECK(flextcp_listen_accept(&ctx, &lst, &conn) == 0);
  CHECK(flextcp_listen_accept(&ctx, &lst, &second) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_ACCEPT_CONN);
  CHECK(out.data.accept_conn.listen_opaque == (uintptr_t) &lst);
  CHECK(out.data.accept_conn.conn_opaque == (uintptr_t) &conn);
  CHECK(out.data.accept_conn.local_port == 80);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_ACCEPT_CONN);
  CHECK(out.data.accept_conn.conn_opaque == (uintptr_t) &second);
  CHECK(h_accepted(0, &conn, &buffers, 0, 0) == 0);
  CHECK(h_accepted(0, &second, NULL, 0, -ECONNABORTED) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 2);
  CHECK(evs[0].event_type == FLEXTCP_EV_LISTEN_ACCEPT);
  CHECK(evs[0].ev.listen_accept.status == 0 && evs[0].ev.listen_accept.conn == &conn);
  CHECK(conn.local_ip == OWN_IP && conn.local_port == 80);
  CHECK(conn.remote_ip == PEER_IP && conn.remote_port == 5000);
  CHECK(evs[1].event_type == FLEXTCP_EV_LISTEN_ACCEPT);
  CHECK(evs[1].ev.listen_accept.status == -ECONNABORTED);
}

static void listen_fails(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 16, 0) == 0);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_LISTEN_OPEN, &lst, -EADDRINUSE) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 1);
  CHECK(evs[0].ev.listen_open.status == -EADDRINUSE);
  CHECK(flextcp_listen_accept(&ctx, &lst, &conn) == -1);
}

static void accept_on_another_context(void)
{
  struct flextcp_context other;

  h_start_plain();
  h_context(&ctx);
  h_context(&other);
  h_listen(&ctx, 0, &lst);
  CHECK(flextcp_listen_accept(&other, &lst, &conn) == 0);
  CHECK(h_request(0, &out) == 0);
  CHECK(h_request(1, &out) == KERNEL_APPOUT_ACCEPT_CONN);
  CHECK(h_accepted(1, &conn, &buffers, 0, 0) == 0);
  CHECK(flextcp_context_poll(&ctx, 8, evs) == 0);
  CHECK(flextcp_context_poll(&other, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_LISTEN_ACCEPT);
}

static void scale_request(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_kernel_reqscale(&ctx, 3) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_REQ_SCALE);
  CHECK(out.data.req_scale.num_cores == 3);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_REQ_SCALE, NULL, 0) == 0);
  poll_nothing();
}

static void full_request_queue(void)
{
  struct service small = {
      .cores = 1, .kin_len = 2, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};
  struct flextcp_connection third;

  h_start(&small);
  h_context(&ctx);
  memset(&third, 0, sizeof(third));
  CHECK(flextcp_kernel_reqscale(&ctx, 1) == 0);
  CHECK(flextcp_kernel_reqscale(&ctx, 2) == 0);
  CHECK(flextcp_connection_open(&ctx, &third, PEER_IP, 80) == -1 && errno == EAGAIN);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 1, 0) == -1 && errno == EAGAIN);
  CHECK(h_kicks == 2);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_REQ_SCALE && out.data.req_scale.num_cores == 1);
  CHECK(flextcp_connection_open(&ctx, &third, PEER_IP, 80) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_REQ_SCALE && out.data.req_scale.num_cores == 2);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(h_request(0, &out) == 0);
}

static void null_and_nonsense(void)
{
  void *buf;
  size_t len;

  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_context_create(NULL) == -1);
  CHECK(flextcp_context_poll(NULL, 1, evs) == -1);
  CHECK(flextcp_context_poll(&ctx, 1, NULL) == -1);
  CHECK(flextcp_context_poll(&ctx, -1, evs) == -1);
  CHECK(flextcp_context_poll(&ctx, 0, NULL) == 0);
  CHECK(flextcp_context_waitfd(NULL) == -1);
  CHECK(flextcp_context_canwait(NULL) == -1);
  CHECK(flextcp_context_wait(NULL, 0) == -1);
  CHECK(flextcp_listen_open(NULL, &lst, 80, 1, 0) == -1);
  CHECK(flextcp_listen_open(&ctx, NULL, 80, 1, 0) == -1);
  CHECK(flextcp_listen_open(&ctx, &lst, 80, 1, 2) == -1);
  CHECK(flextcp_listen_accept(&ctx, NULL, &conn) == -1);
  CHECK(flextcp_listen_accept(&ctx, &lst, NULL) == -1);
  CHECK(flextcp_connection_open(&ctx, NULL, PEER_IP, 80) == -1);
  CHECK(flextcp_connection_open(NULL, &conn, PEER_IP, 80) == -1);
  CHECK(flextcp_connection_close(&ctx, NULL) == -1);
  CHECK(flextcp_connection_rx_done(&ctx, NULL, 1) == -1);
  CHECK(flextcp_connection_tx_alloc(NULL, 1, &buf) == -1);
  CHECK(flextcp_connection_tx_alloc2(NULL, 1, &buf, &len, &buf) == -1);
  CHECK(flextcp_connection_tx_send(&ctx, NULL, 1) == -1);
  CHECK(flextcp_connection_tx_close(&ctx, NULL) == -1);
  CHECK(flextcp_connection_tx_possible(&ctx, NULL) == -1);
  CHECK(flextcp_connection_move(&ctx, NULL) == -1);
  CHECK(flextcp_conn_pushtxeos(&ctx, NULL) == -1);
  CHECK(flextcp_conn_txbuf_available(NULL) == 0);
  CHECK(flextcp_context_tx_alloc(&ctx, NULL, 0) == -1);
  CHECK(flextcp_kernel_reqscale(NULL, 1) == -1);
  flextcp_context_tx_done(NULL, 0);
  CHECK(h_request(0, &out) == 0 && h_kicks == 0);
}

static void calls_on_an_unused_connection(void)
{
  void *buf;

  h_start_plain();
  h_context(&ctx);
  memset(&conn, 0, sizeof(conn));
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 0) == -1);
  CHECK(flextcp_connection_tx_alloc(&conn, 1, &buf) == -1);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 0) == -1);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1);
  CHECK(flextcp_connection_move(&ctx, &conn) == -1);
  memset(&conn, 0xff, sizeof(conn));
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 0) == -1);
  CHECK(h_request(0, &out) == 0);
}

static void unknown_answers_are_skipped(void)
{
  struct kernel_appin in;

  h_start_plain();
  h_context(&ctx);
  memset(&in, 0xff, sizeof(in));
  CHECK(h_answer(0, 200, &in) == 0);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, NULL, 0) == 0);
  h_connect(&ctx, 0, &conn, &buffers, 0);
}

int main(void)
{
  static const struct test tests[] = {
      TEST(own_functions_are_called),
      TEST(context_is_filled_in),
      TEST(thirty_two_contexts),
      TEST(refused_context_does_not_count),
      TEST(open_succeeds),
      TEST(open_fails),
      TEST(listen_and_accept),
      TEST(listen_fails),
      TEST(accept_on_another_context),
      TEST(scale_request),
      TEST(full_request_queue),
      TEST(null_and_nonsense),
      TEST(calls_on_an_unused_connection),
      TEST(unknown_answers_are_skipped),
  };

  return RUN_TESTS(tests);
}
