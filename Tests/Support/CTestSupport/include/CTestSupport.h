// What the tests' support needs of Linux and Swift's Glibc module does not show. Every name is prefixed `ctest_`.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H
#include <spawn.h>
#include <stdint.h>

/// An empty file in memory, closed on exec. Returns a descriptor or -1 (errno).
int ctest_memory_file(const char *name);

/// Has a program start with its standard streams alone. Returns 0 or an errno.
int ctest_close_from_3(posix_spawn_file_actions_t *actions);

/// Moves the calling thread into a network namespace. Returns 0 or -1 (errno).
int ctest_enter_network_namespace(int descriptor);

/// An eventfd that does not block, closed on exec.
int ctest_event(void);

/// Receives a message with up to one descriptor (-1: none). Returns bytes or -1.
long ctest_receive_message(int fd, void *bytes, uint64_t count, int *descriptor);
/// Sends bytes with descriptors over a Unix socket. Returns bytes sent or -1 (errno).
long ctest_send_message(int fd, const void *bytes, uint64_t count, const int *descriptors, int descriptor_count);

/// Loads and stores of a virtqueue that the other side uses at the same time.
static inline uint16_t ctest_load_acquire_16(const void *p) { return __atomic_load_n((const uint16_t *)p, __ATOMIC_ACQUIRE); }
static inline void ctest_store_release_16(void *p, uint16_t v) { __atomic_store_n((uint16_t *)p, v, __ATOMIC_RELEASE); }
static inline void ctest_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

#endif
