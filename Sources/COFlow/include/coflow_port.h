// System calls of the ports that Swift can't spell: tap ioctls, packet sockets with control messages.
// Every function returns 0 or a count on success and a negative errno on failure; none allocates.
#ifndef COFLOW_PORT_H
#define COFLOW_PORT_H
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

/// Bytes of struct virtio_net_hdr in front of every frame, on taps and packet sockets alike.
#define COFLOW_VNET_HEADER_BYTES 10
/// Frames per call of the packet-socket functions.
#define COFLOW_BURST 64

/// Opens /dev/net/tun: what is made with it is a device of the calling thread's network namespace.
int coflow_tap_device_open(void);
/// Makes an open /dev/net/tun a tap: creates it or attaches to an existing one.
/// `name` (IFNAMSIZ bytes) may hold a pattern and receives the device's name. owner/group: -1 leaves them.
int coflow_tap_attach(int fd, char *name, int owner, int group);
/// Asks for every offload that the kernel has. Returns 1 with USO, 0 without.
int coflow_tap_offloads(int fd);
/// The name of the device behind a tap descriptor; -EBADFD when the device is gone.
int coflow_tap_name(int fd, char *name);
/// A descriptor of the namespace where the tap's device is now (it may have been moved); Linux 5.11.
int coflow_tap_namespace(int fd);

/// Frames that the kernel writes into memory shared with it (packet(7), PACKET_RX_RING, TPACKET_V2): each has room for
/// one Ethernet frame of usual size with the virtio header in front; what is longer waits in the socket's queue.
#define COFLOW_RING_FRAMES 512
#define COFLOW_RING_FRAME_BYTES 2048
struct coflow_packet_ring {
  uint8_t *memory;  // NULL: there is none, everything comes by the queue
  uint64_t byte_count;
};

/// A packet socket with virtio header, auxdata and no echo of its own frames, of no interface yet: nothing arrives.
/// `ring` is filled in if the kernel grants one; else its memory is NULL. With one this takes a grace period of the kernel.
int coflow_packet_open(struct coflow_packet_ring *ring);
/// Has a packet socket receive what arrives at an interface and send there.
int coflow_packet_bind(int fd, int interface_index);
void coflow_packet_ring_close(struct coflow_packet_ring *ring);

enum coflow_frame {
  COFLOW_FRAME_NONE,    // nothing has come yet
  COFLOW_FRAME_WHOLE,   // bytes, header first
  COFLOW_FRAME_QUEUED,  // too long for the ring: the next one of the socket's queue
  COFLOW_FRAME_LOST,    // too long, and the queue was full
};
/// What frame `index` (< COFLOW_RING_FRAMES) holds, until it is released; `tag` as by coflow_packet_receive.
enum coflow_frame coflow_packet_ring_look(
    const struct coflow_packet_ring *ring, uint32_t index, const uint8_t **bytes, uint32_t *byte_count, uint64_t *tag);
/// Gives frame `index` back to the kernel.
void coflow_packet_ring_release(const struct coflow_packet_ring *ring, uint32_t index);
/// The error that a packet socket has met since it was last asked (-ENETDOWN: its link is down or gone), or 0.
int coflow_packet_error(int fd);

/// Room for one call of recvmmsg/sendmmsg.
struct coflow_burst {
  struct mmsghdr *messages;
  struct iovec *vectors;
  uint8_t *controls;
};
int coflow_burst_create(struct coflow_burst *burst);
void coflow_burst_destroy(struct coflow_burst *burst);

/// Receives up to `count` frames; vectors[i] tells where each goes (header first).
/// lengths[i] gets the bytes received, or UINT32_MAX if truncated; tags[i] = TPID << 16 | TCI with bit 63 set where
/// the kernel had taken a VLAN tag off.
int coflow_packet_receive(int fd, struct coflow_burst *burst, unsigned count, uint32_t *lengths, uint64_t *tags);
/// Sends `count` frames of vectors[]; returns how many were sent, or the error of the first.
int coflow_packet_send(int fd, struct coflow_burst *burst, unsigned count);

/// epoll without the union that Swift imports badly.
int coflow_epoll_add(int epoll, int fd, uint32_t events, uint64_t token);
int coflow_epoll_modify(int epoll, int fd, uint32_t events, uint64_t token);
int coflow_epoll_remove(int epoll, int fd);
int coflow_epoll_wait(int epoll, uint64_t *tokens, uint32_t *events, int count, int timeout_milliseconds);

/// Reads or writes one frame without blocking (RWF_NOWAIT where the file has it, else O_NONBLOCK).
long coflow_read(int fd, void *bytes, unsigned long count);
/// writev(2).
long coflow_write_parts(int fd, const struct iovec *parts, int count);
long coflow_write(int fd, const void *bytes, unsigned long count);

/// Starts a ring that was set up disabled, and binds it to the calling thread (liburing 2.3 forgot to export its own).
int coflow_uring_enable(int ring);

/// Names the calling thread and pins it to one CPU; a negative one: to those where the process's first thread may run.
/// Returns 0, or a negative errno if there is no such CPU.
int coflow_thread_setup(const char *name, int cpu);
#endif
