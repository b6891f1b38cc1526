/* Links timeout.o and nothing else. */

#include <utils_timeout.h>

#include "check.h"

struct state {
  struct timeout_manager mgr;
  struct timeout to[4];
  int calls[4];
  int order[8];
  int num;
};

/* Type 1: arms itself again. Type 2: disarms the third timeout. */
static void handle(struct timeout *to, uint8_t type, void *opaque)
{
  struct state *st = (struct state *) opaque;
  int i = (int) (to - st->to);

  st->calls[i]++;
  if (st->num < 8)
    st->order[st->num++] = i;
  if (type == 1)
    util_timeout_arm_ts(&st->mgr, to, 0, 0, 1000);
  if (type == 2)
    util_timeout_disarm(&st->mgr, &st->to[2]);
}

int main(void)
{
  static struct state st;
  uint32_t start, now;

  CHECK(util_timeout_init(NULL, handle, &st) == -1);
  CHECK(util_timeout_init(&st.mgr, NULL, &st) == -1);
  CHECK(util_timeout_init(&st.mgr, handle, &st) == 0);
  CHECK(util_timeout_next(&st.mgr, 0) == UINT32_MAX);

  util_timeout_arm_ts(&st.mgr, &st.to[0], 30, 1, 900);
  util_timeout_arm_ts(&st.mgr, &st.to[1], 20, 2, 900);
  util_timeout_arm_ts(&st.mgr, &st.to[2], 40, 0, 900);
  util_timeout_arm_ts(&st.mgr, &st.to[3], 10, 0, 900);
  CHECK(util_timeout_next(&st.mgr, 905) == 5);
  util_timeout_disarm(&st.mgr, &st.to[3]);
  CHECK(util_timeout_next(&st.mgr, 905) == 15);

  util_timeout_poll_ts(&st.mgr, 919);
  CHECK(st.num == 0);
  util_timeout_poll_ts(&st.mgr, 1000);
  CHECK(st.num == 2 && st.order[0] == 1 && st.order[1] == 0);
  CHECK(util_timeout_next(&st.mgr, 1000) == 0);
  util_timeout_poll_ts(&st.mgr, 1000);
  CHECK(st.calls[0] == 2 && st.calls[1] == 1);
  CHECK(st.calls[2] == 0 && st.calls[3] == 0);
  CHECK(util_timeout_next(&st.mgr, 1000) == UINT32_MAX);

  /* Across the end of the clock's range. */
  util_timeout_arm_ts(&st.mgr, &st.to[3], 10, 0, UINT32_MAX - 4);
  CHECK(util_timeout_next(&st.mgr, 1) == 4);
  util_timeout_poll_ts(&st.mgr, UINT32_MAX);
  CHECK(st.calls[3] == 0);
  util_timeout_poll_ts(&st.mgr, 5);
  CHECK(st.calls[3] == 1);

  /* With the clock itself. */
  start = util_timeout_time_us();
  util_timeout_arm(&st.mgr, &st.to[3], 2000, 0);
  do {
    now = util_timeout_time_us();
    util_timeout_poll(&st.mgr);
  } while (st.calls[3] == 1 && now - start < 10000000);
  CHECK(st.calls[3] == 2);
  CHECK(util_timeout_time_us() - start >= 2000);
  return check_failed;
}
