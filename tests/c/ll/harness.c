#include "harness.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check.h"
#include "tas_ll_connect.h"

#define CONTEXTS FLEXTCP_MAX_CONTEXTS
#define CORES FLEXTCP_MAX_FTCPCORES

extern int flexnic_evfd[CORES];

int flextcp_kernel_connect(void);
int flextcp_kernel_newctx(struct flextcp_context *ctx);
void flextcp_kernel_kick(void);
int flexnic_driver_connect(struct flexnic_info **info, void **mem_start);

struct ring {
  uint8_t *base;
  uint32_t entries;
  uint32_t size;
  uint32_t next;
};

static struct service service;
static struct flexnic_info info;
static struct {
  int evfd;
  struct ring kin, kout, rx[CORES], tx[CORES];
} contexts[CONTEXTS];

unsigned h_connects, h_maps, h_newctxs, h_kicks;
int h_refuse;

static uint32_t or64(uint32_t entries)
{
  return entries != 0 ? entries : 64;
}

static void ring_make(struct ring *ring, uint32_t entries, uint32_t size)
{
  ring->entries = or64(entries);
  ring->size = size;
  ring->next = 0;
  ring->base = calloc(ring->entries, size);
  CHECK(ring->base != NULL);
}

static uint8_t *ring_slot(struct ring *ring)
{
  return ring->base + (size_t) ring->next * ring->size;
}

static void ring_advance(struct ring *ring)
{
  ring->next = (ring->next + 1) % ring->entries;
}

/* Takes an entry; returns its type, 0 if there is none. */
static uint8_t ring_pop(struct ring *ring, void *entry)
{
  uint8_t *slot = ring_slot(ring);
  uint8_t type = __atomic_load_n(slot + ring->size - 1, __ATOMIC_ACQUIRE);

  if (type == 0)
    return 0;
  memcpy(entry, slot, ring->size);
  __atomic_store_n(slot + ring->size - 1, 0, __ATOMIC_RELEASE);
  ring_advance(ring);
  return type;
}

static int ring_push(struct ring *ring, const void *entry, uint8_t type)
{
  uint8_t *slot = ring_slot(ring);

  if (__atomic_load_n(slot + ring->size - 1, __ATOMIC_ACQUIRE) != 0)
    return -1;
  memcpy(slot, entry, ring->size - 1);
  __atomic_store_n(slot + ring->size - 1, type, __ATOMIC_RELEASE);
  ring_advance(ring);
  return 0;
}

/* --- What the library would do itself --------------------------------------*/

int flextcp_kernel_connect(void)
{
  h_connects++;
  return 0;
}

int flexnic_driver_connect(struct flexnic_info **p_info, void **mem_start)
{
  h_maps++;
  *p_info = &info;
  *mem_start = NULL;
  return 0;
}

int flextcp_kernel_newctx(struct flextcp_context *ctx)
{
  unsigned index = ctx->ctx_id, core;

  if (h_refuse)
    return -1;
  CHECK(index < CONTEXTS);
  contexts[index].evfd = ctx->evfd;
  ring_make(&contexts[index].kin, service.kin_len, sizeof(struct kernel_appout));
  ring_make(&contexts[index].kout, service.kout_len, sizeof(struct kernel_appin));
  ctx->kin_base = contexts[index].kin.base;
  ctx->kin_len = contexts[index].kin.entries;
  ctx->kout_base = contexts[index].kout.base;
  ctx->kout_len = contexts[index].kout.entries;
  ctx->rxq_len = or64(service.rx_len) * sizeof(struct flextcp_pl_arx);
  ctx->txq_len = or64(service.tx_len) * sizeof(struct flextcp_pl_atx);
  ctx->num_queues = service.cores;
  ctx->db_id = 100 + index;
  for (core = 0; core < service.cores; core++) {
    ring_make(&contexts[index].rx[core], service.rx_len, sizeof(struct flextcp_pl_arx));
    ring_make(&contexts[index].tx[core], service.tx_len, sizeof(struct flextcp_pl_atx));
    ctx->queues[core].rxq_base = contexts[index].rx[core].base;
    ctx->queues[core].txq_base = contexts[index].tx[core].base;
    ctx->queues[core].txq_avail = ctx->txq_len;
  }
  h_newctxs++;
  return 0;
}

void flextcp_kernel_kick(void)
{
  h_kicks++;
}

/* --- What the service would do ----------------------------------------------*/

void h_start(const struct service *wanted)
{
  unsigned core;

  service = *wanted;
  memset(&info, 0, sizeof(info));
  info.flags = FLEXNIC_FLAG_READY;
  info.poll_cycle_app = service.poll_cycle_app;
  info.poll_cycle_tas = service.poll_cycle_tas;
  info.cores_num = service.cores;
  for (core = 0; core < service.cores; core++)
    flexnic_evfd[core] = eventfd(0, EFD_NONBLOCK);
  CHECK(flextcp_init() == 0);
}

void h_start_plain(void)
{
  struct service plain = {.cores = 1, .poll_cycle_app = NEVER, .poll_cycle_tas = NEVER};

  h_start(&plain);
}

void h_context(struct flextcp_context *ctx)
{
  memset(ctx, 0xa5, sizeof(*ctx));
  CHECK(flextcp_context_create(ctx) == 0);
}

int h_request(unsigned ctx, struct kernel_appout *out)
{
  return ring_pop(&contexts[ctx].kin, out);
}

int h_answer(unsigned ctx, uint8_t type, const struct kernel_appin *in)
{
  return ring_push(&contexts[ctx].kout, in, type);
}

int h_status(unsigned ctx, uint8_t type, const void *opaque, int32_t status)
{
  struct kernel_appin in;

  memset(&in, 0, sizeof(in));
  in.data.status.opaque = (uintptr_t) opaque;
  in.data.status.status = status;
  return h_answer(ctx, type, &in);
}

int h_update(unsigned ctx, unsigned core, struct flextcp_pl_atx *atx)
{
  return ring_pop(&contexts[ctx].tx[core], atx) != 0 ? 0 : -1;
}

int h_deliver(unsigned ctx, unsigned core, const struct flextcp_connection *conn, uint32_t rx_bump,
              uint32_t rx_pos, uint32_t tx_bump, uint8_t flags)
{
  struct flextcp_pl_arx arx;

  memset(&arx, 0, sizeof(arx));
  arx.msg.connupdate.opaque = (uintptr_t) conn;
  arx.msg.connupdate.rx_bump = rx_bump;
  arx.msg.connupdate.rx_pos = rx_pos;
  arx.msg.connupdate.tx_bump = tx_bump;
  arx.msg.connupdate.flags = flags;
  return ring_push(&contexts[ctx].rx[core], &arx, FLEXTCP_PL_ARX_CONNUPDATE);
}

uint64_t h_core_kicks(unsigned core)
{
  uint64_t count = 0;

  if (read(flexnic_evfd[core], &count, sizeof(count)) != sizeof(count))
    return 0;
  return count;
}

void h_wake(unsigned ctx)
{
  uint64_t one = 1;

  CHECK(write(contexts[ctx].evfd, &one, sizeof(one)) == sizeof(one));
}

/* --- Whole steps -------------------------------------------------------------*/

int h_opened(unsigned ctx, struct flextcp_connection *conn, struct buffers *buffers, uint16_t core,
             int32_t status)
{
  struct kernel_appin in;

  memset(&in, 0, sizeof(in));
  in.data.conn_opened.opaque = (uintptr_t) conn;
  in.data.conn_opened.status = status;
  if (status == 0) {
    in.data.conn_opened.rx_off = (uintptr_t) buffers->rx;
    in.data.conn_opened.rx_len = sizeof(buffers->rx);
    in.data.conn_opened.tx_off = (uintptr_t) buffers->tx;
    in.data.conn_opened.tx_len = sizeof(buffers->tx);
    in.data.conn_opened.flow_id = 7;
    in.data.conn_opened.seq_rx = 1000;
    in.data.conn_opened.seq_tx = 2000;
    in.data.conn_opened.local_ip = OWN_IP;
    in.data.conn_opened.local_port = 4096;
    in.data.conn_opened.fn_core = core;
  }
  return h_answer(ctx, KERNEL_APPIN_CONN_OPENED, &in);
}

int h_accepted(unsigned ctx, struct flextcp_connection *conn, struct buffers *buffers,
               uint16_t core, int32_t status)
{
  struct kernel_appin in;

  memset(&in, 0, sizeof(in));
  in.data.accept_connection.opaque = (uintptr_t) conn;
  in.data.accept_connection.status = status;
  if (status == 0) {
    in.data.accept_connection.rx_off = (uintptr_t) buffers->rx;
    in.data.accept_connection.rx_len = sizeof(buffers->rx);
    in.data.accept_connection.tx_off = (uintptr_t) buffers->tx;
    in.data.accept_connection.tx_len = sizeof(buffers->tx);
    in.data.accept_connection.flow_id = 8;
    in.data.accept_connection.local_ip = OWN_IP;
    in.data.accept_connection.remote_ip = PEER_IP;
    in.data.accept_connection.remote_port = 5000;
    in.data.accept_connection.fn_core = core;
  }
  return h_answer(ctx, KERNEL_APPIN_ACCEPTED_CONN, &in);
}

void h_connect(struct flextcp_context *ctx, unsigned index, struct flextcp_connection *conn,
               struct buffers *buffers, uint16_t core)
{
  struct kernel_appout out;
  struct flextcp_event ev;

  memset(conn, 0xa5, sizeof(*conn));
  CHECK(flextcp_connection_open(ctx, conn, PEER_IP, 80) == 0);
  CHECK(h_request(index, &out) == KERNEL_APPOUT_CONN_OPEN);
  CHECK(h_opened(index, conn, buffers, core, 0) == 0);
  CHECK(flextcp_context_poll(ctx, 1, &ev) == 1);
  CHECK(ev.event_type == FLEXTCP_EV_CONN_OPEN && ev.ev.conn_open.status == 0);
}

void h_listen(struct flextcp_context *ctx, unsigned index, struct flextcp_listener *lst)
{
  struct kernel_appout out;
  struct flextcp_event ev;

  memset(lst, 0xa5, sizeof(*lst));
  CHECK(flextcp_listen_open(ctx, lst, 80, 16, 0) == 0);
  CHECK(h_request(index, &out) == KERNEL_APPOUT_LISTEN_OPEN);
  CHECK(h_status(index, KERNEL_APPIN_STATUS_LISTEN_OPEN, lst, 0) == 0);
  CHECK(flextcp_context_poll(ctx, 1, &ev) == 1);
  CHECK(ev.event_type == FLEXTCP_EV_LISTEN_OPEN && ev.ev.listen_open.status == 0);
}
