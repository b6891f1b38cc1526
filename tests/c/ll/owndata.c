/* A program's own definitions of the library's data are the ones in use. */
#include <string.h>
#include <sys/eventfd.h>

#include "check.h"
#include "harness.h"

void *flexnic_mem = (void *) 1;
struct flexnic_info *flexnic_info;
int flexnic_evfd[FLEXTCP_MAX_FTCPCORES];
int debug_flextcp_on;

static void own_data_is_used(void)
{
  struct service service = {.cores = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = 0};
  struct flextcp_context ctx;
  struct flextcp_connection conn;
  struct buffers buffers;
  void *buf;

  h_start(&service);
  CHECK(flexnic_mem == NULL);
  CHECK(flexnic_info != NULL && flexnic_info->cores_num == 1);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  CHECK(conn.rxb_base == buffers.rx);
  CHECK(flextcp_connection_tx_alloc(&conn, 1, &buf) == 1);
  flexnic_evfd[0] = eventfd(0, EFD_NONBLOCK);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 1) == 0);
  CHECK(h_core_kicks(0) == 1);
}

static void program_may_set_the_start_of_memory(void)
{
  struct flextcp_context ctx;
  struct flextcp_connection conn;
  struct flextcp_event ev;
  struct kernel_appin in;
  struct buffers buffers;

  h_start_plain();
  h_context(&ctx);
  flexnic_mem = &buffers;
  CHECK(flextcp_connection_open(&ctx, &conn, PEER_IP, 80) == 0);
  memset(&in, 0, sizeof(in));
  in.data.conn_opened.opaque = (uintptr_t) &conn;
  in.data.conn_opened.rx_off = offsetof(struct buffers, rx);
  in.data.conn_opened.rx_len = sizeof(buffers.rx);
  in.data.conn_opened.tx_off = offsetof(struct buffers, tx);
  in.data.conn_opened.tx_len = sizeof(buffers.tx);
  CHECK(h_answer(0, KERNEL_APPIN_CONN_OPENED, &in) == 0);
  CHECK(flextcp_context_poll(&ctx, 1, &ev) == 1 && ev.ev.conn_open.status == 0);
  CHECK(conn.rxb_base == buffers.rx && conn.txb_base == buffers.tx);
}

int main(void)
{
  static const struct test tests[] = {
      TEST(own_data_is_used),
      TEST(program_may_set_the_start_of_memory),
  };

  return RUN_TESTS(tests);
}
