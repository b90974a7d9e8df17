// Two guests in one thread, for measuring what joins them: DPDK's first two ports, made for its virtio-user driver. The first
// sends, the second receives and looks at what came. One line of JSON at the end.
//
//   vhost_guests EAL-OPTIONS -- [-f BYTES] [-n FLOWS] [-b] [-e] [-p] [-s SECONDS] [-w SECONDS] [-1 COUNT] [-t] [-m COUNT]
//     -f   length of a frame without its check sequence: 60 is the "64 bytes" of other tables
//     -n   flows by turns, told apart by UDP source address and port
//     -b   both ways at once
//     -e   before anything is measured the second guest answers a packet of each flow, whatever address that then came from
//     -p   hosts do not all begin with the same source port
//     -1   COUNT packets, each sent when the last has come: time from one guest to the other
//     -t   TCP segments of BYTES that nobody has cut yet (segmentation offload), rings of COUNT (-m, 64) buffers
//
// `full`: share of the sender's attempts that found its ring full; near 0 it is the guests that are measured.
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { BURST = 32, DESCRIPTORS = 1024, FRAME_LIMIT = 65000 };

static unsigned frame = 60, flows = 1, segment_buffers = 64;
static bool both, segments, answers, own_ports;
static unsigned long one_by_one;
static double seconds = 1, warmup = 0.5;
static struct rte_mempool *send_pool[2], *receive_pool[2];

// The IPv4 header's checksum, in the order of the network.
static uint16_t header_sum(const uint8_t *bytes) {
  uint32_t sum = 0;
  for (unsigned i = 14; i < 34; i += 2)
    if (i != 24) sum += bytes[i] << 8 | bytes[i + 1];
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return rte_cpu_to_be_16((uint16_t)~sum);
}

// Ethernet, IPv4 and UDP or TCP of packets from a port; addresses end with the port's number.
static void write_headers(uint8_t *bytes, unsigned port) {
  memset(bytes, 0, frame);
  bytes[0] = bytes[6] = 2;
  bytes[5] = port ? 1 : 2;
  bytes[11] = port ? 2 : 1;
  bytes[12] = 8;
  uint8_t *ip = bytes + 14;
  unsigned length = frame - 14;
  ip[0] = 0x45;
  ip[2] = length >> 8;
  ip[3] = length;
  ip[6] = 0x40;
  ip[8] = 64;
  ip[9] = segments ? 6 : 17;
  ip[12] = 10;
  ip[13] = 1 + port;
  ip[16] = 10;
  ip[17] = 2 - port;
  ip[19] = 1;
  uint16_t sum = header_sum(bytes);
  memcpy(ip + 10, &sum, 2);
  uint8_t *transport = ip + 20;
  transport[0] = 1024 >> 8;
  transport[3] = 9;
  if (segments) {
    transport[12] = 5 << 4;
    transport[13] = 0x10;
  } else {
    transport[4] = (length - 20) >> 8;
    transport[5] = length - 20;
  }
}

// What tells flows apart, as it lies in a packet: a source address's last bytes, a source port and the IPv4 checksum that goes with
// them. Worked out before, so that it is not the sender that is measured.
static struct { uint16_t host, port, sum; } *flow_fields;

static int prepare_flows(void) {
  flow_fields = calloc(flows, sizeof *flow_fields);
  uint8_t bytes[FRAME_LIMIT];
  for (unsigned flow = 0; flow_fields && flow < flows; flow++) {
    write_headers(bytes, 0);
    flow_fields[flow].host = rte_cpu_to_be_16(flow & 0xfff);
    flow_fields[flow].port = rte_cpu_to_be_16(1024 + ((flow >> 12) + (own_ports ? 37 * (flow & 0xfff) : 0)) % 60000);
    memcpy(bytes + 28, &flow_fields[flow].host, 2);
    flow_fields[flow].sum = header_sum(bytes);
  }
  return flow_fields ? 0 : -1;
}

// Of both ports' packets: that 10.1.x.x to 10.2.0.1 and 10.2.x.x to 10.1.0.1 have the same sum.
static void number(struct rte_mbuf *packet, unsigned flow) {
  uint8_t *bytes = rte_pktmbuf_mtod(packet, uint8_t *);
  memcpy(bytes + 24, &flow_fields[flow].sum, 2);
  memcpy(bytes + 28, &flow_fields[flow].host, 2);
  memcpy(bytes + 34, &flow_fields[flow].port, 2);
}

static void prepare(struct rte_mempool *pool, void *port, void *object, unsigned index) {
  (void)pool;
  (void)index;
  struct rte_mbuf *packet = object;
  write_headers((uint8_t *)packet->buf_addr + RTE_PKTMBUF_HEADROOM, (unsigned)(uintptr_t)port);
}

static unsigned next_flow[2];

static unsigned make(unsigned port, struct rte_mbuf **packets, unsigned count) {
  while (count > 1 && rte_mempool_avail_count(send_pool[port]) < count) count /= 2;
  if (rte_pktmbuf_alloc_bulk(send_pool[port], packets, count)) return 0;
  for (unsigned i = 0; i < count; i++) {
    packets[i]->data_len = packets[i]->pkt_len = frame;
    if (segments) {
      packets[i]->ol_flags = RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_TCP_CKSUM;
      packets[i]->l2_len = 14;
      packets[i]->l3_len = 20;
      packets[i]->l4_len = 20;
      packets[i]->tso_segsz = 1448;
    }
    // One flow is written once, into every buffer of the pool.
    if (flows > 1) {
      number(packets[i], next_flow[port]);
      next_flow[port] = next_flow[port] + 1 == flows ? 0 : next_flow[port] + 1;
    }
  }
  return count;
}

struct count {
  uint64_t packets, bytes, attempts, full, wrong;
};
static struct count sent[2], received[2];

static struct rte_mbuf *staged[2][BURST];
static unsigned staged_count[2], staged_from[2];

static void send_some(unsigned port) {
  if (staged_count[port] == 0) {
    staged_from[port] = 0;
    staged_count[port] = make(port, staged[port], BURST);
    if (staged_count[port] == 0) return;
  }
  unsigned count = rte_eth_tx_burst(port, 0, staged[port] + staged_from[port], staged_count[port]);
  sent[port].attempts++;
  if (count < staged_count[port]) sent[port].full++;
  sent[port].packets += count;
  staged_from[port] += count;
  staged_count[port] -= count;
}

static unsigned receive_some(unsigned port) {
  struct rte_mbuf *packets[BURST];
  unsigned count = rte_eth_rx_burst(port, 0, packets, BURST);
  for (unsigned i = 0; i < count; i++) {
    const uint8_t *bytes = rte_pktmbuf_mtod(packets[i], const uint8_t *);
    // Length, addresses and the headers' type are as they were sent.
    if (packets[i]->pkt_len != frame || bytes[5] != (port ? 2 : 1) || bytes[12] != 8 || bytes[14] != 0x45 || bytes[31] != 1 + port)
      received[port].wrong++;
    received[port].bytes += packets[i]->pkt_len;
  }
  received[port].packets += count;
  rte_pktmbuf_free_bulk(packets, count);
  return count;
}

static void swap(uint8_t *a, uint8_t *b, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    uint8_t byte = a[i];
    a[i] = b[i];
    b[i] = byte;
  }
}

static double now(void) { return (double)rte_rdtsc() / rte_get_tsc_hz(); }

// Bytes a second that memcpy moves, a frame at a time, from one area of `count` buffers to another, by turns: 1 stays in the
// nearest caches, whatever the switch's memory costs; as many as the guests' pools have is what passes through the rings.
static double copy_rate(unsigned count) {
  enum { ROOM = 1 << 16 };
  uint8_t *from = aligned_alloc(4096, (size_t)count * ROOM), *to = aligned_alloc(4096, (size_t)count * ROOM);
  if (!from || !to) return 0;
  memset(from, 1, (size_t)count * ROOM);
  memset(to, 2, (size_t)count * ROOM);
  double best = 0;
  for (int turn = 0; turn < 20; turn++) {
    double began = now();
    for (unsigned i = 0; i < 512; i++) {
      size_t place = (size_t)(i % count) * ROOM;
      memcpy(to + place, from + place, frame);
      __asm__ volatile("" ::"r"(to) : "memory");
    }
    double rate = 512.0 * frame / (now() - began);
    if (rate > best) best = rate;
  }
  free(from);
  free(to);
  return best;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static void measure_latency(void) {
  double *times = calloc(one_by_one, sizeof *times);
  unsigned long lost = 0, kept = 0;
  for (unsigned long i = 0; times && i < one_by_one; i++) {
    struct rte_mbuf *packet;
    if (!make(0, &packet, 1)) continue;
    double began = now();
    while (rte_eth_tx_burst(0, 0, &packet, 1) == 0) {}
    unsigned count = 0;
    while ((count = receive_some(1)) == 0 && now() - began < 0.01) {}
    if (count) times[kept++] = (now() - began) * 1e6; else lost++;
  }
  qsort(times, kept, sizeof *times, by_value);
  printf("{\"median\": %.3f, \"p99\": %.3f, \"lost\": %lu, \"wrong\": %" PRIu64 "}\n", kept ? times[kept / 2] : 0,
         kept ? times[kept * 99 / 100] : 0, lost, received[1].wrong);
  free(times);
}

// Sends back what comes to the second guest until there was an answer for each flow, or no more come.
static unsigned long answer_flows(void) {
  unsigned long answered = 0;
  double last = now();
  next_flow[0] = 0;
  while (answered < flows && now() - last < 1) {
    struct rte_mbuf *packets[BURST];
    // Not more than the switch makes connections of: a flow whose packet is lost is not seen again soon.
    double pause = now() + 100e-6;
    send_some(0);
    while (now() < pause) {
      unsigned count = rte_eth_rx_burst(1, 0, packets, BURST);
      for (unsigned i = 0; i < count; i++) {
        uint8_t *bytes = rte_pktmbuf_mtod(packets[i], uint8_t *);
        swap(bytes, bytes + 6, 6);
        swap(bytes + 26, bytes + 30, 4);
        swap(bytes + 34, bytes + 36, 2);
      }
      unsigned sent_back = rte_eth_tx_burst(1, 0, packets, count);
      rte_pktmbuf_free_bulk(packets + sent_back, count - sent_back);
      unsigned back = receive_some(0);
      answered += back;
      if (back) last = now();
    }
  }
  return answered;
}

static void measure_rate(void) {
  unsigned long answered = answers ? answer_flows() : 0;
  double began = now();
  while (now() - began < warmup) {
    send_some(0);
    receive_some(1);
    if (both) {
      send_some(1);
      receive_some(0);
    }
  }
  memset(sent, 0, sizeof sent);
  memset(received, 0, sizeof received);
  began = now();
  while (now() - began < seconds) {
    for (int turn = 0; turn < 16; turn++) {
      send_some(0);
      receive_some(1);
      if (both) {
        send_some(1);
        receive_some(0);
      }
    }
  }
  double took = now() - began;
  uint64_t attempts = sent[0].attempts + sent[1].attempts;
  printf("{\"answered\": %lu, \"mpps\": %.4f, \"bytes\": %.0f, \"full\": %.3f, \"wrong\": %" PRIu64 ", \"copy\": %.0f, \"copy_rings\": %.0f}\n",
         answered, (received[0].packets + received[1].packets) / took / 1e6, (received[0].bytes + received[1].bytes) / took,
         attempts ? (double)(sent[0].full + sent[1].full) / attempts : 0, received[0].wrong + received[1].wrong,
         segments ? copy_rate(1) : 0, segments ? copy_rate(2 * segment_buffers) : 0);
}

static int open_port(unsigned port) {
  char name[32];
  unsigned room = RTE_PKTMBUF_HEADROOM + (frame > 2048 ? FRAME_LIMIT + 400 : 2048);
  // The driver fills its ring again only if there are buffers for all of it.
  unsigned count = frame > 2048 ? 2 * segment_buffers : 8191;
  snprintf(name, sizeof name, "send%u", port);
  send_pool[port] = rte_pktmbuf_pool_create(name, count, frame > 2048 ? 0 : 128, 0, room, SOCKET_ID_ANY);
  snprintf(name, sizeof name, "receive%u", port);
  receive_pool[port] = rte_pktmbuf_pool_create(name, count, frame > 2048 ? 0 : 128, 0, room, SOCKET_ID_ANY);
  if (!send_pool[port] || !receive_pool[port]) return -1;
  rte_mempool_obj_iter(send_pool[port], prepare, (void *)(uintptr_t)port);
  unsigned descriptors = frame > 2048 ? segment_buffers : DESCRIPTORS;
  struct rte_eth_conf configuration = {0};
  if (segments) {
    configuration.txmode.offloads = RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    configuration.rxmode.offloads = RTE_ETH_RX_OFFLOAD_TCP_LRO | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
  }
  if (rte_eth_dev_configure(port, 1, 1, &configuration)) return -1;
  if (rte_eth_rx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, NULL, receive_pool[port])) return -1;
  if (rte_eth_tx_queue_setup(port, 0, descriptors, SOCKET_ID_ANY, NULL)) return -1;
  if (rte_eth_dev_start(port)) return -1;
  rte_eth_promiscuous_enable(port);
  return 0;
}

// The switch connects when it sees the sockets; then what one guest sends has to come to the other.
static bool wait_for_switch(void) {
  double end = now() + 15;
  while (now() < end) {
    struct rte_eth_link first, second;
    rte_eth_link_get_nowait(0, &first);
    rte_eth_link_get_nowait(1, &second);
    if (!first.link_status || !second.link_status) continue;
    for (unsigned port = 0; port < 2; port++) {
      struct rte_mbuf *packet;
      if (make(port, &packet, 1) && rte_eth_tx_burst(port, 0, &packet, 1) == 0) rte_pktmbuf_free(packet);
    }
    double pause = now() + 0.005;
    unsigned count = 0;
    while (now() < pause) {
      receive_some(0);
      count += receive_some(1);
    }
    if (count) return true;
  }
  return false;
}

int main(int argc, char **argv) {
  int used = rte_eal_init(argc, argv);
  if (used < 0) return 1;
  argc -= used;
  argv += used;
  for (int option; (option = getopt(argc, argv, "f:n:beps:w:1:tm:")) != -1;) switch (option) {
      case 'f': frame = (unsigned)atoi(optarg); break;
      case 'n': flows = (unsigned)atoi(optarg); break;
      case 'b': both = true; break;
      case 'e': answers = true; break;
      case 'p': own_ports = true; break;
      case 's': seconds = atof(optarg); break;
      case 'w': warmup = atof(optarg); break;
      case '1': one_by_one = strtoul(optarg, NULL, 10); break;
      case 't': segments = true; break;
      case 'm': segment_buffers = (unsigned)atoi(optarg); break;
      default: return 2;
    }
  if (frame < 60 || frame > FRAME_LIMIT || rte_eth_dev_count_avail() < 2) {
    fprintf(stderr, "two ports and a frame of 60 to %d bytes are wanted\n", FRAME_LIMIT);
    return 2;
  }
  if (flows > 1 && prepare_flows()) return 1;
  for (unsigned port = 0; port < 2; port++)
    if (open_port(port)) {
      fprintf(stderr, "port %u cannot be opened\n", port);
      return 1;
    }
  if (!wait_for_switch()) {
    printf("{\"error\": \"nothing comes through\"}\n");
    return 1;
  }
  if (one_by_one) measure_latency(); else measure_rate();
  fflush(stdout);
  for (unsigned port = 0; port < 2; port++) rte_eth_dev_stop(port);
  return 0;
}
