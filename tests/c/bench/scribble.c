/* A hostile application: attaches, opens what an honest one opens, and then
 * writes garbage into every byte of its region and plausible nonsense into its
 * queues, over and over. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <kernel_appif.h>
#include <tas_ll.h>
#include <tas_memif.h>

#include "args.h"

#define CONNS 8

static struct flextcp_connection conns[CONNS];

extern void *flexnic_mem;
extern struct flexnic_info *flexnic_info;
extern int flexnic_evfd[];

static uint64_t random_state;

static uint64_t random64(void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static void fill_random(unsigned char *to, size_t len)
{
  for (size_t i = 0; i + 8 <= len; i += 8) {
    uint64_t x = random64();
    memcpy(to + i, &x, 8);
  }
}

static void wake_service(const struct flextcp_context *ctx)
{
  flextcp_kernel_kick();
  for (unsigned i = 0; i < ctx->num_queues; i++) {
    uint64_t one = 1;
    if (write(flexnic_evfd[i], &one, sizeof(one)) < 0)
      continue;
  }
}

/* Entries of random content and a valid type, at random places of a queue. */
static void write_entries(unsigned char *base, uint32_t bytes, uint32_t entry, unsigned types)
{
  if (base == NULL || bytes < entry)
    return;
  for (unsigned n = 0; n < 64; n++) {
    unsigned char *at = base + (random64() % (bytes / entry)) * entry;
    fill_random(at, entry);
    /* Small numbers are likelier to name something that exists. */
    for (uint32_t i = 0; i < entry; i += 4)
      if (random64() % 2)
        memset(at + i + 1, 0, 3);
    __atomic_store_n(at + entry - 1, (unsigned char)(random64() % (types + 1)), __ATOMIC_RELEASE);
  }
}

/* Fills a queue with updates that have the right form, flow and number, and say
 * what cannot be. */
static void write_lies(unsigned char *base, uint32_t bytes)
{
  for (uint32_t at = 0; base != NULL && at + sizeof(struct flextcp_pl_atx) <= bytes;
       at += sizeof(struct flextcp_pl_atx)) {
    struct flextcp_pl_atx lie = { 0 };
    const struct flextcp_connection *conn = &conns[random64() % CONNS];
    lie.msg.connupdate.flow_id = conn->flow_id;
    lie.msg.connupdate.bump_seq = (uint16_t)(conn->bump_seq + random64() % 3);
    lie.msg.connupdate.rx_bump = (uint32_t)(random64() % 2 ? random64() : random64() % 4096);
    lie.msg.connupdate.tx_bump = (uint32_t)(random64() % 2 ? random64() : random64() % 4096);
    lie.msg.connupdate.flags = (uint8_t)(random64() % 4);
    memcpy(base + at, &lie, sizeof(lie) - 1);
    __atomic_store_n(base + at + sizeof(lie) - 1, FLEXTCP_PL_ATX_CONNUPDATE, __ATOMIC_RELEASE);
  }
}

static void scribble_queues(const struct flextcp_context *ctx)
{
  write_entries(ctx->kin_base, ctx->kin_len * 64, 64, KERNEL_APPOUT_REQ_SCALE);
  write_entries(ctx->kout_base, ctx->kout_len * 64, 64, KERNEL_APPIN_ACCEPTED_CONN);
  for (unsigned i = 0; i < ctx->num_queues; i++) {
    if (random64() % 4 == 0)
      write_lies(ctx->queues[i].txq_base, ctx->txq_len);
    else
      write_entries(ctx->queues[i].txq_base, ctx->txq_len, 16, FLEXTCP_PL_ATX_CONNUPDATE);
    write_entries(ctx->queues[i].rxq_base, ctx->rxq_len, 32, FLEXTCP_PL_ARX_CONNUPDATE);
  }
}

/* Takes part honestly until the connections are open, so that there is state
 * to go wrong. */
static void take_part(struct flextcp_context *ctx, uint32_t ip, uint16_t port, uint16_t listen_port)
{
  static struct flextcp_listener listener;
  struct flextcp_event events[16];
  unsigned answers = 0;
  flextcp_listen_open(ctx, &listener, listen_port, 16, 0);
  for (unsigned i = 0; i < CONNS; i++)
    if (flextcp_connection_open(ctx, &conns[i], ip, port) != 0)
      answers++;
  for (uint64_t end = now_ns() + 5000000000; answers < CONNS && now_ns() < end;) {
    int n = flextcp_context_poll(ctx, 16, events);
    for (int i = 0; i < n; i++)
      if (events[i].event_type == FLEXTCP_EV_CONN_OPEN)
        answers++;
  }
  for (unsigned i = 0; i < CONNS; i++) {
    void *buf;
    ssize_t n = flextcp_connection_tx_alloc(&conns[i], 4096, &buf);
    if (n > 0)
      flextcp_connection_tx_send(ctx, &conns[i], (size_t)n);
  }
  flextcp_context_poll(ctx, 16, events);
}

int main(int argc, char *argv[])
{
  if (argc != 5 && argc != 6) {
    fprintf(stderr, "usage: %s IP PORT LISTEN-PORT MILLISECONDS [SEED]\n", argv[0]);
    return 2;
  }
  uint32_t ip = arg_address(argv[1]);
  uint16_t port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535);
  uint16_t listen_port = (uint16_t)arg_number(argc, argv, 3, "LISTEN-PORT", 0, 1, 65535);
  uint64_t ms = arg_number(argc, argv, 4, "MILLISECONDS", 0, 1, 3600000);
  random_state = arg_number(argc, argv, 5, "SEED", now_ns() | 1, 1, UINT64_MAX);
  printf("scribble: seed %llu\n", (unsigned long long)random_state);

  static struct flextcp_context ctx;
  if (flextcp_init() != 0 || flextcp_context_create(&ctx) != 0)
    return 1;
  take_part(&ctx, ip, port, listen_port);
  const struct flextcp_context mine = ctx;
  size_t len = flexnic_info->dma_mem_size;
  printf("scribble: %zu bytes\n", len);
  fflush(stdout);

  uint64_t end = now_ns() + ms * 1000000;
  for (uint64_t round = 0; now_ns() < end; round++) {
    /* Queues far oftener than everything, which takes its time. */
    if (round % 64 == 63)
      for (size_t at = 0; at + 65536 <= len && now_ns() < end; at += 65536)
        fill_random((unsigned char *)flexnic_mem + at, 65536);
    else
      scribble_queues(&mine);
    wake_service(&mine);
  }
  printf("scribble: done\n");
  fflush(stdout);
  _exit(0);
}
