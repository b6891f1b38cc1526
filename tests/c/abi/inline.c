/* What the functions and macros that live in headers compute. */

#include <pthread.h>
#include <string.h>

#include <packet_defs.h>
#include <tas_ll.h>
#include <tas_memif.h>
#include <utils.h>
#include <utils_circ.h>
#include <utils_nbqueue.h>
#include <utils_sync.h>

#include "check.h"

STATIC_ASSERT(sizeof(beui32_t) == 4, beui32_size);

static void test_utils(void)
{
  const unsigned char be[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
  beui16_t b16 = t_beui16(0x0102);
  beui32_t b32 = t_beui32(0x01020304);
  beui64_t b64 = t_beui64(0x0102030405060708);
  uint64_t tsc = util_rdtsc();

  CHECK(memcmp(&b16, be, 2) == 0 && f_beui16(b16) == 0x0102);
  CHECK(memcmp(&b32, be, 4) == 0 && f_beui32(b32) == 0x01020304);
  CHECK(memcmp(&b64, be, 8) == 0 && f_beui64(b64) == 0x0102030405060708);
  CHECK(MIN(2, 3) == 2 && MAX(2, 3) == 3);
  CHECK(LIKELY(4) && !UNLIKELY(0));
  MEM_BARRIER();
  util_prefetch0(&tsc);
  CHECK(util_rdtsc() >= tsc);
}

static void test_packets(void)
{
  struct pkt_tcp p;

  memset(&p, 0, sizeof(p));
  IPH_VHL_SET(&p.ip, 4, 5);
  CHECK(((unsigned char *) &p)[14] == 0x45);
  CHECK(IPH_V(&p.ip) == 4 && IPH_HL(&p.ip) == 5);
  IPH_TOS_SET(&p.ip, 0x48);
  IPH_ECN_SET(&p.ip, IP_ECN_CE);
  CHECK(IPH_TOS(&p.ip) == 0x4b && IPH_ECN(&p.ip) == IP_ECN_CE);

  TCPH_HDRLEN_FLAGS_SET(&p.tcp, 8, TCP_SYN | TCP_ECE | TCP_NS);
  CHECK(((unsigned char *) &p)[46] == 0x81);
  CHECK(((unsigned char *) &p)[47] == 0x42);
  TCPH_HDRLEN_SET(&p.tcp, 5);
  CHECK(TCPH_HDRLEN(&p.tcp) == 5);
  TCPH_SET_FLAG(&p.tcp, TCP_ACK);
  TCPH_UNSET_FLAG(&p.tcp, TCP_NS);
  CHECK(TCPH_FLAGS(&p.tcp) == (TCP_SYN | TCP_ECE | TCP_ACK));
  TCPH_FLAGS_SET(&p.tcp, TCP_RST);
  CHECK(TCPH_FLAGS(&p.tcp) == TCP_RST && TCPH_HDRLEN(&p.tcp) == 5);
}

static void test_circ(void)
{
  unsigned char buf[10], out[10], src[] = "abcdefghij";
  uint32_t pos, len;

  CHECK(circ_offset(7, 10, 2) == 9);
  CHECK(circ_offset(7, 10, 3) == 0);
  CHECK(circ_offset(7, 10, 10) == 7);
  CHECK(circ_offset(UINT32_MAX - 2, UINT32_MAX, 5) == 3);
  CHECK(circ_range(3, 7, 10) == 4);
  CHECK(circ_range(7, 3, 10) == 6);
  CHECK(circ_range(7, 7, 10) == 0);
  CHECK(circ_in_interval(8, 4, 10, 8) && circ_in_interval(8, 4, 10, 1));
  CHECK(!circ_in_interval(8, 4, 10, 2) && !circ_in_interval(8, 4, 10, 7));
  CHECK(!circ_in_interval(8, 0, 10, 8) && circ_in_interval(8, 10, 10, 7));

  for (pos = 0; pos < 10; pos++) {
    for (len = 0; len <= 10; len++) {
      memset(buf, '.', sizeof(buf));
      memset(out, '.', sizeof(out));
      circ_write(src, buf, 10, pos, len);
      circ_read(out, buf, 10, pos, len);
      CHECK(memcmp(out, src, len) == 0);
      CHECK(len == 10 || buf[circ_offset(pos, 10, len)] == '.');

      /* Pieces of `pos` and 10 - `pos` bytes. */
      if (len > 0) {
        unsigned char one[10], two[10];
        split_write(src, len, one, pos, two, 10 - pos, 10 - len);
        split_read(out, len, one, pos, two, 10 - pos, 10 - len);
        CHECK(memcmp(out, src, len) == 0);
      }
    }
  }
}

static volatile uint32_t lock;
static long counter;

static void *count(void *arg)
{
  int i;
  for (i = 0; i < 10000; i++) {
    util_spin_lock(&lock);
    counter++;
    util_spin_unlock(&lock);
  }
  return arg;
}

static void test_sync(void)
{
  pthread_t a, b;

  CHECK(pthread_create(&a, NULL, count, NULL) == 0);
  CHECK(pthread_create(&b, NULL, count, NULL) == 0);
  pthread_join(a, NULL);
  pthread_join(b, NULL);
  CHECK(counter == 20000 && lock == 0);

  CHECK(util_spin_trylock(&lock) && lock == 1);
  CHECK(!util_spin_trylock(&lock));
  util_spin_unlock(&lock);
  CHECK(lock == 0);
}

static void test_nbqueue(void)
{
  struct nbqueue q;
  struct nbqueue_el el[3];
  int round;

  nbqueue_init(&q);
  for (round = 0; round < 2; round++) {
    CHECK(nbqueue_deq(&q) == NULL);
    nbqueue_enq(&q, &el[0]);
    nbqueue_enq(&q, &el[1]);
    CHECK(nbqueue_deq(&q) == &el[0]);
    nbqueue_enq(&q, &el[2]);
    CHECK(nbqueue_deq(&q) == &el[1]);
    CHECK(nbqueue_deq(&q) == &el[2]);
  }
}

/* Members are written as programs write them. */
static void test_members(void)
{
  struct flextcp_context ctx;
  struct flextcp_event ev;
  struct flextcp_pl_arx arx;

  memset(&ctx, 0, sizeof(ctx));
  memset(&ev, 0, sizeof(ev));
  memset(&arx, 0, sizeof(arx));
  ctx.queues[FLEXTCP_MAX_FTCPCORES - 1].rxq_base = &ctx;
  ev.event_type = FLEXTCP_EV_CONN_RECEIVED;
  ev.ev.conn_received.buf = &ctx;
  arx.msg.connupdate.rx_bump = 5;
  arx.type = FLEXTCP_PL_ARX_CONNUPDATE;
  CHECK(arx.msg.raw[8] == 5 && ((unsigned char *) &arx)[31] == 1);
  CHECK(ctx.queues[15].rxq_base == ev.ev.conn_received.buf);
}

int main(void)
{
  test_utils();
  test_packets();
  test_circ();
  test_sync();
  test_nbqueue();
  test_members();
  return check_failed;
}
