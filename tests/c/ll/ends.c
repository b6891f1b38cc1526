/* Ends of streams, resets, closes in every state, and moves. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "harness.h"

#define FLRESET 0x2

static struct flextcp_context ctx;
static struct flextcp_connection conn;
static struct flextcp_listener lst;
static struct flextcp_event evs[8];
static struct flextcp_pl_atx atx;
static struct kernel_appout out;
static struct buffers buffers;

static void start(void)
{
  h_start_plain();
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
}

static int poll_n(int num)
{
  memset(evs, 0xa5, sizeof(evs));
  return flextcp_context_poll(&ctx, num, evs);
}

static void send_bytes(size_t len)
{
  void *buf;

  CHECK(flextcp_connection_tx_alloc(&conn, len, &buf) == (ssize_t) len);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, len) == 0);
}

static void expect_close_request(uint32_t flags)
{
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_CLOSE);
  CHECK(out.data.conn_close.opaque == (uintptr_t) &conn);
  CHECK(out.data.conn_close.remote_ip == conn.remote_ip);
  CHECK(out.data.conn_close.remote_port == conn.remote_port);
  CHECK(out.data.conn_close.local_ip == conn.local_ip);
  CHECK(out.data.conn_close.local_port == conn.local_port);
  CHECK(out.data.conn_close.flags == flags);
}

static void expect_closed(int32_t answer, int16_t status)
{
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, &conn, answer) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_CLOSED);
  CHECK(evs[0].ev.conn_closed.conn == &conn && evs[0].ev.conn_closed.status == status);
  CHECK(poll_n(8) == 0);
}

static void peer_closes(void)
{
  CHECK(h_deliver(0, 0, &conn, 0, 0, 0, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  CHECK(evs[0].ev.conn_rxclosed.conn == &conn);
}

static void peer_closes_after_data(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 9, 0, 0, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(8) == 2);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_RECEIVED && evs[0].ev.conn_received.len == 9);
  CHECK(evs[1].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  /* The other direction goes on. */
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 9) == 0);
  send_bytes(5);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 5);
  CHECK(h_request(0, &out) == 0);
}

static void application_closes(void)
{
  void *buf;

  start();
  send_bytes(5);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == 0);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1);
  CHECK(flextcp_connection_tx_alloc(&conn, 1, &buf) == -1);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == 0);
  CHECK(atx.msg.connupdate.tx_bump == 5 && atx.msg.connupdate.flags == 0);
  CHECK(h_update(0, 0, &atx) == 0);
  CHECK(atx.msg.connupdate.tx_bump == 1);
  CHECK(atx.msg.connupdate.flags == FLEXTCP_PL_ATX_FLTXDONE);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 5, 0) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 1, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_TXCLOSED);
  CHECK(evs[0].ev.conn_txclosed.conn == &conn);
  /* Bytes still arrive. */
  CHECK(h_deliver(0, 0, &conn, 3, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_RECEIVED);
}

static void end_waits_for_room(void)
{
  start();
  send_bytes(64);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 64);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == 0);
  CHECK(flextcp_conn_pushtxeos(&ctx, &conn) == -1 && errno == EAGAIN);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == -1);
  /* No SENDBUF: nothing more can be sent. */
  CHECK(h_deliver(0, 0, &conn, 0, 0, 10, 0) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 1);
  CHECK(atx.msg.connupdate.flags == FLEXTCP_PL_ATX_FLTXDONE);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 55, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_TXCLOSED);
}

static void close_after_both_ends(void)
{
  start();
  peer_closes();
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == 0);
  CHECK(h_update(0, 0, &atx) == 0);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 1, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_TXCLOSED);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(0);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
  expect_closed(0, 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
}

static void close_while_open_resets(void)
{
  start();
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

static void close_of_one_direction_resets(void)
{
  start();
  peer_closes();
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

static void close_posts_all_bytes_first(void)
{
  struct service small = {
      .cores = 1, .tx_len = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  peer_closes();
  send_bytes(5);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1 && errno == EAGAIN);
  CHECK(h_request(0, &out) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 5);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 1);
  CHECK(atx.msg.connupdate.flags == FLEXTCP_PL_ATX_FLTXDONE);
  expect_close_request(0);
  expect_closed(0, 0);
}

static void updates_of_a_closing_connection_are_dropped(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_deliver(0, 0, &conn, 4, 4, 0, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(8) == 0);
  expect_closed(0, 0);
}

static void updates_behind_the_answer_are_forgotten(void)
{
  static struct flextcp_connection other;
  static struct buffers room;

  start();
  h_connect(&ctx, 0, &other, &room, 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  /* Queued before the answer to the close, seen after it. */
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  CHECK(h_deliver(0, 0, &other, 6, 0, 0, 0) == 0);
  CHECK(h_deliver(0, 0, &conn, 4, 4, 0, 0) == 0);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, &conn, 0) == 0);
  CHECK(poll_n(1) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_CLOSED);
  /* The memory is ours: reading it as a connection would show. */
  memset(&conn, 0x03, sizeof(conn));
  CHECK(poll_n(8) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_RECEIVED);
  CHECK(evs[0].ev.conn_received.conn == &other && evs[0].ev.conn_received.len == 6);
  CHECK(poll_n(8) == 0);
}

static void close_drops_what_waits_for_room(void)
{
  struct service small = {
      .cores = 1, .tx_len = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};
  static struct flextcp_connection other;
  static struct buffers room;
  void *buf;

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  h_connect(&ctx, 0, &other, &room, 0);
  other.flow_id = 9;
  send_bytes(5);
  send_bytes(5);
  CHECK(flextcp_connection_tx_alloc(&other, 3, &buf) == 3);
  CHECK(flextcp_connection_tx_send(&ctx, &other, 3) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
  memset(&conn, 0xff, sizeof(conn));
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.tx_bump == 5);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.flow_id == 9);
  CHECK(poll_n(8) == 0 && h_update(0, 0, &atx) == -1);
}

static void close_before_the_answer_to_open(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

static void close_crosses_the_answer_to_open(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 0);
  expect_closed(0, 0);
}

static void close_crosses_a_failed_open(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_opened(0, &conn, NULL, 0, -ECONNREFUSED) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(poll_n(8) == 0);
  expect_closed(-ENOTCONN, 0);
}

/* A service that only closes what is open: the library closes it then. */
static void close_is_repeated_after_open(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_CLOSE);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, &conn, -1) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

/* It looks connections up by their addresses, which a close that crosses the
 * answer to open does not know. */
static void close_is_repeated_by_address(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_CLOSE);
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, &conn, -1) == 0);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

static void refused_close_and_failed_open(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(h_status(0, KERNEL_APPIN_STATUS_CONN_CLOSE, &conn, -1) == 0);
  CHECK(h_opened(0, &conn, NULL, 0, -ETIMEDOUT) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_CLOSED && evs[0].ev.conn_closed.status == 0);
}

static void close_while_accepting(void)
{
  h_start_plain();
  h_context(&ctx);
  h_listen(&ctx, 0, &lst);
  CHECK(flextcp_listen_accept(&ctx, &lst, &conn) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_ACCEPT_CONN);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, 0);
}

static void reset_by_the_peer(void)
{
  void *buf;

  start();
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 2);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_RECEIVED);
  CHECK(evs[1].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  /* The bytes stay where they are until the next poll. */
  CHECK(h_request(0, &out) == 0);
  CHECK(flextcp_connection_tx_alloc(&conn, 1, &buf) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1 && errno == ECONNRESET);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 4) == 0);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  CHECK(poll_n(8) == 0 && h_request(0, &out) == 0);
  expect_closed(0, -ECONNRESET);
}

static void close_after_a_reset(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 0, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  CHECK(poll_n(8) == 0 && h_request(0, &out) == 0);
  expect_closed(0, -ECONNRESET);
}

static void close_after_the_library_did(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 0, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  CHECK(flextcp_connection_close(&ctx, &conn) == 0);
  CHECK(flextcp_connection_close(&ctx, &conn) == -1);
  CHECK(h_request(0, &out) == 0);
  expect_closed(0, -ECONNRESET);
}

static void reset_after_the_peers_end(void)
{
  start();
  peer_closes();
  CHECK(h_deliver(0, 0, &conn, 0, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, -ECONNRESET);
}

static void early_reset(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(poll_n(8) == 3);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_OPEN);
  CHECK(evs[1].event_type == FLEXTCP_EV_CONN_RECEIVED && evs[1].ev.conn_received.len == 4);
  CHECK(evs[2].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, -ECONNRESET);
}

static void reset_with_a_full_request_queue(void)
{
  struct service small = {
      .cores = 1, .kin_len = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  CHECK(flextcp_kernel_reqscale(&ctx, 1) == 0);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 0, FLEXTCP_PL_ARX_FLRXDONE | FLRESET) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(poll_n(8) == 0);
  CHECK(h_request(0, &out) == KERNEL_APPOUT_REQ_SCALE);
  CHECK(poll_n(8) == 0);
  expect_close_request(KERNEL_APPOUT_CLOSE_RESET);
  expect_closed(0, -ECONNRESET);
}

static void move_to_another_context(void)
{
  struct flextcp_context other;

  start();
  h_context(&other);
  CHECK(flextcp_connection_move(&other, &conn) == 0);
  CHECK(flextcp_connection_move(&other, &conn) == -1);
  CHECK(h_request(0, &out) == 0);
  CHECK(h_request(1, &out) == KERNEL_APPOUT_CONN_MOVE);
  CHECK(out.data.conn_move.opaque == (uintptr_t) &conn);
  CHECK(out.data.conn_move.db_id == other.db_id);
  CHECK(out.data.conn_move.local_ip == conn.local_ip);
  CHECK(out.data.conn_move.local_port == conn.local_port);
  CHECK(out.data.conn_move.remote_ip == conn.remote_ip);
  CHECK(out.data.conn_move.remote_port == conn.remote_port);
  /* What the old context still has is delivered there. */
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_RECEIVED);
  CHECK(h_status(1, KERNEL_APPIN_STATUS_CONN_MOVE, &conn, 0) == 0);
  CHECK(h_deliver(1, 0, &conn, 5, 4, 0, 0) == 0);
  CHECK(flextcp_context_poll(&other, 8, evs) == 2);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_MOVED);
  CHECK(evs[0].ev.conn_moved.status == 0 && evs[0].ev.conn_moved.conn == &conn);
  CHECK(evs[1].event_type == FLEXTCP_EV_CONN_RECEIVED);
  CHECK(evs[1].ev.conn_received.buf == buffers.rx + 4 && evs[1].ev.conn_received.len == 5);
}

static void bytes_sent_during_a_move_go_after_it(void)
{
  struct flextcp_context other;
  void *buf;

  start();
  h_context(&other);
  send_bytes(3);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.bump_seq == 0);
  CHECK(flextcp_connection_move(&other, &conn) == 0);
  CHECK(flextcp_connection_tx_alloc(&conn, 6, &buf) == 6);
  CHECK(flextcp_connection_tx_send(&other, &conn, 6) == 0);
  CHECK(flextcp_context_poll(&other, 8, evs) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == -1 && h_update(1, 0, &atx) == -1);
  CHECK(h_status(1, KERNEL_APPIN_STATUS_CONN_MOVE, &conn, 0) == 0);
  CHECK(flextcp_context_poll(&other, 8, evs) == 1);
  CHECK(h_update(0, 0, &atx) == -1);
  CHECK(h_update(1, 0, &atx) == 0);
  CHECK(atx.msg.connupdate.tx_bump == 6 && atx.msg.connupdate.bump_seq == 1);
  CHECK(other.bump_pending_first == NULL);
}

static void failed_move(void)
{
  struct flextcp_context other;

  start();
  h_context(&other);
  CHECK(flextcp_connection_move(&other, &conn) == 0);
  CHECK(h_status(1, KERNEL_APPIN_STATUS_CONN_MOVE, &conn, -EINVAL) == 0);
  CHECK(flextcp_context_poll(&other, 8, evs) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_MOVED && evs[0].ev.conn_moved.status == -EINVAL);
}

int main(void)
{
  static const struct test tests[] = {
      TEST(peer_closes_after_data),
      TEST(application_closes),
      TEST(end_waits_for_room),
      TEST(close_after_both_ends),
      TEST(close_while_open_resets),
      TEST(close_of_one_direction_resets),
      TEST(close_posts_all_bytes_first),
      TEST(updates_of_a_closing_connection_are_dropped),
      TEST(updates_behind_the_answer_are_forgotten),
      TEST(close_drops_what_waits_for_room),
      TEST(close_before_the_answer_to_open),
      TEST(close_crosses_the_answer_to_open),
      TEST(close_crosses_a_failed_open),
      TEST(close_is_repeated_after_open),
      TEST(close_is_repeated_by_address),
      TEST(refused_close_and_failed_open),
      TEST(close_while_accepting),
      TEST(reset_by_the_peer),
      TEST(close_after_a_reset),
      TEST(close_after_the_library_did),
      TEST(reset_after_the_peers_end),
      TEST(early_reset),
      TEST(reset_with_a_full_request_queue),
      TEST(move_to_another_context),
      TEST(bytes_sent_during_a_move_go_after_it),
      TEST(failed_move),
  };

  return RUN_TESTS(tests);
}
