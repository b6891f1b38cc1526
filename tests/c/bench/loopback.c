/* Echo client and echo server in one: one thread, one context, connections
 * from the service to itself. Measures the service and its library, so it does
 * as little as an application can: it copies what arrived into the transmit
 * buffer, counts, and sends the next request.
 *
 *   loopback [--mode=echo] --ip=ADDR [--bytes=N] [--conns=N] [--pending=N]
 *   loopback --mode=connect --ip=ADDR [--conns=N]
 *
 * echo keeps `pending` requests in flight on each of `conns` connections;
 * connect opens and closes, `conns` at a time. Prints
 * "measuring" when counting begins, and one line of JSON at the end.
 *
 * Round trips: on each connection one request at a time is timed, from the
 * poll whose events led to it to the poll that brought the end of its answer.
 * With one in flight that is every request. */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <tas_ll.h>

#include "args.h"
#include "latency.h"

/* Opens under way while connections are built up. */
#define OPENING 64
/* Connections that send their first request per turn. */
#define STARTING 16
/* A turn: events taken at once. */
#define EVENTS 128
/* Events ahead of which buffers are prefetched. */
#define AHEAD 4
/* To one port there are some 28,000 connections from one address. */
#define CONNS_PER_PORT 16384
/* Of each port in mode connect, where ports rest in TIME-WAIT. */
#define CONNECT_PORTS 8
#define MAX_PORTS 64
/* Failures after which something is wrong. */
#define MAX_ERRORS 10000
/* Longest wait for responses on all connections. */
#define WARMUP_MAX_MS 4000
/* Bytes of requests, a pattern that repeats with each message. */
#define PATTERN_MIN 65536
#define HUGE_PAGE ((size_t)2 << 20)

enum mode { ECHO, CONNECT };

/* What a connection is to do once a queue has room. */
enum wish { NONE, OPEN, ACCEPT, CLOSE };

struct settings {
  enum mode mode;
  uint32_t ip;
  uint16_t port;
  unsigned ports;
  uint32_t bytes;
  unsigned conns;
  unsigned pending;
  unsigned ramp_ms;
  unsigned warmup_ms;
  unsigned ms;
  bool check;
  bool hold;
};

/* One end of a connection. */
struct end {
  struct flextcp_connection tcp;
  union {
    struct {
      /* Bytes received of a response that has not ended. */
      uint32_t partial;
      /* Bytes of requests that found no room. */
      uint32_t unsent;
      /* Responses until the one that is timed. */
      uint32_t timed;
      /* Responses in the time measured. */
      uint32_t done;
      /* When the request that is timed was sent. */
      uint64_t sent_at;
    } client;
    struct {
      /* Received bytes that found no room, and where they begin. */
      uint32_t waiting;
      uint32_t at;
    } server;
  };
  struct end *next_wish;
  uint16_t listener;
  uint8_t wish;
} __attribute__((aligned(64)));

static struct settings set = {
  .mode = ECHO, .port = 7000, .bytes = 64, .conns = 1, .pending = 1,
  .ramp_ms = 60000, .warmup_ms = 300, .ms = 1000,
};
static struct flextcp_context ctx;
static struct flextcp_listener listeners[MAX_PORTS];
static struct end *clients, *servers;
static unsigned num_servers;
static uint8_t *pattern;
static size_t pattern_len;

static struct end *wishes;
static unsigned listening, accepted, opened, opening, asked;
static uint64_t responses, connects, errors, ramp_errors, polls;
/* Cycle counter: when the last events came, when the last turn ended, and the
 * sum of all turns that had events. */
static uint64_t now, turn_end, busy;
static bool started;
static struct latency times;

static inline bool is_server(const struct end *e)
{
  return (uintptr_t)e - (uintptr_t)servers < num_servers * sizeof(*servers);
}

static void fail(const char *what, int error)
{
  fprintf(stderr, "loopback: %s: %s\n", what, strerror(error));
  exit(1);
}

static void count_error(const char *what, int error)
{
  if (errors++ == 0)
    fprintf(stderr, "loopback: %s: %s\n", what, strerror(error));
  if (errors == MAX_ERRORS)
    fail("too many failures, the last", error);
}

/* --- Requests to the slow path, repeated until their queue has room --------- */

static int attempt(struct end *e, enum wish wish)
{
  switch (wish) {
    case OPEN:
      return flextcp_connection_open(&ctx, &e->tcp, set.ip, (uint16_t)(set.port + e->listener));
    case ACCEPT:
      return flextcp_listen_accept(&ctx, &listeners[e->listener], &e->tcp);
    case CLOSE:
      return flextcp_connection_close(&ctx, &e->tcp);
    default:
      return 0;
  }
}

static void want(struct end *e, enum wish wish)
{
  if (attempt(e, wish) == 0)
    return;
  if (errno != EAGAIN) {
    count_error("open, accept or close", errno);
    return;
  }
  e->wish = wish;
  e->next_wish = wishes;
  wishes = e;
}

static void retry_wishes(void)
{
  struct end *e = wishes;
  wishes = NULL;
  while (e != NULL) {
    struct end *next = e->next_wish;
    want(e, e->wish);
    e = next;
  }
}

/* --- The client ------------------------------------------------------------- */

static void copy_pattern(uint8_t *to, size_t len, size_t from)
{
  while (len > 0) {
    size_t part = len < pattern_len - from ? len : pattern_len - from;
    memcpy(to, pattern + from, part);
    to += part;
    len -= part;
    from = 0;
  }
}

/* Sends what is unsent, as far as there is room; the rest when an event tells
 * that there is again. */
static void send_requests(struct end *e)
{
  void *to1 = NULL, *to2 = NULL;
  size_t first = 0, unsent = e->client.unsent;
  ssize_t n = flextcp_connection_tx_alloc2(&e->tcp, unsent, &to1, &first, &to2);
  if (n <= 0)
    return;
  /* Where in a message this begins: the last one ends after `unsent` bytes. */
  size_t from = unsent <= set.bytes ? set.bytes - unsent
              : (set.bytes - unsent % set.bytes) % set.bytes;
  copy_pattern(to1, first, from);
  if ((size_t)n > first)
    copy_pattern(to2, (size_t)n - first, (from + first) % pattern_len);
  if (flextcp_connection_tx_send(&ctx, &e->tcp, (size_t)n) != 0) {
    count_error("send", errno);
    return;
  }
  e->client.unsent -= (uint32_t)n;
}

static void start_client(struct end *e)
{
  if (set.pending == 0)
    return;
  e->client.timed = set.pending;
  e->client.sent_at = now;
  e->client.unsent = set.pending * set.bytes;
  send_requests(e);
}

static void check_response(const uint8_t *buf, size_t len, size_t from)
{
  while (len > 0) {
    size_t part = len < pattern_len - from ? len : pattern_len - from;
    if (memcmp(buf, pattern + from, part) != 0) {
      fprintf(stderr, "loopback: a response is not what was sent\n");
      exit(1);
    }
    buf += part;
    len -= part;
    from = 0;
  }
}

static void client_received(struct end *e, const void *buf, uint32_t len)
{
  uint32_t partial = e->client.partial + len, done = 0;
  if (set.check)
    check_response(buf, len, e->client.partial);
  flextcp_connection_rx_done(&ctx, &e->tcp, len);
  for (; partial >= set.bytes; done++)
    partial -= set.bytes;
  e->client.partial = partial;
  if (done == 0)
    return;
  e->client.done += done;
  responses += done;
  if (e->client.timed <= done) {
    latency_add(&times, now - e->client.sent_at);
    /* The last of those about to be sent comes after all in flight. */
    e->client.timed = set.pending;
    e->client.sent_at = now;
  } else {
    e->client.timed -= done;
  }
  e->client.unsent += done * set.bytes;
  send_requests(e);
}

/* --- The server ------------------------------------------------------------- */

/* Copies `len` bytes from `from` into the transmit buffer, as far as there is
 * room, and returns how many. */
static size_t echo(struct end *e, const uint8_t *from, size_t len)
{
  void *to1 = NULL, *to2 = NULL;
  size_t first = 0;
  ssize_t n = flextcp_connection_tx_alloc2(&e->tcp, len, &to1, &first, &to2);
  if (n <= 0)
    return 0;
  memcpy(to1, from, first);
  if ((size_t)n > first)
    memcpy(to2, from + first, (size_t)n - first);
  /* First, so that one message to the core tells of both. */
  flextcp_connection_rx_done(&ctx, &e->tcp, (size_t)n);
  if (flextcp_connection_tx_send(&ctx, &e->tcp, (size_t)n) != 0)
    count_error("send", errno);
  return (size_t)n;
}

static void server_received(struct end *e, const void *buf, uint32_t len)
{
  if (e->server.waiting > 0) {
    e->server.waiting += len;
    return;
  }
  size_t n = echo(e, buf, len);
  if (n < len) {
    e->server.waiting = len - (uint32_t)n;
    e->server.at = (uint32_t)((const uint8_t *)buf - e->tcp.rxb_base + n) % e->tcp.rxb_len;
  }
}

static void server_resumes(struct end *e)
{
  while (e->server.waiting > 0) {
    size_t len = e->server.waiting, to_end = e->tcp.rxb_len - e->server.at;
    size_t n = echo(e, e->tcp.rxb_base + e->server.at, len < to_end ? len : to_end);
    if (n == 0)
      return;
    e->server.waiting -= (uint32_t)n;
    e->server.at = (uint32_t)((e->server.at + n) % e->tcp.rxb_len);
  }
}

/* --- Connections come and go ------------------------------------------------ */

static void connect_more(void)
{
  for (; opening < OPENING && asked < set.conns && wishes == NULL; opening++)
    want(&clients[asked++], OPEN);
}

static void client_open(struct end *e, int status)
{
  if (status != 0) {
    count_error("open", -status);
    want(e, OPEN);
    return;
  }
  opening--;
  opened++;
  if (set.mode == CONNECT && flextcp_connection_tx_close(&ctx, &e->tcp) != 0)
    count_error("end of stream", errno);
}

static void server_accepted(struct end *e, int status)
{
  e->server.waiting = 0;
  if (status == 0) {
    accepted++;
  } else {
    count_error("accept", -status);
    want(e, ACCEPT);
  }
}

static void peer_closed(struct end *e)
{
  /* In mode echo it is a reset, and the library closes by itself. */
  if (set.mode == ECHO)
    return;
  if (is_server(e) && flextcp_connection_tx_close(&ctx, &e->tcp) != 0)
    count_error("end of stream", errno);
  want(e, CLOSE);
}

static void closed(struct end *e, int status)
{
  if (set.mode == ECHO && started)
    fail("a connection was closed", -status);
  if (status != 0)
    count_error("close", -status);
  if (is_server(e)) {
    accepted--;
    want(e, ACCEPT);
  } else {
    connects++;
    opened--;
    opening++;
    want(e, OPEN);
  }
}

static void dispatch(const struct flextcp_event *event)
{
  switch (event->event_type) {
    case FLEXTCP_EV_CONN_RECEIVED: {
      struct end *e = (struct end *)event->ev.conn_received.conn;
      uint32_t len = (uint32_t)event->ev.conn_received.len;
      if (is_server(e))
        server_received(e, event->ev.conn_received.buf, len);
      else
        client_received(e, event->ev.conn_received.buf, len);
      break;
    }
    case FLEXTCP_EV_CONN_SENDBUF: {
      struct end *e = (struct end *)event->ev.conn_sendbuf.conn;
      if (is_server(e))
        server_resumes(e);
      else if (e->client.unsent > 0)
        send_requests(e);
      break;
    }
    case FLEXTCP_EV_CONN_OPEN:
      client_open((struct end *)event->ev.conn_open.conn, event->ev.conn_open.status);
      break;
    case FLEXTCP_EV_LISTEN_ACCEPT:
      server_accepted((struct end *)event->ev.listen_accept.conn, event->ev.listen_accept.status);
      break;
    case FLEXTCP_EV_CONN_RXCLOSED:
      peer_closed((struct end *)event->ev.conn_rxclosed.conn);
      break;
    case FLEXTCP_EV_CONN_CLOSED:
      closed((struct end *)event->ev.conn_closed.conn, event->ev.conn_closed.status);
      break;
    case FLEXTCP_EV_LISTEN_OPEN:
      if (event->ev.listen_open.status != 0)
        fail("listen", -event->ev.listen_open.status);
      listening++;
      break;
    default:
      /* NEWCONN: accepts are on offer. TXCLOSED: the peer's end follows. */
      break;
  }
}

static inline void prefetch(const struct flextcp_event *event)
{
  if (event->event_type == FLEXTCP_EV_CONN_RECEIVED) {
    const struct flextcp_connection *tcp = event->ev.conn_received.conn;
    __builtin_prefetch(event->ev.conn_received.buf);
    __builtin_prefetch(tcp->txb_base + tcp->txb_head, 1);
  }
}

static void turn(void)
{
  struct flextcp_event events[EVENTS];
  int n = flextcp_context_poll(&ctx, EVENTS, events);
  if (n < 0)
    fail("poll", errno);
  uint64_t turn_start = turn_end;
  now = turn_end = __rdtsc();
  polls++;
  for (int i = 0; i < n && i < AHEAD; i++)
    prefetch(&events[i]);
  for (int i = 0; i < n; i++) {
    if (i + AHEAD < n)
      prefetch(&events[i + AHEAD]);
    dispatch(&events[i]);
  }
  if (wishes != NULL)
    retry_wishes();
  if (n > 0) {
    turn_end = __rdtsc();
    busy += turn_end - turn_start;
  }
}

/* --- A run ------------------------------------------------------------------ */

static void make_pattern(void)
{
  pattern_len = ((PATTERN_MIN - 1) / set.bytes + 1) * set.bytes;
  pattern = checked(malloc(pattern_len));
  for (size_t i = 0; i < pattern_len; i++)
    pattern[i] = (uint8_t)((i % set.bytes) * 131 >> 3);
}

/* In huge pages where there are some, so that what is measured is no lack of
 * them in this program. */
static struct end *make_ends(unsigned num)
{
  size_t bytes = (num * sizeof(struct end) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  struct end *ends = checked(aligned_alloc(HUGE_PAGE, bytes));
  madvise(ends, bytes, MADV_HUGEPAGE);
  memset(ends, 0, num * sizeof(*ends));
  for (unsigned i = 0; i < num; i++)
    ends[i].listener = (uint16_t)(i % set.ports);
  return ends;
}

static void set_up(void)
{
  /* Those that close are not back yet when others come. */
  num_servers = set.mode == CONNECT ? 4 * set.conns : set.conns;
  clients = make_ends(set.conns);
  servers = make_ends(num_servers);
  make_pattern();
  if (flextcp_init() != 0 || flextcp_context_create(&ctx) != 0)
    exit(1);
  for (unsigned i = 0; i < set.ports; i++)
    if (flextcp_listen_open(&ctx, &listeners[i], (uint16_t)(set.port + i), 4096, 0) != 0)
      fail("listen", errno);
  while (listening < set.ports)
    turn();
}

/* Opens all connections (echo), or as many as are to be under way (connect). */
static uint64_t ramp_up(void)
{
  uint64_t start = now_ns(), end = start + set.ramp_ms * 1000000ull;
  unsigned offered = 0;
  bool complete = false;
  while (!complete) {
    /* Ahead of those that come, and no more than the queue has room for. */
    while (offered < num_servers && wishes == NULL && offered < asked + 2 * OPENING)
      want(&servers[offered++], ACCEPT);
    connect_more();
    turn();
    complete = asked == set.conns && offered == num_servers
      && (set.mode == CONNECT || (opened == set.conns && accepted == set.conns));
    if (offered < num_servers && asked == set.conns)
      want(&servers[offered++], ACCEPT);
    if (polls % 1024 == 0 && now_ns() > end) {
      fprintf(stderr, "loopback: of %u connections %u are open and %u accepted after %u ms\n",
              set.conns, opened, accepted, set.ramp_ms);
      exit(1);
    }
  }
  return now_ns() - start;
}

static void start_clients(void)
{
  started = true;
  for (unsigned i = 0; i < set.conns; i++) {
    start_client(&clients[i]);
    if (i % STARTING == STARTING - 1)
      turn();
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

/* Connections without any response in the time measured. */
static unsigned silent_clients(void)
{
  unsigned silent = 0;
  for (unsigned i = 0; i < set.conns; i++)
    silent += clients[i].client.done == 0;
  return silent;
}

/* Until everybody has been served, what is measured is the start. */
static void warm_up(void)
{
  uint64_t end = now_ns() + WARMUP_MAX_MS * 1000000ull;
  run_for(set.warmup_ms);
  if (set.mode == ECHO && set.pending > 0)
    while (silent_clients() > 0 && now_ns() < end)
      run_for(20);
}

static void forget_what_was(void)
{
  ramp_errors = errors;
  responses = connects = errors = polls = busy = 0;
  memset(&times, 0, sizeof(times));
  for (unsigned i = 0; i < set.conns; i++)
    clients[i].client.done = 0;
}

static double percentile_us(double share, double cycles_per_us)
{
  return latency_percentile(&times, share) * 1e3 / cycles_per_us;
}

static void report(double ramp_ms, double seconds, double cycles_per_us)
{
  for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
    times.count += times.buckets[i];
  printf("{\"mode\":\"%s\",\"bytes\":%u,\"connections\":%u,\"pending\":%u,\"ramp_ms\":%.1f,"
         "\"seconds\":%.4f,\"tsc_mhz\":%.1f,\"polls\":%llu,\"busy\":%.3f,\"errors\":%llu,"
         "\"ramp_errors\":%llu,",
         set.mode == ECHO ? "echo" : "connect", set.bytes, set.conns, set.pending, ramp_ms,
         seconds, cycles_per_us, (unsigned long long)polls,
         (double)busy / cycles_per_us / 1e6 / seconds, (unsigned long long)errors, (unsigned long long)ramp_errors);
  if (set.mode == CONNECT)
    printf("\"connects\":%llu,\"connects_per_s\":%.0f}\n", (unsigned long long)connects,
           (double)connects / seconds);
  else
    printf("\"requests\":%llu,\"requests_per_s\":%.0f,\"timed\":%llu,\"p50_us\":%.2f,"
           "\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"silent_connections\":%u}\n",
           (unsigned long long)responses, (double)responses / seconds,
           (unsigned long long)times.count, percentile_us(0.5, cycles_per_us),
           percentile_us(0.9, cycles_per_us), percentile_us(0.99, cycles_per_us),
           percentile_us(0.999, cycles_per_us), silent_clients());
  fflush(stdout);
}

/* --- The command line ------------------------------------------------------- */

static void usage(void)
{
  fprintf(stderr,
          "usage: loopback --ip=ADDR [--mode=echo|connect] [--port=N] [--ports=N] [--bytes=N]\n"
          "  [--conns=N] [--pending=N] [--ramp-ms=N] [--warmup-ms=N] [--ms=N] [--check] [--hold]\n"
          "--ports: consecutive ports to listen on. --check: compare the responses.\n"
          "--hold: keep the connections, quiet, until stdin ends. --pending=0: send nothing.\n");
  exit(2);
}

static void parse(int argc, char *argv[])
{
  enum { IP, MODE, PORT, PORTS, BYTES, CONNS, PENDING, RAMP, WARMUP, MS, CHECK, HOLD };
  static const struct option options[] = {
    [IP] = {"ip", 1, NULL, IP}, [MODE] = {"mode", 1, NULL, MODE},
    [PORT] = {"port", 1, NULL, PORT}, [PORTS] = {"ports", 1, NULL, PORTS},
    [BYTES] = {"bytes", 1, NULL, BYTES}, [CONNS] = {"conns", 1, NULL, CONNS},
    [PENDING] = {"pending", 1, NULL, PENDING}, [RAMP] = {"ramp-ms", 1, NULL, RAMP},
    [WARMUP] = {"warmup-ms", 1, NULL, WARMUP}, [MS] = {"ms", 1, NULL, MS},
    [CHECK] = {"check", 0, NULL, CHECK}, [HOLD] = {"hold", 0, NULL, HOLD}, {0},
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
      case MODE:
        if (strcmp(optarg, "echo") != 0 && strcmp(optarg, "connect") != 0)
          usage();
        set.mode = strcmp(optarg, "echo") == 0 ? ECHO : CONNECT;
        break;
      case PORT: set.port = (uint16_t)NUMBER(1, 65535 - MAX_PORTS); break;
      case PORTS: set.ports = (unsigned)NUMBER(1, MAX_PORTS); break;
      case BYTES: set.bytes = (uint32_t)NUMBER(1, 1u << 20); break;
      case CONNS: set.conns = (unsigned)NUMBER(1, 1u << 18); break;
      case PENDING: set.pending = (unsigned)NUMBER(0, 1024); break;
      case RAMP: set.ramp_ms = (unsigned)NUMBER(1, 3600000); break;
      case WARMUP: set.warmup_ms = (unsigned)NUMBER(0, 3600000); break;
      case MS: set.ms = (unsigned)NUMBER(1, 3600000); break;
      case CHECK: set.check = true; break;
      case HOLD: set.hold = true; break;
    }
#undef NUMBER
  }
  if (optind != argc || set.ip == 0)
    usage();
  if (set.ports == 0)
    set.ports = set.mode == CONNECT ? CONNECT_PORTS : 1 + (set.conns - 1) / CONNS_PER_PORT;
}

int main(int argc, char *argv[])
{
  parse(argc, argv);
  set_up();
  uint64_t ramp_ns = ramp_up();
  if (set.mode == ECHO)
    start_clients();
  warm_up();
  forget_what_was();
  puts("measuring");
  fflush(stdout);
  uint64_t start = now_ns(), cycles = __rdtsc();
  run_for(set.ms);
  double seconds = (double)(now_ns() - start) / 1e9;
  report((double)ramp_ns / 1e6, seconds, (double)(__rdtsc() - cycles) / seconds / 1e6);
  if (set.hold)
    while (getchar() != EOF)
      ;
  return 0;
}
