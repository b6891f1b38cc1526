/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* CPU sets */
#include "shim.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <rte_version.h>

#if RTE_VERSION < RTE_VERSION_NUM(21, 11, 0, 0)
#error "DPDK 21.11 or newer is needed"
#endif

/* Descriptors per queue, before the driver's own limits. Large enough to ride
 * out a scheduling gap, small enough that the ring stays in the cache. */
#define RX_DESC 1024
#define TX_DESC 1024

/* Buffers that each lcore keeps at hand. */
#define POOL_CACHE 256

/* TCP's checksum is what costs; virtio has no other. */
#define RX_CSUM RTE_ETH_RX_OFFLOAD_TCP_CKSUM
#define TX_CSUM RTE_ETH_TX_OFFLOAD_TCP_CKSUM

static inline bool has_all(uint64_t have, uint64_t want)
{
  return (have & want) == want;
}

int tasnic_errno(void)
{
  return rte_errno;
}

bool tasnic_lcores_share_cpu(const unsigned *lcores, unsigned num)
{
  unsigned i, j;

  for (i = 0; i < num; i++) {
    for (j = i + 1; j < num; j++) {
      rte_cpuset_t a = rte_lcore_cpuset(lcores[i]);
      rte_cpuset_t b = rte_lcore_cpuset(lcores[j]);
      rte_cpuset_t both;

      CPU_AND(&both, &a, &b);
      if (CPU_COUNT(&both) > 0)
        return true;
    }
  }
  return false;
}

uint16_t tasnic_next_port(uint16_t from)
{
  uint64_t port = rte_eth_find_next_owned_by(from, RTE_ETH_DEV_NO_OWNER);

  return port < RTE_MAX_ETHPORTS ? (uint16_t) port : UINT16_MAX;
}

int tasnic_port_info(uint16_t port, struct tasnic_port_info *info)
{
  struct rte_eth_dev_info dev;
  struct rte_ether_addr mac;
  char name[RTE_ETH_NAME_MAX_LEN] = "";
  int ret;

  memset(info, 0, sizeof(*info));
  if ((ret = rte_eth_dev_info_get(port, &dev)) != 0 ||
      (ret = rte_eth_macaddr_get(port, &mac)) != 0 ||
      (ret = rte_eth_dev_get_mtu(port, &info->mtu)) != 0 ||
      (ret = rte_eth_dev_get_name_by_port(port, name)) != 0)
    return ret;

  snprintf(info->device, sizeof(info->device), "%s", name);
  if (dev.driver_name != NULL)
    snprintf(info->driver, sizeof(info->driver), "%s", dev.driver_name);
  memcpy(info->mac, mac.addr_bytes, sizeof(info->mac));
  info->min_mtu = dev.min_mtu;
  info->max_mtu = dev.max_mtu;
  info->max_queues = RTE_MIN(dev.max_rx_queues, dev.max_tx_queues);
  info->reta_size = dev.reta_size;
  info->if_index = dev.if_index;
  info->socket = rte_eth_dev_socket_id(port);
  return 0;
}

/* A key of well mixed bits; any will do that is known. */
static void rss_key(uint8_t key[TASNIC_RSS_KEY_MAX])
{
  uint64_t word = 0;
  unsigned i;

  for (i = 0; i < TASNIC_RSS_KEY_MAX; i++) {
    word = (word + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    key[i] = (uint8_t) (word >> 56);
  }
}

int tasnic_port_configure(uint16_t port, const struct tasnic_port_conf *conf,
    struct tasnic_port_caps *caps)
{
  struct rte_eth_dev_info dev;
  struct rte_eth_conf eth;
  uint8_t key[TASNIC_RSS_KEY_MAX];
  uint64_t rss;
  int ret;

  memset(caps, 0, sizeof(*caps));
  if ((ret = rte_eth_dev_info_get(port, &dev)) != 0)
    return ret;

  memset(&eth, 0, sizeof(eth));
  caps->rx_csum = conf->rx_csum && has_all(dev.rx_offload_capa, RX_CSUM);
  if (caps->rx_csum)
    eth.rxmode.offloads |= RX_CSUM |
        (dev.rx_offload_capa & RTE_ETH_RX_OFFLOAD_IPV4_CKSUM);
  caps->tx_csum = conf->tx_csum && has_all(dev.tx_offload_capa, TX_CSUM);
  if (caps->tx_csum)
    eth.txmode.offloads |= TX_CSUM;
  caps->vlan_strip = conf->vlan_strip &&
      has_all(dev.rx_offload_capa, RTE_ETH_RX_OFFLOAD_VLAN_STRIP);
  if (caps->vlan_strip)
    eth.rxmode.offloads |= RTE_ETH_RX_OFFLOAD_VLAN_STRIP;

  /* Hash addresses and TCP ports: what tells connections apart. */
  rss = dev.flow_type_rss_offloads &
      (RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_TCP);
  caps->rss = conf->queues > 1 && rss != 0;
  if (caps->rss) {
    eth.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    eth.rx_adv_conf.rss_conf.rss_hf = rss;
    caps->rss_ports = (rss & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
    if (dev.hash_key_size > 0 && dev.hash_key_size <= sizeof(key)) {
      rss_key(key);
      eth.rx_adv_conf.rss_conf.rss_key = key;
      eth.rx_adv_conf.rss_conf.rss_key_len = dev.hash_key_size;
      caps->rss_key_len = dev.hash_key_size;
    }
    eth.rxmode.offloads |= dev.rx_offload_capa & RTE_ETH_RX_OFFLOAD_RSS_HASH;
  }

  /* Nothing says beforehand whether a driver has receive interrupts. */
  eth.intr_conf.rxq = conf->interrupts;
  ret = rte_eth_dev_configure(port, conf->queues, conf->queues, &eth);
  if (ret != 0 && conf->interrupts) {
    eth.intr_conf.rxq = 0;
    ret = rte_eth_dev_configure(port, conf->queues, conf->queues, &eth);
  }
  if (ret != 0)
    return ret;
  caps->interrupts = eth.intr_conf.rxq;

  caps->rx_desc = RX_DESC;
  caps->tx_desc = TX_DESC;
  return rte_eth_dev_adjust_nb_rx_tx_desc(port, &caps->rx_desc,
      &caps->tx_desc);
}

int tasnic_port_set_mtu(uint16_t port, uint16_t mtu)
{
  return rte_eth_dev_set_mtu(port, mtu);
}

int tasnic_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t desc,
    struct rte_mempool *pool)
{
  struct rte_eth_dev_info dev;
  struct rte_eth_rxconf conf;
  int ret;

  if ((ret = rte_eth_dev_info_get(port, &dev)) != 0)
    return ret;
  conf = dev.default_rxconf;
  conf.offloads = 0; /* those of the port apply */
  return rte_eth_rx_queue_setup(port, queue, desc,
      rte_eth_dev_socket_id(port), &conf, pool);
}

int tasnic_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t desc)
{
  struct rte_eth_dev_info dev;
  struct rte_eth_txconf conf;
  int ret;

  if ((ret = rte_eth_dev_info_get(port, &dev)) != 0)
    return ret;
  conf = dev.default_txconf;
  conf.offloads = 0;
  return rte_eth_tx_queue_setup(port, queue, desc,
      rte_eth_dev_socket_id(port), &conf);
}

int tasnic_port_start(uint16_t port)
{
  return rte_eth_dev_start(port);
}

bool tasnic_port_link_up(uint16_t port)
{
  struct rte_eth_link link;

  memset(&link, 0, sizeof(link));
  return rte_eth_link_get_nowait(port, &link) == 0 &&
      link.link_status == RTE_ETH_LINK_UP;
}

int tasnic_port_stats(uint16_t port, struct tasnic_port_stats *stats)
{
  struct rte_eth_stats eth;
  int ret;

  memset(stats, 0, sizeof(*stats));
  if ((ret = rte_eth_stats_get(port, &eth)) != 0)
    return ret;
  stats->rx_packets = eth.ipackets;
  stats->tx_packets = eth.opackets;
  stats->rx_bytes = eth.ibytes;
  stats->tx_bytes = eth.obytes;
  stats->rx_missed = eth.imissed;
  stats->rx_errors = eth.ierrors;
  stats->rx_nombuf = eth.rx_nombuf;
  stats->tx_errors = eth.oerrors;
  return 0;
}

int tasnic_port_set_reta(uint16_t port, const uint16_t *table, uint16_t num)
{
  struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 /
      RTE_ETH_RETA_GROUP_SIZE];
  uint16_t i;

  if (num > RTE_ETH_RSS_RETA_SIZE_512)
    return -ENOTSUP;
  memset(reta, 0, sizeof(reta));
  for (i = 0; i < num; i++) {
    struct rte_eth_rss_reta_entry64 *group =
        &reta[i / RTE_ETH_RETA_GROUP_SIZE];

    group->mask |= UINT64_C(1) << (i % RTE_ETH_RETA_GROUP_SIZE);
    group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = table[i];
  }
  return rte_eth_dev_rss_reta_update(port, reta, num);
}

int tasnic_port_rss_key(uint16_t port, const struct tasnic_port_caps *caps,
    uint8_t key[TASNIC_RSS_KEY_MAX])
{
  struct rte_eth_rss_conf conf;
  struct rte_eth_dev_info dev;
  int ret;

  if ((ret = rte_eth_dev_info_get(port, &dev)) != 0)
    return ret;
  /* Drivers write as many bytes as they say that a key has. */
  if (dev.hash_key_size > TASNIC_RSS_KEY_MAX)
    return -ENOTSUP;
  memset(&conf, 0, sizeof(conf));
  memset(key, 0, TASNIC_RSS_KEY_MAX);
  conf.rss_key = key;
  conf.rss_key_len = dev.hash_key_size;
  if (rte_eth_dev_rss_hash_conf_get(port, &conf) == 0 && conf.rss_key_len > 0 &&
      conf.rss_key_len <= TASNIC_RSS_KEY_MAX)
    return conf.rss_key_len;
  if (caps->rss_key_len == 0)
    return -ENOTSUP;
  rss_key(key);
  return caps->rss_key_len;
}

void tasnic_port_close(uint16_t port)
{
  /* A port that cannot be stopped must not be closed, and there is nobody
   * left who could do anything about it. */
  if (rte_eth_dev_stop(port) == 0)
    (void) rte_eth_dev_close(port);
}

int tasnic_rx_intr_fd(uint16_t port, uint16_t queue)
{
  /* DPDK logs an error for a port that has no interrupts; asking is not one. */
  uint32_t level = rte_log_get_global_level();
  int fd;

  rte_log_set_global_level(RTE_LOG_CRIT);
  fd = rte_eth_dev_rx_intr_ctl_q_get_fd(port, queue);
  rte_log_set_global_level(level);
  return fd;
}

int tasnic_rx_intr_enable(uint16_t port, uint16_t queue)
{
  return rte_eth_dev_rx_intr_enable(port, queue);
}

int tasnic_rx_intr_disable(uint16_t port, uint16_t queue)
{
  return rte_eth_dev_rx_intr_disable(port, queue);
}

struct rte_mempool *tasnic_pool_create(const char *name, unsigned num,
    uint16_t data_room, int socket, bool shared_cpu)
{
  /* With the default ring a thread that is preempted in the middle of an
   * operation makes every other thread spin until it runs again; in the
   * relaxed-tail ring the last one to finish moves the tail. */
  const char *ops = shared_cpu ? "ring_mt_rts" : NULL;

  return rte_pktmbuf_pool_create_by_ops(name, num, POOL_CACHE, 0, data_room,
      socket, ops);
}

void tasnic_pool_free(struct rte_mempool *pool)
{
  rte_mempool_free(pool);
}

unsigned tasnic_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs,
    unsigned num)
{
  return rte_pktmbuf_alloc_bulk(pool, bufs, num) == 0 ? num : 0;
}

unsigned tasnic_recycle(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned num,
    struct rte_mbuf **spare, unsigned room)
{
  unsigned kept = 0;

  for (unsigned i = 0; i < num; i++) {
    struct rte_mbuf *buf = bufs[i];
    bool sole = RTE_MBUF_DIRECT(buf) && rte_mbuf_refcnt_read(buf) == 1 && buf->next == NULL;

    if (kept < room && sole && buf->pool == pool) {
      rte_pktmbuf_reset(buf);
      spare[kept++] = buf;
    } else {
      rte_pktmbuf_free(buf);
    }
  }
  return kept;
}

void tasnic_free(struct rte_mbuf *buf)
{
  rte_pktmbuf_free(buf);
}

uint16_t tasnic_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs,
    uint16_t num, uint64_t *dropped)
{
  uint16_t got = rte_eth_rx_burst(port, queue, bufs, num);
  uint16_t i, kept = 0;

  for (i = 0; i < got; i++) {
    struct rte_mbuf *buf = bufs[i];

    if (unlikely(buf->nb_segs != 1)) {
      rte_pktmbuf_free(buf);
      (*dropped)++;
      continue;
    }
    rte_prefetch0(rte_pktmbuf_mtod(buf, void *));
    bufs[kept++] = buf;
  }
  return kept;
}

uint16_t tasnic_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs,
    uint16_t num)
{
  return rte_eth_tx_burst(port, queue, bufs, num);
}

uint16_t tasnic_tx_prepare(uint16_t port, uint16_t queue,
    struct rte_mbuf **bufs, uint16_t num)
{
  return rte_eth_tx_prepare(port, queue, bufs, num);
}
