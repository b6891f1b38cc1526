/* SPDX-License-Identifier: MIT */
/*
 * What bindgen reads: the shim, a few DPDK functions that need no shim, and
 * where the fields of a packet buffer lie in the DPDK that is installed.
 * Constants instead of the struct, since the nesting of its unions changes
 * between releases while the layout does not concern us.
 */
#include <stddef.h>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_version.h>

#include "shim.h"

enum tasnic_mbuf {
  TASNIC_MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
  TASNIC_MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
  TASNIC_MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
  TASNIC_MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
  TASNIC_MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
  TASNIC_MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
  TASNIC_MBUF_RSS_HASH = offsetof(struct rte_mbuf, hash),
  TASNIC_MBUF_TX_OFFLOAD = offsetof(struct rte_mbuf, tx_offload),
  TASNIC_MBUF_HEADROOM = RTE_PKTMBUF_HEADROOM,
};

/* Bit positions in the tx_offload word. */
enum tasnic_tx_offload {
  TASNIC_TX_L2_LEN_SHIFT = RTE_MBUF_L2_LEN_OFS,
  TASNIC_TX_L3_LEN_SHIFT = RTE_MBUF_L3_LEN_OFS,
  TASNIC_TX_L4_LEN_SHIFT = RTE_MBUF_L4_LEN_OFS,
};

/* Bits of the ol_flags word. */
static const uint64_t TASNIC_RX_RSS_HASH = RTE_MBUF_F_RX_RSS_HASH;
static const uint64_t TASNIC_RX_IP_CSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t TASNIC_RX_IP_CSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t TASNIC_RX_IP_CSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t TASNIC_RX_L4_CSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t TASNIC_RX_L4_CSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint64_t TASNIC_RX_L4_CSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t TASNIC_RX_L4_CSUM_NONE = RTE_MBUF_F_RX_L4_CKSUM_NONE;
static const uint64_t TASNIC_TX_TCP_CSUM = RTE_MBUF_F_TX_IPV4 |
    RTE_MBUF_F_TX_TCP_CKSUM;
