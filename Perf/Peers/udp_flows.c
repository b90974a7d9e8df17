// A saturating source of 60-byte UDP frames of many flows in turn on one link: sendmmsg on a packet socket.
// Flow n has the low 12 bits of n as its source address' in 10.1.0.0/20, its source port is 1024 + n / 4096, its destination
// 10.2.0.1 port 9: as in vhost_guests.c.
// Usage: udp_flows INTERFACE DESTINATION-MAC FLOWS SECONDS
#define _GNU_SOURCE
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { burst = 64, frame_bytes = 60 };

static uint8_t frames[burst][64];
static struct iovec vectors[burst];
static struct mmsghdr messages[burst];

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void put16(uint8_t *at, unsigned value) {
  at[0] = value >> 8;
  at[1] = value & 255;
}

static void name_flow(uint8_t *frame, uint32_t flow) {
  uint8_t *ip = frame + 14;
  ip[14] = flow >> 8 & 15;
  ip[15] = flow & 255;
  put16(ip + 20, 1024 + (flow >> 12));
  put16(ip + 10, 0);
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2) sum += ip[i] << 8 | ip[i + 1];
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  put16(ip + 10, ~sum & 0xffff);
}

int main(int count, char **arguments) {
  if (count < 5) {
    fprintf(stderr, "usage: udp_flows INTERFACE DESTINATION-MAC FLOWS SECONDS\n");
    return 2;
  }
  struct ether_addr *destination = ether_aton(arguments[2]);
  uint32_t flows = (uint32_t)atoi(arguments[3]);
  if (!destination || flows < 1 || flows > 1 << 24) return 2;
  int out = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
  struct ifreq link = {0};
  snprintf(link.ifr_name, sizeof link.ifr_name, "%s", arguments[1]);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(arguments[1])};
  if (out < 0 || ioctl(out, SIOCGIFHWADDR, &link) || bind(out, (struct sockaddr *)&address, sizeof address)) {
    perror(arguments[1]);
    return 1;
  }
  setsockopt(out, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);
  for (int i = 0; i < burst; i++) {
    uint8_t *ethernet = frames[i], *ip = ethernet + 14;
    memcpy(ethernet, destination, 6);
    memcpy(ethernet + 6, link.ifr_hwaddr.sa_data, 6);
    put16(ethernet + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, frame_bytes - 14);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    memcpy(ip + 12, (uint8_t[]){10, 1, 0, 0, 10, 2, 0, 1}, 8);
    put16(ip + 22, 9);  // discard
    put16(ip + 24, frame_bytes - 34);
    vectors[i] = (struct iovec){.iov_base = ethernet, .iov_len = frame_bytes};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  double end = seconds() + atof(arguments[4]);
  uint64_t sent = 0;
  uint32_t next = 0;
  while (seconds() < end) {
    for (int i = 0; i < burst; i++, next = next + 1 == flows ? 0 : next + 1) name_flow(frames[i], next);
    int done = sendmmsg(out, messages, burst, 0);
    if (done > 0) sent += done;
  }
  printf("%lu\n", (unsigned long)sent);
  return 0;
}
