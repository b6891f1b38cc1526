/* An application that speaks the original library's protocol by itself, to
 * show that such libraries can attach to the service.
 *
 *   legacy_client connect IP PORT BYTES   to an echo server; verifies the echo
 *   legacy_client listen PORT             accepts one connection, echoes it
 *
 * Prints `legacy: ok` when everything was as it should be. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "legacy.h"
#include "tas_memif.h"

#define RXQ_LEN (64u * 32 * 1024)
#define TXQ_LEN (64u * 8192)
#define MAX_CORES 16
#define TIMEOUT_SECONDS 60

static int sock, slow_evfd, evfd, core_evfds[MAX_CORES];
static uint32_t cores;
static uint8_t *mem;
static const struct flexnic_info *info;

static struct kernel_appout *out;
static struct kernel_appin *in;
static uint32_t out_len, in_len, out_next, in_next;
static uint8_t *rxq[MAX_CORES], *txq[MAX_CORES];
static uint32_t rx_next[MAX_CORES], tx_next[MAX_CORES];

/* The connection. Its opaque value is any number that comes back. */
static const uint64_t conn_opaque = 0x1122334455667788;
static const uint64_t listen_opaque = 0x8877665544332211;
static uint8_t *rx_buf, *tx_buf;
static uint32_t rx_len, tx_len, rx_pos, tx_pos, tx_room, flow_id, bump_seq;
static uint32_t local_ip, remote_ip, core;
static uint16_t local_port, remote_port;

static void fail(const char *what)
{
  fprintf(stderr, "legacy_client: %s (errno %d)\n", what, errno);
  exit(1);
}

static void *map(const char *path, size_t len, int prot)
{
  int fd = open(path, prot & PROT_WRITE ? O_RDWR : O_RDONLY);
  void *place;

  if (fd < 0)
    fail(path);
  place = mmap(NULL, len, prot, MAP_SHARED, fd, 0);
  if (place == MAP_FAILED)
    fail(path);
  close(fd);
  return place;
}

static void attach(void)
{
  struct sockaddr_un address;
  uint32_t next, count;
  uint8_t byte;

  legacy_address(&address);
  sock = socket(AF_UNIX, SOCK_STREAM, 0);
  if (sock < 0 || connect(sock, (struct sockaddr *) &address, sizeof(address)) != 0)
    fail("connect");
  if (recv_fds(sock, &cores, sizeof(cores), &slow_evfd, 1) != 0)
    fail("number of cores");
  if (cores == 0 || cores > MAX_CORES)
    fail("impossible number of cores");
  for (next = 0; next < cores; next += count) {
    count = cores - next < CORES_PER_MESSAGE ? cores - next : CORES_PER_MESSAGE;
    if (recv_fds(sock, &byte, 1, core_evfds + next, count) != 0)
      fail("eventfds of the cores");
  }
  info = map(INFO_PATH, FLEXNIC_INFO_BYTES, PROT_READ);
  if (!(info->flags & FLEXNIC_FLAG_READY))
    fail("not ready");
  if (info->cores_num != cores)
    fail("two numbers of cores");
  mem = map(info->flags & FLEXNIC_FLAG_HUGEPAGES ? FLEXNIC_HUGE_PREFIX "/" FLEXNIC_NAME_DMA_MEM
                                                 : "/dev/shm/" FLEXNIC_NAME_DMA_MEM,
            info->dma_mem_size, PROT_READ | PROT_WRITE);
}

static void read_all(void *bytes, size_t len)
{
  if (recv(sock, bytes, len, MSG_WAITALL) != (ssize_t) len)
    fail("answer to the context request");
}

static void *at(uint64_t offset, uint64_t len)
{
  if (offset > info->dma_mem_size || len > info->dma_mem_size - offset)
    fail("an offset outside the region");
  return mem + offset;
}

static void register_context(void)
{
  struct kernel_uxsock_request request = {.rxq_len = RXQ_LEN, .txq_len = TXQ_LEN};
  struct kernel_uxsock_response response;
  uint64_t offsets[2];
  uint32_t i;

  evfd = eventfd(0, EFD_NONBLOCK);
  if (evfd < 0 || send_fds(sock, &request, sizeof(request), &evfd, 1) != 0)
    fail("context request");
  read_all(&response, sizeof(response));
  if (response.status != 0 || response.flexnic_qs_num != cores)
    fail("context refused");
  out = at(response.app_out_off, response.app_out_len);
  in = at(response.app_in_off, response.app_in_len);
  out_len = response.app_out_len / sizeof(*out);
  in_len = response.app_in_len / sizeof(*in);
  for (i = 0; i < cores; i++) {
    read_all(offsets, sizeof(offsets));
    rxq[i] = at(offsets[0], RXQ_LEN);
    txq[i] = at(offsets[1], TXQ_LEN);
  }
}

static void kick(int fd)
{
  uint64_t one = 1;

  if (info->poll_cycle_tas != UINT64_MAX && write(fd, &one, sizeof(one)) != sizeof(one))
    fail("kick");
}

static void request(uint8_t type, const struct kernel_appout *entry)
{
  struct kernel_appout *slot = &out[out_next];

  if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) != 0)
    fail("full request queue");
  memcpy(slot, entry, sizeof(*slot) - 1);
  __atomic_store_n(&slot->type, type, __ATOMIC_RELEASE);
  out_next = (out_next + 1) % out_len;
  kick(slow_evfd);
}

/* Takes an answer; returns its type, 0 if there is none. */
static uint8_t next_answer(struct kernel_appin *answer)
{
  struct kernel_appin *slot = &in[in_next];
  uint8_t type = __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE);

  if (type == 0)
    return 0;
  memcpy(answer, slot, sizeof(*slot));
  __atomic_store_n(&slot->type, 0, __ATOMIC_RELEASE);
  in_next = (in_next + 1) % in_len;
  return type;
}

static void wait_answer(uint8_t wanted, struct kernel_appin *answer)
{
  uint8_t type;

  while ((type = next_answer(answer)) == 0)
    usleep(100);
  if (type != wanted && type != KERNEL_APPIN_LISTEN_NEWCONN)
    fail("an answer to something else");
  if (type != wanted)
    wait_answer(wanted, answer);
}

static void update(uint32_t rx_bump, uint32_t tx_bump, uint8_t flags)
{
  struct flextcp_pl_atx *slot = (void *) (txq[core] + tx_next[core]), atx;

  while (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) != 0)
    usleep(100);
  memset(&atx, 0, sizeof(atx));
  atx.msg.connupdate.rx_bump = rx_bump;
  atx.msg.connupdate.tx_bump = tx_bump;
  atx.msg.connupdate.flow_id = flow_id;
  atx.msg.connupdate.bump_seq = bump_seq++;
  atx.msg.connupdate.flags = flags;
  memcpy(slot, &atx, sizeof(atx) - 1);
  __atomic_store_n(&slot->type, FLEXTCP_PL_ATX_CONNUPDATE, __ATOMIC_RELEASE);
  tx_next[core] = (tx_next[core] + sizeof(atx)) % TXQ_LEN;
  kick(core_evfds[core]);
}

static int next_update(struct flextcp_pl_arx *arx)
{
  struct flextcp_pl_arx *slot = (void *) (rxq[core] + rx_next[core]);

  if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == 0)
    return 0;
  memcpy(arx, slot, sizeof(*arx));
  __atomic_store_n(&slot->type, 0, __ATOMIC_RELEASE);
  rx_next[core] = (rx_next[core] + sizeof(*arx)) % RXQ_LEN;
  if (arx->type != FLEXTCP_PL_ARX_CONNUPDATE || arx->msg.connupdate.opaque != conn_opaque)
    fail("an update of something else");
  if (arx->msg.connupdate.rx_bump != 0 && arx->msg.connupdate.rx_pos != rx_pos)
    fail("received bytes in the wrong place");
  return 1;
}

static void open_connection(uint32_t ip, uint16_t port)
{
  struct kernel_appout entry;
  struct kernel_appin answer;

  memset(&entry, 0, sizeof(entry));
  entry.data.conn_open.opaque = conn_opaque;
  entry.data.conn_open.remote_ip = remote_ip = ip;
  entry.data.conn_open.remote_port = remote_port = port;
  request(KERNEL_APPOUT_CONN_OPEN, &entry);
  wait_answer(KERNEL_APPIN_CONN_OPENED, &answer);
  if (answer.data.conn_opened.opaque != conn_opaque || answer.data.conn_opened.status != 0)
    fail("connection not opened");
  rx_len = answer.data.conn_opened.rx_len;
  tx_len = tx_room = answer.data.conn_opened.tx_len;
  rx_buf = at(answer.data.conn_opened.rx_off, rx_len);
  tx_buf = at(answer.data.conn_opened.tx_off, tx_len);
  flow_id = answer.data.conn_opened.flow_id;
  core = answer.data.conn_opened.fn_core;
  local_ip = answer.data.conn_opened.local_ip;
  local_port = answer.data.conn_opened.local_port;
}

static void accept_connection(uint16_t port)
{
  struct kernel_appout entry;
  struct kernel_appin answer;

  memset(&entry, 0, sizeof(entry));
  entry.data.listen_open.opaque = listen_opaque;
  entry.data.listen_open.backlog = 16;
  entry.data.listen_open.local_port = port;
  request(KERNEL_APPOUT_LISTEN_OPEN, &entry);
  wait_answer(KERNEL_APPIN_STATUS_LISTEN_OPEN, &answer);
  if (answer.data.status.opaque != listen_opaque || answer.data.status.status != 0)
    fail("listener not opened");
  printf("legacy: listening\n");
  fflush(stdout);
  memset(&entry, 0, sizeof(entry));
  entry.data.accept_conn.listen_opaque = listen_opaque;
  entry.data.accept_conn.conn_opaque = conn_opaque;
  entry.data.accept_conn.local_port = port;
  request(KERNEL_APPOUT_ACCEPT_CONN, &entry);
  wait_answer(KERNEL_APPIN_ACCEPTED_CONN, &answer);
  if (answer.data.accept_connection.opaque != conn_opaque
      || answer.data.accept_connection.status != 0)
    fail("connection not accepted");
  rx_len = answer.data.accept_connection.rx_len;
  tx_len = tx_room = answer.data.accept_connection.tx_len;
  rx_buf = at(answer.data.accept_connection.rx_off, rx_len);
  tx_buf = at(answer.data.accept_connection.tx_off, tx_len);
  flow_id = answer.data.accept_connection.flow_id;
  core = answer.data.accept_connection.fn_core;
  local_ip = answer.data.accept_connection.local_ip;
  remote_ip = answer.data.accept_connection.remote_ip;
  remote_port = answer.data.accept_connection.remote_port;
  local_port = port;
}

static void close_connection(void)
{
  struct kernel_appout entry;
  struct kernel_appin answer;

  memset(&entry, 0, sizeof(entry));
  entry.data.conn_close.opaque = conn_opaque;
  entry.data.conn_close.remote_ip = remote_ip;
  entry.data.conn_close.remote_port = remote_port;
  entry.data.conn_close.local_ip = local_ip;
  entry.data.conn_close.local_port = local_port;
  request(KERNEL_APPOUT_CONN_CLOSE, &entry);
  wait_answer(KERNEL_APPIN_STATUS_CONN_CLOSE, &answer);
  if (answer.data.status.opaque != conn_opaque || answer.data.status.status != 0)
    fail("connection not closed");
}

static uint8_t pattern(uint64_t pos)
{
  return (pos * 167 + (pos >> 9)) & 0xff;
}

/* Sends the pattern and expects it back, then the end in both directions. */
static void client(uint64_t bytes)
{
  struct flextcp_pl_arx arx;
  uint64_t sent = 0, received = 0;
  uint32_t len, i;
  int end_sent = 0, end_seen = 0;

  while (!end_seen || tx_room != tx_len) {
    len = bytes - sent < tx_room ? bytes - sent : tx_room;
    for (i = 0; i < len; i++)
      tx_buf[(tx_pos + i) % tx_len] = pattern(sent + i);
    tx_pos = (tx_pos + len) % tx_len;
    tx_room -= len;
    sent += len;
    if (len > 0)
      update(0, len, 0);
    if (sent == bytes && !end_sent && tx_room > 0) {
      end_sent = 1;
      tx_room--;
      update(0, 1, FLEXTCP_PL_ATX_FLTXDONE);
    }
    if (!next_update(&arx)) {
      usleep(10);
      continue;
    }
    for (i = 0; i < arx.msg.connupdate.rx_bump; i++)
      if (rx_buf[(rx_pos + i) % rx_len] != pattern(received + i))
        fail("wrong bytes");
    received += arx.msg.connupdate.rx_bump;
    rx_pos = (rx_pos + arx.msg.connupdate.rx_bump) % rx_len;
    tx_room += arx.msg.connupdate.tx_bump;
    if (tx_room > tx_len || received > sent)
      fail("more bytes than were sent");
    if (arx.msg.connupdate.rx_bump > 0)
      update(arx.msg.connupdate.rx_bump, 0, 0);
    end_seen |= arx.msg.connupdate.flags & FLEXTCP_PL_ARX_FLRXDONE;
  }
  if (received != bytes)
    fail("bytes are missing");
}

/* Sends back what arrives, until the peer's end. */
static void server(void)
{
  struct flextcp_pl_arx arx;
  uint32_t waiting = 0, len, i;
  int end_seen = 0, end_sent = 0;

  while (!end_sent || tx_room != tx_len) {
    if (next_update(&arx)) {
      waiting += arx.msg.connupdate.rx_bump;
      rx_pos = (rx_pos + arx.msg.connupdate.rx_bump) % rx_len;
      tx_room += arx.msg.connupdate.tx_bump;
      end_seen |= arx.msg.connupdate.flags & FLEXTCP_PL_ARX_FLRXDONE;
    } else {
      usleep(10);
    }
    len = waiting < tx_room ? waiting : tx_room;
    for (i = 0; i < len; i++)
      tx_buf[(tx_pos + i) % tx_len] = rx_buf[(rx_pos + rx_len - waiting + i) % rx_len];
    tx_pos = (tx_pos + len) % tx_len;
    tx_room -= len;
    waiting -= len;
    if (len > 0)
      update(len, len, 0);
    if (end_seen && !end_sent && waiting == 0 && tx_room > 0) {
      end_sent = 1;
      tx_room--;
      update(0, 1, FLEXTCP_PL_ATX_FLTXDONE);
    }
  }
}

int main(int argc, char *argv[])
{
  struct in_addr ip;

  alarm(TIMEOUT_SECONDS);
  if (argc == 5 && strcmp(argv[1], "connect") == 0 && inet_pton(AF_INET, argv[2], &ip) == 1) {
    attach();
    register_context();
    open_connection(ntohl(ip.s_addr), atoi(argv[3]));
    client(strtoull(argv[4], NULL, 10));
  } else if (argc == 3 && strcmp(argv[1], "listen") == 0) {
    attach();
    register_context();
    accept_connection(atoi(argv[2]));
    server();
  } else {
    fprintf(stderr, "usage: legacy_client connect IP PORT BYTES | listen PORT\n");
    return 2;
  }
  close_connection();
  printf("legacy: ok\n");
  return 0;
}
