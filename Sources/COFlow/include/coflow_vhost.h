// System calls of vhost-user ports that Swift can't spell: messages with descriptors over Unix sockets, mappings of a
// guest's memory, and the signal that a guest causes which takes pages away from under a mapping.
// Every function returns 0 or a count on success and a negative errno on failure unless it says otherwise.
#ifndef COFLOW_VHOST_H
#define COFLOW_VHOST_H
#include <stdint.h>

/// Most descriptors that one call of coflow_receive_message takes; the protocol's largest message has 8.
#define COFLOW_MESSAGE_DESCRIPTORS 32

/// A listening Unix stream socket on `path`, not blocking. -EADDRINUSE if a program listens there; a socket file that
/// nobody listens on is replaced.
int coflow_unix_listen(const char *path);
/// Takes a connection, not blocking.
int coflow_unix_accept(int listener);
/// Connects to `path`; the socket does not block.
int coflow_unix_connect(const char *path);

/// Receives up to `count` bytes and the descriptors that came with them (close-on-exec).
/// Returns bytes, 0 at the end of the connection, -EAGAIN, or another negative errno. `descriptor_count` is set in every
/// case; -EMSGSIZE: there were more than fit, and all of them have been closed.
long coflow_receive_message(int fd, void *bytes, uint64_t count, int *descriptors, int *descriptor_count);
/// Sends a message whole, with up to one descriptor (-1: none), or not at all: -EAGAIN if there is no room for it.
int coflow_send_message(int fd, const void *bytes, uint64_t count, int descriptor);

/// What fstat says: its size in bytes if `fd` is a file of memory (regular: memfd, hugetlbfs, tmpfs), else -EINVAL.
int64_t coflow_memory_file_size(int fd);
/// Maps `count` bytes of a memory file from `offset`, shared, so that huge pages can stay huge. Both are rounded to the
/// file's page size, within the file. Returns NULL with *error set on failure.
/// mapping/mapping_count: what to unmap. The result is where `offset` is.
void *coflow_map_guest_memory(
    int fd, uint64_t offset, uint64_t count, int writable, void **mapping, uint64_t *mapping_count, int *error);

/// A file of `count` zeroed bytes of memory, sealed at that size, for a peer to map.
int coflow_memory_file(uint64_t count);

/// Registers a mapping with the handler of SIGBUS: if the file behind it is cut short, an access sets *flag and finds
/// zeroed private memory in the mapping's place instead of ending the process.
/// Returns a registration, or a negative errno. The handler is installed by the first call and passes on what is not ours.
int coflow_guard_mapping(void *mapping, uint64_t count, uint32_t *flag);
/// Ends a registration; call before the mapping is unmapped.
void coflow_unguard_mapping(int registration);

/// Tells of files that appear in directories, or whose rights change; does not block.
int coflow_watch_open(void);
/// Adds a directory. Returns its number; the same for the same directory.
int coflow_watch_directory(int watch, const char *path);
/// Takes what has happened: the numbers of directories, each once; -1 stands for any.
int coflow_watch_drain(int watch, int *numbers, int count);

/// A file of `count` bytes for records that survive the process, zeroed if new or of another size; not through links.
int coflow_open_record(const char *path, uint64_t count);

/// Adds to an eventfd of our own, or takes its count away: they do not block.
void coflow_event_signal(int fd);
void coflow_event_drain(int fd);
/// Adds to an eventfd that a peer has too. Whether it blocks is a flag that the peer can change at any moment, and it would
/// block for ever while its counter is full: so a call that takes longer than some milliseconds is broken off by a signal
/// to this thread (SIGRTMIN + 5, which the thread must not block).
/// Returns 0; -EINTR if it was broken off: the peer wants to block us; other errors say nothing.
int coflow_event_signal_peer(int fd);
/// An eventfd that does not block.
int coflow_event_open(void);
/// The signal of coflow_event_signal_peer.
int coflow_call_signal(void);
/// Whether a descriptor that came from a peer is an eventfd; 0 or -EINVAL. Sets it to not blocking.
int coflow_event_check(int fd);
#endif
