/* What loopback.c measures, on the sockets library: echo client and echo server
 * in one thread, on sockets that do not block and one epoll, connections from
 * the service to itself. As little as a program on sockets can do: it waits,
 * receives, counts, and sends the next request.
 *
 *   loopback_sockets --ip=ADDR [--bytes=N] [--conns=N] [--pending=N] [--idle=N]
 *
 * keeps `pending` requests in flight on each of `conns` connections; `idle`
 * more are open, registered, and quiet. Prints "measuring" when counting
 * begins, and one line of JSON at the end, as loopback does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <x86intrin.h>

#include <tas_sockets.h>

#include "args.h"
#include "latency.h"

/* Events taken at once. */
#define EVENTS 128
/* Read at once. */
#define BUFFER 65536
/* Longest wait for responses on all connections. */
#define WARMUP_MAX_MS 4000

static struct {
  uint32_t ip;
  uint16_t port;
  uint32_t bytes;
  unsigned conns, pending, idle;
  unsigned warmup_ms, ms;
} set = {.port = 7000, .bytes = 64, .conns = 1, .pending = 1, .warmup_ms = 300, .ms = 1000};

/* One end of a connection. */
struct end {
  int fd;
  bool server;
  /* Bytes received of a response that has not ended. */
  uint32_t partial;
  /* Bytes that found no room: requests, or the echo of what is in `held`. */
  uint32_t unsent;
  /* Responses until the one that is timed, and in the time measured. */
  uint32_t timed, done;
  uint64_t sent_at;
  uint8_t *held;
};

static int epoll;
static struct end *clients, *servers;
static uint8_t buffer[BUFFER], *requests;
static uint64_t responses, polls, now, turn_end, busy;
static struct latency times;

static void fail(const char *what)
{
  fprintf(stderr, "loopback_sockets: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void watch(struct end *e, uint32_t events, int how)
{
  struct epoll_event event = {.events = events, .data.ptr = e};
  if (tas_epoll_ctl(epoll, how, e->fd, &event) != 0)
    fail("epoll_ctl");
}

static void send_bytes(struct end *e, const uint8_t *from, uint32_t len)
{
  ssize_t n = tas_send(e->fd, from, len, MSG_NOSIGNAL);
  if (n < 0 && errno != EAGAIN)
    fail("send");
  uint32_t sent = n < 0 ? 0 : (uint32_t)n;
  bool was_full = e->unsent > 0;
  e->unsent = len - sent;
  if (e->unsent > 0 && e->server)
    memmove(e->held, from + sent, e->unsent);
  if (was_full != (e->unsent > 0))
    watch(e, e->unsent > 0 ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static void start_client(struct end *e)
{
  e->timed = set.pending;
  e->sent_at = now;
  if (set.pending > 0)
    send_bytes(e, requests, set.pending * set.bytes);
}

static void client_received(struct end *e, uint32_t len)
{
  uint32_t partial = e->partial + len, done = 0;
  for (; partial >= set.bytes; done++)
    partial -= set.bytes;
  e->partial = partial;
  if (done == 0)
    return;
  e->done += done;
  responses += done;
  if (e->timed <= done) {
    latency_add(&times, now - e->sent_at);
    e->timed = set.pending;
    e->sent_at = now;
  } else {
    e->timed -= done;
  }
  send_bytes(e, requests, e->unsent + done * set.bytes);
}

static void ready(struct end *e)
{
  if (e->unsent > 0) {
    send_bytes(e, e->server ? e->held : requests, e->unsent);
    if (e->unsent > 0)
      return;
  }
  ssize_t n = tas_recv(e->fd, buffer, sizeof(buffer), 0);
  if (n < 0 && errno == EAGAIN)
    return;
  if (n <= 0)
    fail("recv");
  if (e->server)
    send_bytes(e, buffer, (uint32_t)n);
  else
    client_received(e, (uint32_t)n);
}

static void turn(void)
{
  struct epoll_event events[EVENTS];
  int n = tas_epoll_wait(epoll, events, EVENTS, 0);
  if (n < 0)
    fail("epoll_wait");
  uint64_t turn_start = turn_end;
  now = turn_end = __rdtsc();
  polls++;
  for (int i = 0; i < n; i++)
    ready(events[i].data.ptr);
  if (n > 0) {
    turn_end = __rdtsc();
    busy += turn_end - turn_start;
  }
}

static struct end *adopt(struct end *e, int fd, bool server)
{
  e->fd = fd;
  e->server = server;
  if (server)
    e->held = checked(malloc(BUFFER));
  watch(e, EPOLLIN, EPOLL_CTL_ADD);
  return e;
}

/* Each connection has two descriptors. */
static void allow_descriptors(void)
{
  rlim_t wanted = 2 * (set.conns + set.idle) + 64;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
    fail("getrlimit");
  if (limit.rlim_cur >= wanted)
    return;
  limit.rlim_cur = wanted;
  if (limit.rlim_max < wanted)
    limit.rlim_max = wanted;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
    fail("setrlimit");
}

static void set_up(void)
{
  allow_descriptors();
  unsigned all = set.conns + set.idle;
  clients = checked(calloc(all, sizeof(*clients)));
  servers = checked(calloc(all, sizeof(*servers)));
  requests = checked(calloc(set.pending + 1, set.bytes));
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(set.port),
                             .sin_addr.s_addr = htonl(set.ip)};
  int listener = tas_socket(AF_INET, SOCK_STREAM, 0);
  epoll = tas_epoll_create1(0);
  if (listener < 0 || epoll < 0 || tas_bind(listener, (struct sockaddr *)&addr, sizeof(addr)) != 0
      || tas_listen(listener, 1024) != 0)
    fail("listen");
  for (unsigned i = 0; i < all; i++) {
    int fd = tas_socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || tas_connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0)
      fail("connect");
    int peer = tas_accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (peer < 0 || tas_fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
      fail("accept");
    adopt(&clients[i], fd, false);
    adopt(&servers[i], peer, true);
  }
}

static void run_for(unsigned ms)
{
  uint64_t end = now_ns() + ms * 1000000ull;
  do {
    for (unsigned i = 0; i < 64; i++)
      turn();
  } while (now_ns() < end);
}

static unsigned silent_clients(void)
{
  unsigned silent = 0;
  for (unsigned i = 0; i < set.conns; i++)
    silent += clients[i].done == 0;
  return silent;
}

static void warm_up(void)
{
  uint64_t end = now_ns() + WARMUP_MAX_MS * 1000000ull;
  run_for(set.warmup_ms);
  while (set.pending > 0 && silent_clients() > 0 && now_ns() < end)
    run_for(20);
  responses = polls = busy = 0;
  memset(&times, 0, sizeof(times));
  for (unsigned i = 0; i < set.conns; i++)
    clients[i].done = 0;
}

static double percentile_us(double share, double cycles_per_us)
{
  return latency_percentile(&times, share) * 1e3 / cycles_per_us;
}

static void report(double ramp_ms, double seconds, double cycles_per_us)
{
  for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
    times.count += times.buckets[i];
  printf("{\"mode\":\"echo\",\"bytes\":%u,\"connections\":%u,\"pending\":%u,\"ramp_ms\":%.1f,"
         "\"seconds\":%.4f,\"tsc_mhz\":%.1f,\"polls\":%llu,\"busy\":%.3f,\"errors\":0,"
         "\"ramp_errors\":0,\"requests\":%llu,\"requests_per_s\":%.0f,\"timed\":%llu,"
         "\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,"
         "\"silent_connections\":%u}\n",
         set.bytes, set.conns, set.pending, ramp_ms, seconds, cycles_per_us,
         (unsigned long long)polls, (double)busy / cycles_per_us / 1e6 / seconds,
         (unsigned long long)responses, (double)responses / seconds,
         (unsigned long long)times.count, percentile_us(0.5, cycles_per_us),
         percentile_us(0.9, cycles_per_us), percentile_us(0.99, cycles_per_us),
         percentile_us(0.999, cycles_per_us), silent_clients());
  fflush(stdout);
}

static void usage(void)
{
  fprintf(stderr, "usage: loopback_sockets --ip=ADDR [--port=N] [--bytes=N] [--conns=N]\n"
                  "  [--pending=N] [--idle=N] [--warmup-ms=N] [--ms=N]\n");
  exit(2);
}

static void parse(int argc, char *argv[])
{
  enum { IP, PORT, BYTES, CONNS, PENDING, IDLE, WARMUP, MS };
  static const struct option options[] = {
    [IP] = {"ip", 1, NULL, IP}, [PORT] = {"port", 1, NULL, PORT},
    [BYTES] = {"bytes", 1, NULL, BYTES}, [CONNS] = {"conns", 1, NULL, CONNS},
    [PENDING] = {"pending", 1, NULL, PENDING}, [IDLE] = {"idle", 1, NULL, IDLE},
    [WARMUP] = {"warmup-ms", 1, NULL, WARMUP}, [MS] = {"ms", 1, NULL, MS}, {0},
  };
  int option, index = 0;
  while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
    if (option == '?')
      usage();
    char *const value[] = {optarg};
    const char *name = options[option].name;
#define NUMBER(min, max) arg_number(1, value, 0, name, 0, min, max)
    switch (option) {
      case IP: set.ip = arg_address(optarg); break;
      case PORT: set.port = (uint16_t)NUMBER(1, 65535); break;
      case BYTES: set.bytes = (uint32_t)NUMBER(1, BUFFER); break;
      case CONNS: set.conns = (unsigned)NUMBER(1, 1u << 14); break;
      case PENDING: set.pending = (unsigned)NUMBER(0, 1024); break;
      case IDLE: set.idle = (unsigned)NUMBER(0, 1u << 14); break;
      case WARMUP: set.warmup_ms = (unsigned)NUMBER(0, 3600000); break;
      case MS: set.ms = (unsigned)NUMBER(1, 3600000); break;
    }
#undef NUMBER
  }
  if (optind != argc || set.ip == 0)
    usage();
}

int main(int argc, char *argv[])
{
  parse(argc, argv);
  uint64_t ramp = now_ns();
  set_up();
  double ramp_ms = (double)(now_ns() - ramp) / 1e6;
  now = __rdtsc();
  for (unsigned i = 0; i < set.conns; i++)
    start_client(&clients[i]);
  warm_up();
  puts("measuring");
  fflush(stdout);
  uint64_t start = now_ns(), cycles = __rdtsc();
  run_for(set.ms);
  double seconds = (double)(now_ns() - start) / 1e9;
  report(ramp_ms, seconds, (double)(__rdtsc() - cycles) / seconds / 1e6);
  return 0;
}
