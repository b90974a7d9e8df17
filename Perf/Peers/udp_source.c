// A saturating source of small UDP frames on one link: sendmmsg on a packet socket. Prints how many it sent.
// Usage: udp_source INTERFACE DESTINATION-MAC SOURCE-IPV4 DESTINATION-IPV4 SECONDS [FRAME-BYTES [FLOWS]]
#define _GNU_SOURCE
#include <arpa/inet.h>
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

enum { burst = 64, frame_limit = 1514, flow_limit = 4096 };

static uint8_t frames[flow_limit][frame_limit];
static struct iovec vectors[flow_limit];
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

int main(int count, char **arguments) {
  if (count < 6) {
    fprintf(stderr, "usage: udp_source INTERFACE DESTINATION-MAC SOURCE DESTINATION SECONDS [BYTES [FLOWS]]\n");
    return 2;
  }
  int bytes = count > 6 ? atoi(arguments[6]) : 60, flows = count > 7 ? atoi(arguments[7]) : 1;
  struct ether_addr *destination = ether_aton(arguments[2]);
  if (!destination || bytes < 60 || bytes > frame_limit || flows < 1 || flows > flow_limit) return 2;
  int out = socket(AF_PACKET, SOCK_RAW, 0), yes = 1;
  struct ifreq link = {0};
  snprintf(link.ifr_name, sizeof link.ifr_name, "%s", arguments[1]);
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(arguments[1])};
  if (out < 0 || ioctl(out, SIOCGIFHWADDR, &link) || bind(out, (struct sockaddr *)&address, sizeof address)) {
    perror(arguments[1]);
    return 1;
  }
  setsockopt(out, SOL_PACKET, PACKET_QDISC_BYPASS, &yes, sizeof yes);

  for (int flow = 0; flow < flows; flow++) {
    uint8_t *ethernet = frames[flow], *ip = ethernet + 14, *udp = ip + 20;
    memcpy(ethernet, destination, 6);
    memcpy(ethernet + 6, link.ifr_hwaddr.sa_data, 6);
    put16(ethernet + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, bytes - 14);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 17;
    inet_pton(AF_INET, arguments[3], ip + 12);
    inet_pton(AF_INET, arguments[4], ip + 16);
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2) sum += ip[i] << 8 | ip[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    put16(ip + 10, ~sum & 0xffff);
    put16(udp, 10000 + flow);
    put16(udp + 2, 9);  // discard
    put16(udp + 4, bytes - 34);
    vectors[flow] = (struct iovec){.iov_base = ethernet, .iov_len = bytes};
  }
  for (int i = 0; i < burst; i++) messages[i].msg_hdr.msg_iovlen = 1;

  double start = seconds(), end = start + atof(arguments[5]);
  uint64_t sent = 0;
  for (int next = 0; seconds() < end;) {
    for (int i = 0; i < burst; i++, next = (next + 1) % flows) messages[i].msg_hdr.msg_iov = &vectors[next];
    int done = sendmmsg(out, messages, burst, 0);
    if (done > 0) sent += done;
  }
  printf("%.0f\n", sent / (seconds() - start));
  return 0;
}
