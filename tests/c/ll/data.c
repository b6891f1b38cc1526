/* Bytes in both directions: buffers that wrap, early data, full queues. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "harness.h"

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

static void expect_received(const struct flextcp_event *ev, size_t pos, size_t len)
{
  CHECK(ev->event_type == FLEXTCP_EV_CONN_RECEIVED);
  CHECK(ev->ev.conn_received.conn == &conn);
  CHECK(ev->ev.conn_received.buf == buffers.rx + pos);
  CHECK(ev->ev.conn_received.len == len);
}

static void expect_update(uint32_t rx_bump, uint32_t tx_bump, uint16_t seq, uint8_t flags)
{
  CHECK(h_update(0, 0, &atx) == 0);
  CHECK(atx.msg.connupdate.rx_bump == rx_bump);
  CHECK(atx.msg.connupdate.tx_bump == tx_bump);
  CHECK(atx.msg.connupdate.flow_id == conn.flow_id);
  CHECK(atx.msg.connupdate.bump_seq == seq);
  CHECK(atx.msg.connupdate.flags == flags);
}

static void no_update(void)
{
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == -1);
}

/* Sends `len` bytes through the library, which must take them all. */
static void send_bytes(size_t len)
{
  void *first, *second;
  size_t first_len;

  CHECK(flextcp_connection_tx_alloc2(&conn, len, &first, &first_len, &second) == (ssize_t) len);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, len) == 0);
}

static void received_in_one_piece(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 40, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  expect_received(&evs[0], 0, 40);
  CHECK(conn.rxb_used == 40);
  CHECK(poll_n(8) == 0);
}

static void received_across_the_end(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 48, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 48) == 0);
  CHECK(h_deliver(0, 0, &conn, 32, 48, 0, 0) == 0);
  CHECK(poll_n(8) == 2);
  expect_received(&evs[0], 48, 16);
  expect_received(&evs[1], 0, 16);
  /* Exactly up to the end is one piece. */
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 32) == 0);
  CHECK(h_deliver(0, 0, &conn, 48, 16, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  expect_received(&evs[0], 16, 48);
}

static void wrapped_data_needs_room_for_both(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 48, 0, 0, 0) == 0);
  CHECK(h_deliver(0, 0, &conn, 8, 48, 0, 0) == 0);
  CHECK(poll_n(8) == 2);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 56) == 0);
  CHECK(h_deliver(0, 0, &conn, 16, 56, 0, 0) == 0);
  CHECK(poll_n(1) == 0);
  CHECK(poll_n(1) == 0);
  CHECK(poll_n(2) == 2);
  expect_received(&evs[0], 56, 8);
  expect_received(&evs[1], 0, 8);
  CHECK(poll_n(2) == 0);
}

static void one_entry_many_events(void)
{
  start();
  send_bytes(64);
  expect_update(0, 64, 0, 0);
  CHECK(h_deliver(0, 0, &conn, 48, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 48) == 0);
  /* Two pieces, room to send, and the peer's end, two events at a time. */
  CHECK(h_deliver(0, 0, &conn, 32, 48, 10, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(2) == 2);
  expect_received(&evs[0], 48, 16);
  expect_received(&evs[1], 0, 16);
  CHECK(poll_n(1) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_SENDBUF && evs[0].ev.conn_sendbuf.conn == &conn);
  CHECK(flextcp_conn_txbuf_available(&conn) == 10);
  CHECK(poll_n(1) == 1);
  CHECK(evs[0].event_type == FLEXTCP_EV_CONN_RXCLOSED && evs[0].ev.conn_rxclosed.conn == &conn);
  CHECK(poll_n(1) == 0);
}

static void full_event_array_keeps_order(void)
{
  int i;

  start();
  for (i = 0; i < 6; i++)
    CHECK(h_deliver(0, 0, &conn, 4, 4 * i, 0, 0) == 0);
  CHECK(poll_n(0) == 0);
  CHECK(poll_n(4) == 4);
  expect_received(&evs[3], 12, 4);
  CHECK(poll_n(4) == 2);
  expect_received(&evs[0], 16, 4);
  expect_received(&evs[1], 20, 4);
}

static void freed_bytes_are_told_after_a_quarter(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 64, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 16) == 0);
  no_update();
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 1) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(17, 0, 0, 0);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 48) == -1 && errno == EINVAL);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 47) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(47, 0, 1, 0);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 1) == -1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, (size_t) 1 << 32) == -1);
  no_update();
}

static void sent_bytes_carry_freed_ones(void)
{
  start();
  CHECK(h_deliver(0, 0, &conn, 10, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 10) == 0);
  send_bytes(10);
  CHECK(poll_n(8) == 0);
  expect_update(10, 10, 0, 0);
  no_update();
}

static void allocation(void)
{
  void *buf, *second;
  size_t first;

  start();
  CHECK(flextcp_conn_txbuf_available(&conn) == 64);
  CHECK(flextcp_connection_tx_alloc(&conn, 40, &buf) == 40 && buf == buffers.tx);
  CHECK(flextcp_connection_tx_alloc(&conn, 40, &buf) == 24 && buf == buffers.tx + 40);
  CHECK(flextcp_connection_tx_alloc(&conn, 40, &buf) == 0);
  CHECK(flextcp_conn_txbuf_available(&conn) == 0);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 65) == -1 && errno == EINVAL);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 0) == 0);
  no_update();
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 50) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(0, 50, 0, 0);
  CHECK(flextcp_connection_tx_close(&ctx, &conn) == -1 && errno == EINVAL);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 15) == -1);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 14) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(0, 14, 1, 0);

  /* Thirty bytes are free again, from the start of the ring. */
  CHECK(h_deliver(0, 0, &conn, 0, 0, 50, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_SENDBUF);
  CHECK(flextcp_connection_tx_alloc(&conn, 30, &buf) == 30 && buf == buffers.tx);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 30) == 0);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 44, 0) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(0, 30, 2, 0);

  /* Free from 30 on, around the end: 34 + 30 bytes. */
  CHECK(flextcp_connection_tx_alloc2(&conn, 100, &buf, &first, &second) == 64);
  CHECK(buf == buffers.tx + 30 && first == 34 && second == buffers.tx);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 64) == 0);
  CHECK(poll_n(8) == 0);
  expect_update(0, 64, 3, 0);
}

static void contiguous_allocation_stops_at_the_end(void)
{
  void *buf;

  start();
  send_bytes(60);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 60, 0) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(flextcp_connection_tx_alloc(&conn, 10, &buf) == 4 && buf == buffers.tx + 60);
  CHECK(flextcp_connection_tx_alloc(&conn, 6, &buf) == 6 && buf == buffers.tx);
}

static void sendbuf_only_after_full(void)
{
  start();
  send_bytes(63);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 10, 0) == 0);
  CHECK(poll_n(8) == 0);
  send_bytes(11);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 1, 0) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_SENDBUF);
  CHECK(h_deliver(0, 0, &conn, 0, 0, 1, 0) == 0);
  CHECK(poll_n(8) == 0);
}

static void early_data_follows_the_answer(int accept)
{
  h_start_plain();
  h_context(&ctx);
  memset(&conn, 0xa5, sizeof(conn));
  if (accept) {
    h_listen(&ctx, 0, &lst);
    CHECK(flextcp_listen_accept(&ctx, &lst, &conn) == 0);
  } else {
    CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  }
  CHECK(h_deliver(0, 0, &conn, 10, 0, 0, 0) == 0);
  CHECK(h_deliver(0, 0, &conn, 5, 10, 0, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(8) == 0);
  if (accept)
    CHECK(h_accepted(0, &conn, &buffers, 0, 0) == 0);
  else
    CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(poll_n(8) == 3);
  CHECK(evs[0].event_type == (accept ? FLEXTCP_EV_LISTEN_ACCEPT : FLEXTCP_EV_CONN_OPEN));
  expect_received(&evs[1], 0, 15);
  CHECK(evs[2].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  CHECK(poll_n(8) == 0);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 15) == 0);
  CHECK(flextcp_connection_rx_done(&ctx, &conn, 1) == -1);
}

static void early_data_on_open(void)
{
  early_data_follows_the_answer(0);
}

static void early_data_on_accept(void)
{
  early_data_follows_the_answer(1);
}

static void early_data_one_event_at_a_time(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_deliver(0, 0, &conn, 10, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_opened(0, &conn, &buffers, 0, 0) == 0);
  CHECK(h_deliver(0, 0, &conn, 5, 10, 0, FLEXTCP_PL_ARX_FLRXDONE) == 0);
  CHECK(poll_n(1) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_OPEN);
  CHECK(poll_n(1) == 1);
  expect_received(&evs[0], 0, 10);
  CHECK(poll_n(1) == 1);
  expect_received(&evs[0], 10, 5);
  CHECK(poll_n(1) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_RXCLOSED);
  CHECK(poll_n(1) == 0);
}

static void early_data_of_a_failed_open_is_dropped(void)
{
  h_start_plain();
  h_context(&ctx);
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  CHECK(h_deliver(0, 0, &conn, 10, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 0);
  CHECK(h_opened(0, &conn, NULL, 0, -ETIMEDOUT) == 0);
  CHECK(poll_n(8) == 1 && evs[0].event_type == FLEXTCP_EV_CONN_OPEN);
  CHECK(poll_n(8) == 0);
}

static void full_update_queue(void)
{
  struct service small = {
      .cores = 1, .tx_len = 2, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};
  int i;

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  for (i = 0; i < 2; i++) {
    CHECK(flextcp_connection_tx_possible(&ctx, &conn) == 0);
    send_bytes(4);
    CHECK(poll_n(8) == 0);
  }
  CHECK(flextcp_connection_tx_possible(&ctx, &conn) == -1);
  /* These wait, and go out together. */
  send_bytes(5);
  send_bytes(6);
  CHECK(poll_n(8) == 0);
  CHECK(ctx.bump_pending_first == &conn && ctx.bump_pending_last == &conn);
  expect_update(0, 4, 0, 0);
  CHECK(poll_n(8) == 0);
  CHECK(ctx.bump_pending_first == NULL && ctx.bump_pending_last == NULL);
  expect_update(0, 4, 1, 0);
  expect_update(0, 11, 2, 0);
  CHECK(flextcp_connection_tx_possible(&ctx, &conn) == 0);
  no_update();
}

static void full_queue_of_one_core_does_not_hold_up_another(void)
{
  struct service two = {
      .cores = 2, .tx_len = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};
  static struct flextcp_connection conns[4];
  static struct buffers room[4];
  void *buf;
  int i;

  h_start(&two);
  h_context(&ctx);
  for (i = 0; i < 4; i++) {
    h_connect(&ctx, 0, &conns[i], &room[i], i % 2);
    conns[i].flow_id = 10 + i;
  }
  for (i = 0; i < 4; i++) {
    CHECK(flextcp_connection_tx_alloc(&conns[i], 1, &buf) == 1);
    CHECK(flextcp_connection_tx_send(&ctx, &conns[i], 1) == 0);
  }
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 1, &atx) == 0 && atx.msg.connupdate.flow_id == 11);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 1, &atx) == 0 && atx.msg.connupdate.flow_id == 13);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.flow_id == 10);
  CHECK(poll_n(8) == 0);
  CHECK(h_update(0, 0, &atx) == 0 && atx.msg.connupdate.flow_id == 12);
  CHECK(ctx.bump_pending_first == NULL);
}

static void queues_wrap_around(void)
{
  struct service small = {.cores = 1,
                          .kin_len = 3,
                          .kout_len = 3,
                          .rx_len = 3,
                          .tx_len = 3,
                          .poll_cycle_app = NEVER,
                          .poll_cycle_tas = NEVER};
  int i;

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  for (i = 0; i < 20; i++) {
    CHECK(h_deliver(0, 0, &conn, 16, i * 16 % 64, 0, 0) == 0);
    CHECK(poll_n(8) == 1);
    expect_received(&evs[0], i * 16 % 64, 16);
    CHECK(flextcp_connection_rx_done(&ctx, &conn, 16) == 0);
    send_bytes(16);
    CHECK(poll_n(8) == 0);
    expect_update(16, 16, i, 0);
    CHECK(h_deliver(0, 0, &conn, 0, 0, 16, 0) == 0);
    CHECK(poll_n(8) == 0);
    CHECK(flextcp_kernel_reqscale(&ctx, i) == 0);
    CHECK(h_request(0, &out) == KERNEL_APPOUT_REQ_SCALE);
    CHECK(out.data.req_scale.num_cores == (uint32_t) i);
  }
}

static void cores_take_turns(void)
{
  struct service two = {.cores = 2, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};
  static struct flextcp_connection conns[2];
  static struct buffers room[2];
  int i, seen[2] = {0, 0};

  h_start(&two);
  h_context(&ctx);
  for (i = 0; i < 2; i++)
    h_connect(&ctx, 0, &conns[i], &room[i], i);
  for (i = 0; i < 8; i++) {
    CHECK(h_deliver(0, 0, &conns[0], 4, 4 * i, 0, 0) == 0);
    CHECK(h_deliver(0, 1, &conns[1], 4, 4 * i, 0, 0) == 0);
  }
  for (i = 0; i < 4; i++) {
    CHECK(poll_n(1) == 1);
    seen[evs[0].ev.conn_received.conn == &conns[1]]++;
  }
  CHECK(seen[0] == 2 && seen[1] == 2);
}

static void entries_by_hand(void)
{
  struct flextcp_pl_atx *entry;

  start();
  CHECK(flextcp_context_tx_alloc(&ctx, &entry, 1) == -1);
  CHECK(flextcp_context_tx_alloc(&ctx, &entry, 0) == 0);
  memset(entry, 0, sizeof(*entry));
  entry->msg.connupdate.flow_id = conn.flow_id;
  entry->msg.connupdate.tx_bump = 3;
  __atomic_store_n(&entry->type, FLEXTCP_PL_ATX_CONNUPDATE, __ATOMIC_RELEASE);
  flextcp_context_tx_done(&ctx, 0);
  expect_update(0, 3, 0, 0);
  send_bytes(4);
  CHECK(poll_n(8) == 0);
  expect_update(0, 4, 0, 0);
}

int main(void)
{
  static const struct test tests[] = {
      TEST(received_in_one_piece),
      TEST(received_across_the_end),
      TEST(wrapped_data_needs_room_for_both),
      TEST(one_entry_many_events),
      TEST(full_event_array_keeps_order),
      TEST(freed_bytes_are_told_after_a_quarter),
      TEST(sent_bytes_carry_freed_ones),
      TEST(allocation),
      TEST(contiguous_allocation_stops_at_the_end),
      TEST(sendbuf_only_after_full),
      TEST(early_data_on_open),
      TEST(early_data_on_accept),
      TEST(early_data_one_event_at_a_time),
      TEST(early_data_of_a_failed_open_is_dropped),
      TEST(full_update_queue),
      TEST(full_queue_of_one_core_does_not_hold_up_another),
      TEST(queues_wrap_around),
      TEST(cores_take_turns),
      TEST(entries_by_hand),
  };

  return RUN_TESTS(tests);
}
