/* SPDX-License-Identifier: MIT */
/*
 * A small stable C interface to DPDK.
 *
 * It gives Rust what DPDK only offers as inline functions, and is the one
 * place that knows how DPDK releases differ. Functions that return int give 0
 * or a negative errno value unless said otherwise.
 */
#ifndef TASNIC_SHIM_H_
#define TASNIC_SHIM_H_

#include <stdbool.h>
#include <stdint.h>

struct rte_mbuf;
struct rte_mempool;

/* Bytes, with the terminating zero, of names handed out. */
#define TASNIC_NAME_LEN 64

/* Bytes of the longest RSS key. */
#define TASNIC_RSS_KEY_MAX 64

/* A port before or after it was configured. */
struct tasnic_port_info {
  char device[TASNIC_NAME_LEN]; /* the device's name, as in --vdev or a PCI address */
  char driver[TASNIC_NAME_LEN];
  uint8_t mac[6];
  uint16_t mtu;        /* bytes of Ethernet payload, as configured now */
  uint16_t min_mtu;
  uint16_t max_mtu;    /* 0: unknown */
  uint16_t max_queues; /* smaller of receive and transmit limits */
  uint16_t reta_size;  /* RSS table entries, 0: no RSS table */
  uint32_t if_index;   /* kernel's interface index, 0: none */
  int socket;          /* NUMA node, -1: any */
};

/* What is asked of a port. */
struct tasnic_port_conf {
  uint16_t queues;
  bool rx_csum;
  bool tx_csum;
  bool vlan_strip;
  bool interrupts;
};

/* What the port agreed to. */
struct tasnic_port_caps {
  bool rx_csum;
  bool tx_csum;
  bool vlan_strip;
  bool interrupts;
  bool rss;
  bool rss_ports;       /* TCP ports are part of the RSS hash */
  uint8_t rss_key_len;  /* bytes of the RSS key that was asked for, 0: the port's own */
  uint16_t rx_desc; /* descriptors per queue */
  uint16_t tx_desc;
};

struct tasnic_port_stats {
  uint64_t rx_packets;
  uint64_t tx_packets;
  uint64_t rx_bytes;
  uint64_t tx_bytes;
  uint64_t rx_missed;
  uint64_t rx_errors;
  uint64_t rx_nombuf;
  uint64_t tx_errors;
};

/* Error number of the last DPDK call of this thread that sets one. */
int tasnic_errno(void);

/* True when two of the given lcores may run on one CPU. */
bool tasnic_lcores_share_cpu(const unsigned *lcores, unsigned num);

/* Ports. */
uint16_t tasnic_next_port(uint16_t from); /* UINT16_MAX: no more */
int tasnic_port_info(uint16_t port, struct tasnic_port_info *info);
int tasnic_port_configure(uint16_t port, const struct tasnic_port_conf *conf,
    struct tasnic_port_caps *caps);
int tasnic_port_set_mtu(uint16_t port, uint16_t mtu);
int tasnic_rx_queue_setup(uint16_t port, uint16_t queue, uint16_t desc,
    struct rte_mempool *pool);
int tasnic_tx_queue_setup(uint16_t port, uint16_t queue, uint16_t desc);
int tasnic_port_start(uint16_t port);
bool tasnic_port_link_up(uint16_t port);
int tasnic_port_stats(uint16_t port, struct tasnic_port_stats *stats);
/* Hash bucket i goes to queue table[i]; num must be the port's reta_size. */
int tasnic_port_set_reta(uint16_t port, const uint16_t *table, uint16_t num);
/* The RSS key in use. Returns its length, or a negative errno value. */
int tasnic_port_rss_key(uint16_t port, const struct tasnic_port_caps *caps,
    uint8_t key[TASNIC_RSS_KEY_MAX]);
void tasnic_port_close(uint16_t port);

/* Receive interrupts; the descriptor is negative when there is none. */
int tasnic_rx_intr_fd(uint16_t port, uint16_t queue);
int tasnic_rx_intr_enable(uint16_t port, uint16_t queue);
int tasnic_rx_intr_disable(uint16_t port, uint16_t queue);

/* Buffers. NULL with tasnic_errno() set on failure. */
struct rte_mempool *tasnic_pool_create(const char *name, unsigned num,
    uint16_t data_room, int socket, bool shared_cpu);
void tasnic_pool_free(struct rte_mempool *pool);
/* All or nothing: returns num or 0. */
unsigned tasnic_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **bufs,
    unsigned num);
void tasnic_free(struct rte_mbuf *buf);
/* Frees buffers, but keeps up to `room` of `pool`'s in `spare`, as if just
 * allocated; returns how many. */
unsigned tasnic_recycle(struct rte_mempool *pool, struct rte_mbuf **bufs, unsigned num,
    struct rte_mbuf **spare, unsigned room);

/*
 * Receives up to num frames, prefetches their first bytes, and drops those
 * that span several buffers, adding their number to *dropped.
 */
uint16_t tasnic_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs,
    uint16_t num, uint64_t *dropped);

/* Sends frames from the front; returns how many the port took. */
uint16_t tasnic_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **bufs,
    uint16_t num);

/* Lets the driver finish frames with offloads; returns how many are fit to be
 * sent, so that the frame of that index, if any, can never be sent. */
uint16_t tasnic_tx_prepare(uint16_t port, uint16_t queue,
    struct rte_mbuf **bufs, uint16_t num);

#endif /* ndef TASNIC_SHIM_H_ */
