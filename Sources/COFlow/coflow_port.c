#define _GNU_SOURCE
#include "coflow_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux 6.2; older headers lack them.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef TUNGETDEVNETNS
#define TUNGETDEVNETNS _IO('T', 227)
#endif
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif
#define CONTROL_BYTES 64

int coflow_tap_device_open(void) {
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int coflow_tap_attach(int fd, char *name, int owner, int group) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  int header = COFLOW_VNET_HEADER_BYTES;
  int failed = ioctl(fd, TUNSETIFF, &request);
  if (failed && errno == EINVAL) {  // an existing tap may have been made for several queues
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
    failed = ioctl(fd, TUNSETIFF, &request);
    if (failed) errno = EINVAL;
  }
  if (failed || ioctl(fd, TUNSETVNETHDRSZ, &header) < 0 ||
      (owner >= 0 && ioctl(fd, TUNSETOWNER, (unsigned long)owner) < 0) ||
      (group >= 0 && ioctl(fd, TUNSETGROUP, (unsigned long)group) < 0))
    return -errno;
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return 0;
}

int coflow_tap_offloads(int fd) {
  unsigned long base = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  if (ioctl(fd, TUNSETOFFLOAD, base | TUN_F_USO4 | TUN_F_USO6) == 0) return 1;
  return ioctl(fd, TUNSETOFFLOAD, base) == 0 ? 0 : -errno;
}

int coflow_tap_name(int fd, char *name) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  if (ioctl(fd, TUNGETIFF, &request) < 0) return -errno;
  memcpy(name, request.ifr_name, IFNAMSIZ);
  return 0;
}

int coflow_tap_namespace(int fd) {
  int result = ioctl(fd, TUNGETDEVNETNS);
  return result < 0 ? -errno : result;
}

static void open_ring(int fd, struct coflow_packet_ring *ring) {
  int version = TPACKET_V2, copy_long_frames = 1;
  unsigned block_bytes = 1 << 16;
  struct tpacket_req request = {
      .tp_frame_size = COFLOW_RING_FRAME_BYTES,
      .tp_frame_nr = COFLOW_RING_FRAMES,
      .tp_block_size = block_bytes,
      .tp_block_nr = COFLOW_RING_FRAMES * COFLOW_RING_FRAME_BYTES / block_bytes};
  memset(ring, 0, sizeof *ring);
  if (setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof version) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_COPY_THRESH, &copy_long_frames, sizeof copy_long_frames) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request) < 0)
    return;
  uint64_t byte_count = (uint64_t)COFLOW_RING_FRAMES * COFLOW_RING_FRAME_BYTES;
  void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    memset(&request, 0, sizeof request);  // else the frames would go where nobody reads
    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof request);
    return;
  }
  ring->memory = memory;
  ring->byte_count = byte_count;
}

void coflow_packet_ring_close(struct coflow_packet_ring *ring) {
  if (ring->memory) munmap(ring->memory, ring->byte_count);
  memset(ring, 0, sizeof *ring);
}

static uint64_t vlan_tag_of(uint32_t status, uint32_t tpid, uint32_t tci) {
  if (!(status & TP_STATUS_VLAN_VALID)) return 0;
  if (!(status & TP_STATUS_VLAN_TPID_VALID)) tpid = 0x8100;
  return UINT64_C(1) << 63 | (uint64_t)tpid << 16 | tci;
}

static struct tpacket2_hdr *ring_frame(const struct coflow_packet_ring *ring, uint32_t index) {
  return (struct tpacket2_hdr *)(ring->memory + (uint64_t)(index % COFLOW_RING_FRAMES) * COFLOW_RING_FRAME_BYTES);
}

enum coflow_frame coflow_packet_ring_look(
    const struct coflow_packet_ring *ring, uint32_t index, const uint8_t **bytes, uint32_t *byte_count, uint64_t *tag) {
  const struct tpacket2_hdr *frame = ring_frame(ring, index);
  uint32_t status = __atomic_load_n(&frame->tp_status, __ATOMIC_ACQUIRE);
  if (!(status & TP_STATUS_USER)) return COFLOW_FRAME_NONE;
  if (status & TP_STATUS_COPY) return COFLOW_FRAME_QUEUED;
  uint32_t start = frame->tp_mac, count = frame->tp_snaplen;
  if (count != frame->tp_len || start < sizeof *frame + COFLOW_VNET_HEADER_BYTES ||
      (uint64_t)start + count > COFLOW_RING_FRAME_BYTES)
    return COFLOW_FRAME_LOST;
  *bytes = (const uint8_t *)frame + start - COFLOW_VNET_HEADER_BYTES;
  *byte_count = count + COFLOW_VNET_HEADER_BYTES;
  *tag = vlan_tag_of(status, frame->tp_vlan_tpid, frame->tp_vlan_tci);
  return COFLOW_FRAME_WHOLE;
}

void coflow_packet_ring_release(const struct coflow_packet_ring *ring, uint32_t index) {
  __atomic_store_n(&ring_frame(ring, index)->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
}

int coflow_packet_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0) return -errno;
  return -error;
}

int coflow_packet_open(struct coflow_packet_ring *ring) {
  // Protocol 0: nothing arrives before bind(), when every option stands.
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  int one = 1, buffer = 16 << 20;
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof one) < 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);  // only speed depends on these three
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer) < 0)
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  open_ring(fd, ring);
  return fd;
}

int coflow_packet_bind(int fd, int interface_index) {
  struct packet_mreq promiscuous = {.mr_ifindex = interface_index, .mr_type = PACKET_MR_PROMISC};
  struct sockaddr_ll address = {
      .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = interface_index};
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) < 0 ||
      bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
    return -errno;
  return 0;
}

int coflow_burst_create(struct coflow_burst *burst) {
  burst->messages = calloc(COFLOW_BURST, sizeof *burst->messages);
  burst->vectors = calloc(COFLOW_BURST, sizeof *burst->vectors);
  burst->controls = calloc(COFLOW_BURST, CONTROL_BYTES);
  if (!burst->messages || !burst->vectors || !burst->controls) {
    coflow_burst_destroy(burst);
    return -ENOMEM;
  }
  for (unsigned i = 0; i < COFLOW_BURST; i++) {
    burst->messages[i].msg_hdr.msg_iov = &burst->vectors[i];
    burst->messages[i].msg_hdr.msg_iovlen = 1;
  }
  return 0;
}

void coflow_burst_destroy(struct coflow_burst *burst) {
  free(burst->messages);
  free(burst->vectors);
  free(burst->controls);
  memset(burst, 0, sizeof *burst);
}

static uint64_t vlan_tag(struct msghdr *message) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
    if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA ||
        c->cmsg_len < CMSG_LEN(sizeof(struct tpacket_auxdata)))
      continue;
    struct tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(c), sizeof aux);
    return vlan_tag_of(aux.tp_status, aux.tp_vlan_tpid, aux.tp_vlan_tci);
  }
  return 0;
}

int coflow_packet_receive(int fd, struct coflow_burst *burst, unsigned count, uint32_t *lengths, uint64_t *tags) {
  if (count > COFLOW_BURST) count = COFLOW_BURST;
  for (unsigned i = 0; i < count; i++) {
    struct msghdr *message = &burst->messages[i].msg_hdr;
    message->msg_control = burst->controls + i * CONTROL_BYTES;
    message->msg_controllen = CONTROL_BYTES;
    message->msg_flags = 0;
  }
  int received = recvmmsg(fd, burst->messages, count, MSG_DONTWAIT | MSG_TRUNC, NULL);
  if (received < 0) return -errno;
  for (int i = 0; i < received; i++) {
    struct msghdr *message = &burst->messages[i].msg_hdr;
    lengths[i] = message->msg_flags & MSG_TRUNC ? UINT32_MAX : burst->messages[i].msg_len;
    tags[i] = message->msg_controllen ? vlan_tag(message) : 0;
  }
  return received;
}

int coflow_packet_send(int fd, struct coflow_burst *burst, unsigned count) {
  if (count > COFLOW_BURST) count = COFLOW_BURST;
  for (unsigned i = 0; i < count; i++) {
    struct msghdr *message = &burst->messages[i].msg_hdr;
    message->msg_control = NULL;
    message->msg_controllen = 0;
    message->msg_flags = 0;
  }
  int sent = sendmmsg(fd, burst->messages, count, MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

static int epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t token) {
  struct epoll_event event = {.events = events, .data.u64 = token};
  return epoll_ctl(epoll, operation, fd, &event) < 0 ? -errno : 0;
}
int coflow_epoll_add(int epoll, int fd, uint32_t events, uint64_t token) {
  return epoll_control(epoll, EPOLL_CTL_ADD, fd, events, token);
}
int coflow_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token) {
  return epoll_control(epoll, EPOLL_CTL_MOD, fd, events, token);
}
int coflow_epoll_remove(int epoll, int fd) { return epoll_control(epoll, EPOLL_CTL_DEL, fd, 0, 0); }

int coflow_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, int count, int timeout_milliseconds) {
  struct epoll_event found[COFLOW_BURST];
  if (count > COFLOW_BURST) count = COFLOW_BURST;
  int n = epoll_wait(epoll, found, count, timeout_milliseconds);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) {
    tokens[i] = found[i].data.u64;
    events[i] = found[i].events;
  }
  return n;
}

long coflow_read(int fd, void *bytes, unsigned long count) {
  long n = read(fd, bytes, count);
  return n < 0 ? -errno : n;
}

long coflow_write(int fd, const void *bytes, unsigned long count) {
  long n = write(fd, bytes, count);
  return n < 0 ? -errno : n;
}

long coflow_write_parts(int fd, const struct iovec *parts, int count) {
  long n = writev(fd, parts, count);
  return n < 0 ? -errno : n;
}

int coflow_uring_enable(int ring) {
  const int enable_rings = 12;  // IORING_REGISTER_ENABLE_RINGS
  return syscall(__NR_io_uring_register, ring, enable_rings, NULL, 0) < 0 ? -errno : 0;
}

int coflow_thread_setup(const char *name, int cpu) {
  pthread_setname_np(pthread_self(), name);
  cpu_set_t set;
  if (cpu < 0) {
    if (sched_getaffinity(getpid(), sizeof set, &set) != 0) return -errno;
  } else {
    if (cpu >= CPU_SETSIZE) return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
  }
  return -pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}
