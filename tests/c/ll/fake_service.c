/* A service as the original's, as far as an application can tell, that sends
 * every byte back: `\0flexnic_os`, shared regions in /dev/shm, no isolation.
 *
 *   fake_service [-c CORES] [-n] [-k UPDATES] PROGRAM [ARG]...
 *
 * Runs the program against it and exits with its status. -n: the service never
 * gets ready. -k: it goes away after that many updates of the application. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "legacy.h"
#include "tas_memif.h"
#include "utils.h"

#define MEM_PATH "/dev/shm/" FLEXNIC_NAME_DMA_MEM
#define MEM_SIZE (256u << 20)
#define KERNEL_QUEUE 16
#define BUFFER 1024
#define MAX_CONTEXTS 16
#define MAX_WAITING 4096
#define MAX_CORES 16
#define MAX_CONNS 1024
#define POLL_CYCLE_APP 2000000ull
#define POLL_CYCLE_TAS 2000000ull

struct context {
  int evfd;
  uint64_t last_kick;
  struct kernel_appout *out;
  struct kernel_appin *in;
  uint32_t out_next, in_next;
  /* Answers that wait for room. */
  struct kernel_appin waiting[MAX_WAITING];
  uint32_t waiting_first, waiting_num;
  uint32_t rx_len, tx_len;
  uint8_t *rx[MAX_CORES], *tx[MAX_CORES];
  uint32_t rx_next[MAX_CORES], tx_next[MAX_CORES];
};

struct conn {
  int used;
  unsigned ctx;
  uint64_t opaque;
  uint16_t core, bump_seq;
  uint8_t *rx, *tx;
  /* Positions, the room in the receive buffer, and what is to be echoed. */
  uint32_t rx_pos, tx_pos, rx_room, waiting;
  int ended;
  uint8_t end_sent;
};

static unsigned cores = 1;
static int core_evfds[MAX_CORES], slow_evfd;
static uint8_t *mem;
static uint64_t mem_used = 64;
static struct context contexts[MAX_CONTEXTS];
static unsigned num_contexts;
static struct conn conns[MAX_CONNS];
static long updates_left = -1;

static void die(const char *what)
{
  perror(what);
  exit(99);
}

static void *region(const char *path, size_t len)
{
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
  void *place;

  if (fd < 0 || ftruncate(fd, len) != 0)
    die(path);
  place = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (place == MAP_FAILED)
    die(path);
  close(fd);
  return place;
}

static uint8_t *allocate(uint64_t len)
{
  uint8_t *place = mem + mem_used;

  mem_used += (len + 63) & ~63ull;
  if (mem_used > MEM_SIZE) {
    fprintf(stderr, "fake_service: out of memory\n");
    exit(99);
  }
  return place;
}

static void greet(int sock)
{
  uint32_t number = cores;
  unsigned next, count;
  uint8_t byte = 0;

  if (send_fds(sock, &number, sizeof(number), &slow_evfd, 1) != 0)
    die("greeting");
  for (next = 0; next < cores; next += count) {
    count = cores - next < CORES_PER_MESSAGE ? cores - next : CORES_PER_MESSAGE;
    if (send_fds(sock, &byte, sizeof(byte), core_evfds + next, count) != 0)
      die("eventfds");
  }
}

static void register_context(int sock)
{
  struct kernel_uxsock_request request;
  struct kernel_uxsock_response response;
  struct context *ctx = &contexts[num_contexts];
  uint64_t offsets[2];
  unsigned i;

  if (recv_fds(sock, &request, sizeof(request), &ctx->evfd, 1) != 0) {
    if (errno == 0)
      exit(0);
    die("request");
  }
  memset(&response, 0, sizeof(response));
  if (num_contexts + 1 == MAX_CONTEXTS) {
    response.status = 1;
    if (write(sock, &response, sizeof(response)) != sizeof(response))
      die("response");
    return;
  }
  ctx->rx_len = request.rxq_len;
  ctx->tx_len = request.txq_len;
  ctx->out = (void *) allocate(KERNEL_QUEUE * sizeof(*ctx->out));
  ctx->in = (void *) allocate(KERNEL_QUEUE * sizeof(*ctx->in));
  response.app_out_off = (uint8_t *) ctx->out - mem;
  response.app_out_len = KERNEL_QUEUE * sizeof(*ctx->out);
  response.app_in_off = (uint8_t *) ctx->in - mem;
  response.app_in_len = KERNEL_QUEUE * sizeof(*ctx->in);
  response.flexnic_db_id = num_contexts;
  response.flexnic_qs_num = cores;
  if (write(sock, &response, sizeof(response)) != sizeof(response))
    die("response");
  for (i = 0; i < cores; i++) {
    ctx->rx[i] = allocate(ctx->rx_len);
    ctx->tx[i] = allocate(ctx->tx_len);
    offsets[0] = ctx->rx[i] - mem;
    offsets[1] = ctx->tx[i] - mem;
    if (write(sock, offsets, sizeof(offsets)) != sizeof(offsets))
      die("queues");
  }
  num_contexts++;
}

static void kick(struct context *ctx)
{
  uint64_t one = 1, now;

  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  now = util_rdtsc();
  if (now - ctx->last_kick > POLL_CYCLE_APP) {
    ctx->last_kick = now;
    if (write(ctx->evfd, &one, sizeof(one)) != sizeof(one))
      die("kick");
  }
}

static void answer(struct context *ctx, uint8_t type, const struct kernel_appin *in)
{
  struct kernel_appin *place;

  if (ctx->waiting_num == MAX_WAITING) {
    fprintf(stderr, "fake_service: too many answers wait\n");
    exit(99);
  }
  place = &ctx->waiting[(ctx->waiting_first + ctx->waiting_num++) % MAX_WAITING];
  *place = *in;
  place->type = type;
}

static int send_answers(struct context *ctx)
{
  struct kernel_appin *slot, *next;
  int busy = 0;

  while (ctx->waiting_num > 0) {
    slot = &ctx->in[ctx->in_next];
    next = &ctx->waiting[ctx->waiting_first];
    if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) != 0)
      break;
    memcpy(slot, next, sizeof(*slot) - 1);
    __atomic_store_n(&slot->type, next->type, __ATOMIC_RELEASE);
    ctx->in_next = (ctx->in_next + 1) % KERNEL_QUEUE;
    ctx->waiting_first = (ctx->waiting_first + 1) % MAX_WAITING;
    ctx->waiting_num--;
    busy = 1;
  }
  if (busy)
    kick(ctx);
  /* Nobody would tell when there is room. */
  return busy || ctx->waiting_num > 0;
}

static void open_conn(unsigned index, const struct kernel_appout *out)
{
  struct kernel_appin in;
  unsigned id = 0;
  struct conn *conn;

  memset(&in, 0, sizeof(in));
  in.data.conn_opened.opaque = out->data.conn_open.opaque;
  /* Nobody listens on port 1. */
  if (out->data.conn_open.remote_port == 1) {
    in.data.conn_opened.status = -ECONNREFUSED;
    answer(&contexts[index], KERNEL_APPIN_CONN_OPENED, &in);
    return;
  }
  while (id < MAX_CONNS && conns[id].used)
    id++;
  if (id == MAX_CONNS)
    exit(99);
  conn = &conns[id];
  memset(conn, 0, sizeof(*conn));
  conn->used = 1;
  conn->ctx = index;
  conn->opaque = out->data.conn_open.opaque;
  conn->core = id % cores;
  conn->rx = allocate(BUFFER);
  conn->tx = allocate(BUFFER);
  conn->rx_room = BUFFER;
  in.data.conn_opened.rx_off = conn->rx - mem;
  in.data.conn_opened.rx_len = BUFFER;
  in.data.conn_opened.tx_off = conn->tx - mem;
  in.data.conn_opened.tx_len = BUFFER;
  in.data.conn_opened.flow_id = id;
  in.data.conn_opened.local_ip = 0x0a000001;
  in.data.conn_opened.local_port = 10000 + id;
  in.data.conn_opened.fn_core = conn->core;
  answer(&contexts[index], KERNEL_APPIN_CONN_OPENED, &in);
}

static int poll_updates(unsigned index, unsigned core)
{
  struct context *ctx = &contexts[index];
  struct flextcp_pl_atx *slot = (void *) (ctx->tx[core] + ctx->tx_next[core]), atx;
  struct conn *conn;

  if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == 0)
    return 0;
  atx = *slot;
  __atomic_store_n(&slot->type, 0, __ATOMIC_RELEASE);
  ctx->tx_next[core] = (ctx->tx_next[core] + sizeof(atx)) % ctx->tx_len;
  if (updates_left == 0)
    exit(0);
  if (updates_left > 0)
    updates_left--;
  if (atx.msg.connupdate.flow_id >= MAX_CONNS) {
    fprintf(stderr, "fake_service: flow %u\n", atx.msg.connupdate.flow_id);
    exit(99);
  }
  conn = &conns[atx.msg.connupdate.flow_id];
  if (!conn->used)
    return 1;
  if (atx.msg.connupdate.bump_seq != conn->bump_seq++ || conn->core != core) {
    fprintf(stderr, "fake_service: updates out of order\n");
    exit(99);
  }
  conn->rx_room += atx.msg.connupdate.rx_bump;
  conn->waiting += atx.msg.connupdate.tx_bump;
  if (conn->rx_room > BUFFER || conn->waiting > BUFFER) {
    fprintf(stderr, "fake_service: more bytes than the buffer has\n");
    exit(99);
  }
  if (atx.msg.connupdate.flags & FLEXTCP_PL_ATX_FLTXDONE) {
    /* The last byte stands for the FIN. */
    conn->ended = 1;
    conn->waiting--;
  }
  return 1;
}

static void close_conn(unsigned index, const struct kernel_appout *out)
{
  struct kernel_appin in;
  unsigned id, core;

  memset(&in, 0, sizeof(in));
  in.data.status.opaque = out->data.conn_close.opaque;
  in.data.status.status = -1;
  /* The flow id may be used again, so what was posted for it goes first. */
  for (core = 0; core < cores; core++)
    while (poll_updates(index, core)) {
    }
  for (id = 0; id < MAX_CONNS; id++) {
    if (conns[id].used && conns[id].opaque == out->data.conn_close.opaque
        && out->data.conn_close.local_port == 10000 + id) {
      conns[id].used = 0;
      in.data.status.status = 0;
    }
  }
  answer(&contexts[index], KERNEL_APPIN_STATUS_CONN_CLOSE, &in);
}

static int poll_requests(unsigned index)
{
  struct context *ctx = &contexts[index];
  struct kernel_appout *slot = &ctx->out[ctx->out_next], out;
  struct kernel_appin in;

  if (__atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) == 0)
    return 0;
  out = *slot;
  __atomic_store_n(&slot->type, 0, __ATOMIC_RELEASE);
  ctx->out_next = (ctx->out_next + 1) % KERNEL_QUEUE;
  memset(&in, 0, sizeof(in));
  switch (out.type) {
    case KERNEL_APPOUT_CONN_OPEN:
      open_conn(index, &out);
      break;
    case KERNEL_APPOUT_CONN_CLOSE:
      close_conn(index, &out);
      break;
    case KERNEL_APPOUT_LISTEN_OPEN:
      in.data.status.opaque = out.data.listen_open.opaque;
      in.data.status.status = -EADDRINUSE;
      answer(ctx, KERNEL_APPIN_STATUS_LISTEN_OPEN, &in);
      break;
    default:
      fprintf(stderr, "fake_service: request %u\n", out.type);
      exit(99);
  }
  return 1;
}

static int echo(struct conn *conn)
{
  struct context *ctx = &contexts[conn->ctx];
  struct flextcp_pl_arx *slot = (void *) (ctx->rx[conn->core] + ctx->rx_next[conn->core]), arx;
  uint32_t len, i;
  int end;

  len = conn->waiting < conn->rx_room ? conn->waiting : conn->rx_room;
  end = conn->ended && !conn->end_sent && len == conn->waiting;
  if ((len == 0 && !end) || __atomic_load_n(&slot->type, __ATOMIC_ACQUIRE) != 0)
    return 0;
  for (i = 0; i < len; i++)
    conn->rx[(conn->rx_pos + i) % BUFFER] = conn->tx[(conn->tx_pos + i) % BUFFER];
  memset(&arx, 0, sizeof(arx));
  arx.msg.connupdate.opaque = conn->opaque;
  arx.msg.connupdate.rx_bump = len;
  arx.msg.connupdate.rx_pos = conn->rx_pos;
  arx.msg.connupdate.tx_bump = len + end;
  arx.msg.connupdate.flags = end ? FLEXTCP_PL_ARX_FLRXDONE : 0;
  conn->rx_pos = (conn->rx_pos + len) % BUFFER;
  conn->tx_pos = (conn->tx_pos + len) % BUFFER;
  conn->rx_room -= len;
  conn->waiting -= len;
  conn->end_sent |= end;
  memcpy(slot, &arx, sizeof(arx) - 1);
  __atomic_store_n(&slot->type, FLEXTCP_PL_ARX_CONNUPDATE, __ATOMIC_RELEASE);
  ctx->rx_next[conn->core] = (ctx->rx_next[conn->core] + sizeof(arx)) % ctx->rx_len;
  kick(ctx);
  return 1;
}

static int work(void)
{
  unsigned i, core;
  int busy = 0;

  for (i = 0; i < num_contexts; i++) {
    busy |= poll_requests(i);
    busy |= send_answers(&contexts[i]);
    for (core = 0; core < cores; core++)
      busy |= poll_updates(i, core);
  }
  for (i = 0; i < MAX_CONNS; i++)
    busy |= conns[i].used && echo(&conns[i]);
  return busy;
}

/* Blocks as the service does: after its poll interval without work, and a last
 * look, until somebody kicks. So lost kicks show as a hang. */
static void serve(int sock)
{
  struct pollfd fds[MAX_CORES + 2];
  uint64_t idle_since = util_rdtsc(), count;
  int last_look = 0;
  unsigned i;

  fds[0] = (struct pollfd) {.fd = sock, .events = POLLIN};
  fds[1] = (struct pollfd) {.fd = slow_evfd, .events = POLLIN};
  for (i = 0; i < cores; i++)
    fds[2 + i] = (struct pollfd) {.fd = core_evfds[i], .events = POLLIN};
  for (;;) {
    if (work()) {
      idle_since = util_rdtsc();
      last_look = 0;
      continue;
    }
    if (util_rdtsc() - idle_since <= POLL_CYCLE_TAS) {
      if (poll(fds, 1, 0) == 1)
        register_context(sock);
      continue;
    }
    if (!last_look) {
      last_look = 1;
      continue;
    }
    if (poll(fds, cores + 2, -1) < 0)
      die("poll");
    if (fds[0].revents != 0)
      register_context(sock);
    for (i = 1; i < cores + 2; i++)
      if (fds[i].revents & POLLIN && read(fds[i].fd, &count, sizeof(count)) < 0)
        die("eventfd");
    idle_since = util_rdtsc();
    last_look = 0;
  }
}

int main(int argc, char *argv[])
{
  struct sockaddr_un address;
  struct flexnic_info *info;
  int option, listener, sock, status, ready = 1;
  pid_t server;
  unsigned i;

  while ((option = getopt(argc, argv, "+c:nk:")) != -1) {
    if (option == 'c')
      cores = atoi(optarg);
    else if (option == 'n')
      ready = 0;
    else if (option == 'k')
      updates_left = atol(optarg);
    else
      return 99;
  }
  if (optind == argc || cores == 0 || cores > MAX_CORES)
    return 99;
  info = region(INFO_PATH, FLEXNIC_INFO_BYTES);
  mem = region(MEM_PATH, MEM_SIZE);
  info->dma_mem_size = MEM_SIZE;
  info->internal_mem_size = 0;
  info->poll_cycle_app = POLL_CYCLE_APP;
  info->poll_cycle_tas = POLL_CYCLE_TAS;
  info->cores_num = cores;
  info->flags = ready ? FLEXNIC_FLAG_READY : 0;
  slow_evfd = eventfd(0, EFD_NONBLOCK);
  for (i = 0; i < cores; i++)
    core_evfds[i] = eventfd(0, EFD_NONBLOCK);
  legacy_address(&address);
  listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0
      || listen(listener, 5) != 0)
    die("listen");
  server = fork();
  if (server == 0) {
    sock = accept(listener, NULL, NULL);
    if (sock < 0)
      die("accept");
    greet(sock);
    serve(sock);
  }
  close(listener);
  if (fork() == 0) {
    execv(argv[optind], argv + optind);
    die(argv[optind]);
  }
  /* The service ends when the program does, or before where asked to. */
  for (i = 0; i < 2; i++) {
    pid_t ended = wait(&status);

    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
      kill(server, SIGKILL);
      return ended == server ? 98 : 1;
    }
  }
  return 0;
}
