/* A service made of plain memory: it replaces the library's way to the real
 * one, so that a test sees every queue entry and writes every answer. Offsets
 * in messages are addresses, because the shared memory starts at 0. */
#ifndef LL_HARNESS_H_
#define LL_HARNESS_H_

#include <stddef.h>
#include <stdint.h>

#include "kernel_appif.h"
#include "tas_ll.h"
#include "tas_memif.h"

#define NEVER UINT64_MAX

/* What the next service looks like. Zero entries of a queue mean 64. */
struct service {
  unsigned cores;
  uint32_t kin_len;
  uint32_t kout_len;
  uint32_t rx_len;
  uint32_t tx_len;
  uint64_t poll_cycle_app;
  uint64_t poll_cycle_tas;
};

/* Calls of the replaced functions so far. */
extern unsigned h_connects, h_maps, h_newctxs, h_kicks;
/* flextcp_kernel_newctx fails when set. */
extern int h_refuse;

/* Starts the service and connects to it. */
void h_start(const struct service *service);
/* Starts one with a core, queues of 64 entries, and nobody ever sleeping. */
void h_start_plain(void);
/* Makes the next context. */
void h_context(struct flextcp_context *ctx);

/* Takes the next request to the slow path; returns its type, 0 if none. */
int h_request(unsigned ctx, struct kernel_appout *out);
/* Queues an answer of the slow path; -1 if the queue is full. */
int h_answer(unsigned ctx, uint8_t type, const struct kernel_appin *in);
int h_status(unsigned ctx, uint8_t type, const void *opaque, int32_t status);
/* Takes the next update to a core; 0 if there is one, else -1. */
int h_update(unsigned ctx, unsigned core, struct flextcp_pl_atx *atx);
/* Queues an update of a core; -1 if the queue is full. */
int h_deliver(unsigned ctx, unsigned core, const struct flextcp_connection *conn, uint32_t rx_bump,
              uint32_t rx_pos, uint32_t tx_bump, uint8_t flags);
/* Reads how often a core was woken since the last call. */
uint64_t h_core_kicks(unsigned core);
/* Wakes a context. */
void h_wake(unsigned ctx);

/* Buffers of a connection. */
struct buffers {
  uint8_t rx[64];
  uint8_t tx[64];
};

#define PEER_IP 0x0a000002u
#define OWN_IP 0x0a000001u

/* Answers an open or an accept. */
int h_opened(unsigned ctx, struct flextcp_connection *conn, struct buffers *buffers, uint16_t core,
             int32_t status);
int h_accepted(unsigned ctx, struct flextcp_connection *conn, struct buffers *buffers,
               uint16_t core, int32_t status);
/* Brings a connection to the open state. */
void h_connect(struct flextcp_context *ctx, unsigned index, struct flextcp_connection *conn,
               struct buffers *buffers, uint16_t core);
/* Opens a listener on port 80. */
void h_listen(struct flextcp_context *ctx, unsigned index, struct flextcp_listener *lst);

#endif
