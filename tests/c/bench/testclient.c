/* Sends messages over connections, keeping some in flight on each, and tells
 * throughput and round-trip times. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "latency.h"
#include "stack.h"

#define MAX_THREADS 32

struct settings {
  uint32_t ip;
  uint16_t port;
  unsigned threads;
  size_t message_size;
  unsigned max_pending;
  unsigned num_conns;
  uint64_t openall_delay_ns;
  uint64_t max_msgs_conn;
  unsigned max_opening;
  /* Pause after each message, in which nothing is polled. */
  unsigned pause_us;
};

struct thread {
  const struct settings *settings;
  struct stack *stack;
  unsigned char *payload;
  unsigned char *sink;
  /* Slots of flows to be opened, and how many. */
  unsigned *free_slots;
  unsigned missing;
  unsigned opening;
  /* After a failed open, when to try again. */
  uint64_t retry_ns;
  /* 0 until all connections are open, then when sending starts. */
  uint64_t start_ns;
  struct flow **flows;
  /* Written by the thread, read and subtracted from by the reporter. */
  _Atomic uint64_t messages;
  _Atomic uint64_t errors;
  _Atomic unsigned open;
  _Atomic int last_error;
  struct latency latency;
};

struct flow {
  struct conn *conn;
  unsigned slot;
  bool established;
  /* All its messages are back and it waits for the peer's end. */
  bool finished;
  uint64_t begun;
  uint64_t completed;
  /* Bytes of the current message sent and received. */
  size_t sent;
  size_t received;
  /* When the messages in flight were begun: a ring of max_pending. */
  uint64_t sent_ns[];
};

static atomic_bool stopping;

static bool may_send(const struct thread *t)
{
  return t->start_ns != 0 && now_ns() >= t->start_ns;
}

/* Frees a flow; its slot waits for a new one. */
static void drop(struct thread *t, struct flow *f)
{
  if (f->established)
    t->open--;
  else
    t->opening--;
  conn_close(f->conn);
  t->flows[f->slot] = NULL;
  t->free_slots[t->missing++] = f->slot;
  free(f);
}

static void open_more(struct thread *t)
{
  const struct settings *set = t->settings;
  if (t->retry_ns != 0 && now_ns() < t->retry_ns)
    return;
  t->retry_ns = 0;
  while (t->missing > 0 && t->opening < set->max_opening) {
    struct flow *f = checked(calloc(1, sizeof(*f) + set->max_pending * sizeof(f->sent_ns[0])));
    f->slot = t->free_slots[t->missing - 1];
    f->conn = stack_open(t->stack, set->ip, set->port, f);
    if (f->conn == NULL) {
      free(f);
      return;
    }
    t->flows[f->slot] = f;
    t->missing--;
    t->opening++;
  }
}

static bool send_some(struct thread *t, struct flow *f)
{
  const struct settings *set = t->settings;
  bool progress = false;
  for (;;) {
    if (f->sent == 0) {
      if (f->begun - f->completed == set->max_pending
          || (set->max_msgs_conn != 0 && f->begun == set->max_msgs_conn))
        return progress;
      f->sent_ns[f->begun % set->max_pending] = now_ns();
    }
    size_t n = conn_send(f->conn, t->payload + f->sent, set->message_size - f->sent);
    if (n == 0)
      return progress;
    progress = true;
    f->sent += n;
    if (f->sent == set->message_size) {
      f->sent = 0;
      f->begun++;
    }
  }
}

static bool receive_some(struct thread *t, struct flow *f)
{
  const struct settings *set = t->settings;
  bool progress = false;
  for (;;) {
    size_t n = conn_recv(f->conn, t->sink, set->message_size - f->received);
    if (n == 0 || f->begun == f->completed)
      return progress;
    progress = true;
    f->received += n;
    if (f->received < set->message_size)
      continue;
    f->received = 0;
    latency_add(&t->latency, now_ns() - f->sent_ns[f->completed % set->max_pending]);
    f->completed++;
    t->messages++;
    if (set->pause_us != 0)
      usleep(set->pause_us);
  }
}

static void pump(struct thread *t, struct flow *f)
{
  const struct settings *set = t->settings;
  if (!f->established || !may_send(t))
    return;
  do {
    send_some(t, f);
  } while (receive_some(t, f));
  if (!f->finished && set->max_msgs_conn != 0 && f->completed == set->max_msgs_conn) {
    f->finished = true;
    conn_finish(f->conn);
  }
  if (conn_ended(f->conn)) {
    if (!f->finished)
      t->errors++;
    drop(t, f);
  }
}

static void handle(struct conn *conn, enum stack_event event, int error)
{
  struct thread *t = stack_user(conn->stack);
  struct flow *f = conn->user;
  switch (event) {
    case STACK_OPENED:
      f->established = true;
      t->opening--;
      t->open++;
      pump(t, f);
      break;
    case STACK_READY:
      pump(t, f);
      break;
    case STACK_FAILED:
      t->errors++;
      t->last_error = error;
      if (!f->established)
        t->retry_ns = now_ns() + 10000000;
      drop(t, f);
      break;
    case STACK_ACCEPTED:
      break;
  }
}

/* With OPENALL-DELAY, sending starts that long after all are open. */
static void check_start(struct thread *t)
{
  const struct settings *set = t->settings;
  if (t->start_ns == 0) {
    if (t->open == set->num_conns)
      t->start_ns = now_ns() + set->openall_delay_ns;
    return;
  }
  if (!may_send(t))
    return;
  for (unsigned i = 0; i < set->num_conns; i++)
    if (t->flows[i] != NULL)
      pump(t, t->flows[i]);
}

static void *drive(void *arg)
{
  struct thread *t = arg;
  const struct settings *set = t->settings;
  t->payload = checked(malloc(set->message_size));
  t->sink = checked(malloc(set->message_size));
  memset(t->payload, 'm', set->message_size);
  t->flows = checked(calloc(set->num_conns, sizeof(*t->flows)));
  t->free_slots = checked(calloc(set->num_conns, sizeof(*t->free_slots)));
  while (t->missing < set->num_conns) {
    t->free_slots[t->missing] = t->missing;
    t->missing++;
  }
  t->start_ns = set->openall_delay_ns == 0 ? 1 : 0;
  bool waiting = t->start_ns == 0;
  t->stack = stack_new(handle, t, 64);
  while (!stopping) {
    open_more(t);
    if (waiting) {
      check_start(t);
      waiting = !may_send(t);
    }
    if (stack_run(t->stack, waiting || t->missing > 0 ? 1 : 100) != 0) {
      fprintf(stderr, "testclient: the %s stack is gone\n", stack_name);
      t->errors++;
      stopping = true;
    }
  }
  return NULL;
}

/* A setting from the environment; 0: not set. */
static uint64_t from_environment(const char *name, uint64_t max)
{
  char *value = getenv(name);
  return value == NULL ? 0 : arg_number(1, &value, 0, name, 0, 1, max);
}

/* What all threads measured since `before`, which becomes that of now. The
 * threads count on meanwhile; a message more or less makes no difference. */
static void measure(const struct thread *threads, unsigned n, struct latency *before,
                    struct latency *since)
{
  since->count = 0;
  for (unsigned b = 0; b < LATENCY_BUCKETS; b++) {
    uint64_t now = 0;
    for (unsigned i = 0; i < n; i++)
      now += __atomic_load_n(&threads[i].latency.buckets[b], __ATOMIC_RELAXED);
    since->buckets[b] = now - before->buckets[b];
    since->count += since->buckets[b];
    before->buckets[b] = now;
  }
}

static unsigned open_flows(const struct thread *threads, unsigned n)
{
  unsigned flows = 0;
  for (unsigned i = 0; i < n; i++)
    flows += threads[i].open;
  return flows;
}

static void report(const struct settings *set, const struct latency *l, double seconds,
                   unsigned flows)
{
  printf("TP: total=%.2f mbps, 50p=%.1f us, 90p=%.1f us, 95p=%.1f us, 99p=%.1f us, "
         "99.9p=%.1f us, 99.99p=%.1f us, flows=%u\n",
         (double)l->count * (double)set->message_size * 8 / seconds / 1e6,
         latency_percentile(l, 0.5), latency_percentile(l, 0.9), latency_percentile(l, 0.95),
         latency_percentile(l, 0.99), latency_percentile(l, 0.999), latency_percentile(l, 0.9999),
         flows);
  fflush(stdout);
}

/* The bounded run: its first part is not measured. Returns the exit status. */
static int run_bounded(const struct settings *set, struct thread *threads, uint64_t seconds)
{
  static struct latency before, since;
  uint64_t warmup_ns = from_environment("TEST_WARMUP_MS", 60000) * 1000000;
  uint64_t messages = from_environment("TEST_MESSAGES", UINT64_MAX);
  uint64_t begin = now_ns(), end = begin + warmup_ns + seconds * 1000000000;
  uint64_t started = begin, done = 0, skipped = 0;
  bool warm = warmup_ns == 0;
  while (!stopping && now_ns() < end && (messages == 0 || done < messages)) {
    usleep(5000);
    done = 0;
    for (unsigned i = 0; i < set->threads; i++)
      done += threads[i].messages;
    if (!warm && now_ns() >= begin + warmup_ns) {
      warm = true;
      measure(threads, set->threads, &before, &since);
      started = now_ns();
      skipped = done;
    }
  }
  uint64_t stopped = now_ns();
  unsigned flows = open_flows(threads, set->threads);
  stopping = true;
  measure(threads, set->threads, &before, &since);
  uint64_t errors = 0;
  for (unsigned i = 0; i < set->threads; i++) {
    errors += threads[i].errors;
    if (threads[i].last_error != 0)
      fprintf(stderr, "testclient: last error: %s\n", strerror(threads[i].last_error));
  }
  printf("RESULT messages=%llu seconds=%.3f p50_us=%.1f p99_us=%.1f max_us=%.1f errors=%llu "
         "flows=%u\n",
         (unsigned long long)(done - skipped), (double)(stopped - started) / 1e9,
         latency_percentile(&since, 0.5), latency_percentile(&since, 0.99),
         latency_max(&since), (unsigned long long)errors, flows);
  return errors == 0 && done > skipped && (messages == 0 || done >= messages) ? 0 : 1;
}

static int run_forever(const struct settings *set, struct thread *threads)
{
  static struct latency before, since;
  uint64_t last = now_ns();
  while (!stopping) {
    sleep(1);
    uint64_t now = now_ns();
    measure(threads, set->threads, &before, &since);
    report(set, &since, (double)(now - last) / 1e9, open_flows(threads, set->threads));
    last = now;
  }
  return 1;
}

int main(int argc, char *argv[])
{
  if (argc < 4 || argc > 11) {
    fprintf(stderr, "usage: %s IP PORT CORES CONFIG [MESSAGE-SIZE] [MAX-PENDING] [NUM-CONNS] "
            "[OPENALL-DELAY] [MAX-MSGS-CONN] [MAX-PEND-CONNS]\n"
            "Keeps MAX-PENDING messages in flight on each of NUM-CONNS connections per core.\n"
            "OPENALL-DELAY: start to send so many seconds after all are open. MAX-MSGS-CONN: "
            "open anew after so many messages.\nCONFIG is ignored. Environment, for a run that "
            "ends: TEST_DURATION (seconds), TEST_MESSAGES, TEST_WARMUP_MS; TEST_PAUSE_US, after each "
            "message.\n", argv[0]);
    return 2;
  }
  struct settings set = {
    .ip = arg_address(argv[1]),
    .port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535),
    .threads = (unsigned)arg_number(argc, argv, 3, "CORES", 1, 1, MAX_THREADS),
    .message_size = arg_number(argc, argv, 5, "MESSAGE-SIZE", 64, 1, 1u << 30),
    .max_pending = (unsigned)arg_number(argc, argv, 6, "MAX-PENDING", 1, 1, 65536),
    .num_conns = (unsigned)arg_number(argc, argv, 7, "NUM-CONNS", 1, 1, 131072),
    .openall_delay_ns = arg_number(argc, argv, 8, "OPENALL-DELAY", 0, 0, 3600) * 1000000000,
    .max_msgs_conn = arg_number(argc, argv, 9, "MAX-MSGS-CONN", 0, 0, UINT64_MAX),
    .max_opening = (unsigned)arg_number(argc, argv, 10, "MAX-PEND-CONNS", 16, 1, 131072),
    .pause_us = (unsigned)from_environment("TEST_PAUSE_US", 60000000),
  };
  uint64_t duration = from_environment("TEST_DURATION", 86400);
  struct thread *threads = checked(calloc(set.threads, sizeof(*threads)));
  pthread_t ids[MAX_THREADS];
  stack_init();
  for (unsigned i = 0; i < set.threads; i++) {
    threads[i].settings = &set;
    if (pthread_create(&ids[i], NULL, drive, &threads[i]) != 0) {
      perror("pthread_create");
      return 1;
    }
  }
  int status = duration == 0 ? run_forever(&set, threads) : run_bounded(&set, threads, duration);
  for (unsigned i = 0; i < set.threads; i++)
    pthread_join(ids[i], NULL);
  return status;
}
