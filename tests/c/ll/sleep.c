/* Sleeping and waking, in both directions. */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "harness.h"
#include "utils.h"

/* Longer than a few calls take, shorter than a test should. */
#define GRACE 20000000ull

static struct flextcp_context ctx;
static struct flextcp_connection conn;
static struct flextcp_event evs[8];
static struct buffers buffers;

static void start(uint64_t poll_cycle_app, uint64_t poll_cycle_tas)
{
  struct service service = {
      .cores = 2, .poll_cycle_app = poll_cycle_app, .poll_cycle_tas = poll_cycle_tas};

  h_start(&service);
  h_context(&ctx);
}

static int poll_n(int num)
{
  return flextcp_context_poll(&ctx, num, evs);
}

static void send_byte(void)
{
  void *buf;

  CHECK(flextcp_connection_tx_alloc(&conn, 1, &buf) == 1);
  CHECK(flextcp_connection_tx_send(&ctx, &conn, 1) == 0);
  CHECK(poll_n(8) == 0);
}

static long long now_ms(void)
{
  struct timespec ts;

  CHECK(clock_gettime(CLOCK_MONOTONIC, &ts) == 0);
  return ts.tv_sec * 1000ll + ts.tv_nsec / 1000000;
}

/* Polls until the context may sleep; returns the cycles that took. */
static uint64_t until_may_wait(void)
{
  uint64_t began = util_rdtsc();

  while (flextcp_context_canwait(&ctx) != 0) {
    CHECK(errno == EAGAIN);
    CHECK(poll_n(8) == 0);
  }
  return util_rdtsc() - began;
}

static void never_sleeps(void)
{
  int i;

  start(NEVER, NEVER);
  for (i = 0; i < 1000; i++) {
    CHECK(poll_n(8) == 0);
    CHECK(flextcp_context_canwait(&ctx) == -1);
    CHECK(flextcp_context_wait(&ctx, 1000) == -1 && errno == EAGAIN);
  }
}

static void sleeps_after_the_grace_period(void)
{
  start(GRACE, NEVER);
  CHECK(flextcp_context_canwait(&ctx) == -1);
  CHECK(until_may_wait() >= GRACE);
  CHECK(flextcp_context_canwait(&ctx) == 0);
}

static void needs_one_more_poll(void)
{
  uint64_t began;

  start(GRACE, NEVER);
  CHECK(poll_n(8) == 0);
  for (began = util_rdtsc(); util_rdtsc() - began < 2 * GRACE;) {
  }
  CHECK(flextcp_context_canwait(&ctx) == -1);
  CHECK(flextcp_context_canwait(&ctx) == -1);
  CHECK(poll_n(8) == 0);
  CHECK(flextcp_context_canwait(&ctx) == 0);
}

static void an_event_restarts_the_grace_period(void)
{
  start(GRACE, NEVER);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  until_may_wait();
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  CHECK(poll_n(8) == 1);
  CHECK(flextcp_context_canwait(&ctx) == -1);
  CHECK(until_may_wait() >= GRACE);
}

static void clearing_restarts_the_grace_period(void)
{
  uint64_t count, began;

  start(GRACE, NEVER);
  until_may_wait();
  h_wake(0);
  began = util_rdtsc();
  CHECK(flextcp_context_waitclear(&ctx) == 0);
  CHECK(read(ctx.evfd, &count, sizeof(count)) == -1 && errno == EAGAIN);
  CHECK(flextcp_context_canwait(&ctx) == -1);
  until_may_wait();
  CHECK(util_rdtsc() - began >= GRACE);
}

static void entries_left_in_a_queue_keep_it_awake(void)
{
  uint64_t began;

  start(GRACE, NEVER);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  for (began = util_rdtsc(); util_rdtsc() - began < 2 * GRACE;) {
    CHECK(flextcp_context_poll(&ctx, 0, NULL) == 0);
    CHECK(flextcp_context_canwait(&ctx) == -1);
  }
}

static void unposted_updates_keep_it_awake(void)
{
  struct service small = {.cores = 1, .tx_len = 1, .poll_cycle_app = 0, .poll_cycle_tas = NEVER};
  struct flextcp_pl_atx atx;
  int i;

  h_start(&small);
  h_context(&ctx);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  send_byte();
  send_byte();
  for (i = 0; i < 1000; i++) {
    CHECK(flextcp_context_canwait(&ctx) == -1);
    CHECK(poll_n(8) == 0);
  }
  CHECK(h_update(0, 0, &atx) == 0);
  until_may_wait();
}

static void wait_times_out(void)
{
  long long began;

  start(0, NEVER);
  until_may_wait();
  began = now_ms();
  CHECK(flextcp_context_wait(&ctx, 50) == 0);
  CHECK(now_ms() - began >= 49);
  /* Another poll comes before the next sleep. */
  CHECK(flextcp_context_canwait(&ctx) == -1);
}

static void *wake_soon(void *arg)
{
  (void) arg;
  usleep(50000);
  CHECK(h_deliver(0, 0, &conn, 4, 0, 0, 0) == 0);
  h_wake(0);
  return NULL;
}

static void wait_is_woken(void)
{
  long long began;
  pthread_t thread;

  start(0, NEVER);
  h_connect(&ctx, 0, &conn, &buffers, 0);
  until_may_wait();
  began = now_ms();
  CHECK(pthread_create(&thread, NULL, wake_soon, NULL) == 0);
  CHECK(flextcp_context_wait(&ctx, -1) == 0);
  CHECK(now_ms() - began < 5000);
  CHECK(poll_n(8) == 1);
  CHECK(pthread_join(thread, NULL) == 0);
}

static void wake_before_wait_is_not_lost(void)
{
  start(0, NEVER);
  until_may_wait();
  h_wake(0);
  CHECK(flextcp_context_wait(&ctx, -1) == 0);
}

static void cores_that_never_sleep_are_not_woken(void)
{
  start(NEVER, NEVER);
  h_connect(&ctx, 0, &conn, &buffers, 1);
  send_byte();
  CHECK(h_core_kicks(0) == 0 && h_core_kicks(1) == 0);
}

static void core_is_woken_at_most_once_per_interval(void)
{
  int i;

  start(NEVER, (uint64_t) 1 << 50);
  h_connect(&ctx, 0, &conn, &buffers, 1);
  for (i = 0; i < 10; i++)
    send_byte();
  CHECK(h_core_kicks(1) == 1);
  CHECK(h_core_kicks(0) == 0);
}

static void core_is_woken_again_after_the_interval(void)
{
  uint64_t began;
  int i;

  start(NEVER, GRACE);
  h_connect(&ctx, 0, &conn, &buffers, 1);
  for (i = 0; i < 3; i++) {
    send_byte();
    CHECK(h_core_kicks(1) == 1);
    for (began = util_rdtsc(); util_rdtsc() - began < 2 * GRACE;) {
    }
  }
}

static void slow_path_is_woken_for_every_request(void)
{
  int i;

  start(NEVER, GRACE);
  for (i = 1; i <= 5; i++) {
    CHECK(flextcp_kernel_reqscale(&ctx, 1) == 0);
    CHECK(h_kicks == (unsigned) i);
  }
}

int main(void)
{
  static const struct test tests[] = {
      TEST(never_sleeps),
      TEST(sleeps_after_the_grace_period),
      TEST(needs_one_more_poll),
      TEST(an_event_restarts_the_grace_period),
      TEST(clearing_restarts_the_grace_period),
      TEST(entries_left_in_a_queue_keep_it_awake),
      TEST(unposted_updates_keep_it_awake),
      TEST(wait_times_out),
      TEST(wait_is_woken),
      TEST(wake_before_wait_is_not_lost),
      TEST(cores_that_never_sleep_are_not_woken),
      TEST(core_is_woken_at_most_once_per_interval),
      TEST(core_is_woken_again_after_the_interval),
      TEST(slow_path_is_woken_for_every_request),
  };

  return RUN_TESTS(tests);
}
