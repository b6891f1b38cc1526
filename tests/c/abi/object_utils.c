/* Links utils.o and nothing else. */

#include <string.h>

#include <utils.h>

#include "check.h"

int main(void)
{
  uint32_t ip = 7;
  uint64_t mac = 7;
  const unsigned char bytes[8] = { 0x02, 0x0a, 0xbc, 0xde, 0xf0, 0x01, 0, 0 };
  uint64_t expected;

  CHECK(util_parse_ipv4("10.1.2.255", &ip) == 0 && ip == 0x0a0102ff);
  CHECK(util_parse_ipv4("256.1.2.3", &ip) == -1);
  CHECK(util_parse_ipv4("10.1.2", &ip) == -1);
  CHECK(util_parse_ipv4("10.1.2.3x", &ip) == -1);
  CHECK(util_parse_ipv4("", &ip) == -1);
  CHECK(util_parse_ipv4(NULL, &ip) == -1);
  CHECK(ip == 0x0a0102ff);

  memcpy(&expected, bytes, sizeof(expected));
  CHECK(util_parse_mac("02:0a:BC:de:f0:01", &mac) == 0 && mac == expected);
  CHECK(util_parse_mac("02:0a:bc:de:f0", &mac) == -1);
  CHECK(util_parse_mac("02:0a:bc:de:f0:0g", &mac) == -1);
  CHECK(mac == expected);

  util_dump_mem(bytes, 0);
  util_dump_mem(NULL, 8);
  return check_failed;
}
