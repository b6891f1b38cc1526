/* Links rng.o and nothing else. */

#include <string.h>

#include <utils_rng.h>

#include "check.h"

int main(void)
{
  struct utils_rng a, b;
  unsigned char bytes[13], zero[13] = { 0 };
  double sum = 0;
  int i;

  /* The same seed gives the same numbers, another one others. */
  utils_rng_init(&a, 1);
  utils_rng_init(&b, 1);
  for (i = 0; i < 100; i++)
    CHECK(utils_rng_gen32(&a) == utils_rng_gen32(&b));
  utils_rng_init(&b, 2);
  CHECK(utils_rng_gen32(&a) != utils_rng_gen32(&b));

  for (i = 0; i < 10000; i++) {
    double d = utils_rng_gend(&a);
    CHECK(d >= 0.0 && d <= 1.0);
    sum += d;
  }
  CHECK(sum > 4500 && sum < 5500);

  memset(bytes, 0, sizeof(bytes));
  utils_rng_gen(&a, bytes, sizeof(bytes) - 1);
  CHECK(memcmp(bytes, zero, sizeof(bytes)) != 0);
  CHECK(bytes[12] == 0);
  utils_rng_gen(&a, NULL, 0);
  return check_failed;
}
