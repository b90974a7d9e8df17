// What a daemon does to itself: its lock, its privileges, its message to the service manager.
//
// Thread: called from the main thread before any other thread exists, where it says so; Linux keeps capabilities,
// no_new_privs and seccomp filters per thread, and new threads inherit them.
// Every function returns 0 or a negative errno unless it says otherwise.
#ifndef COFLOW_PROCESS_H
#define COFLOW_PROCESS_H
#include <stdint.h>
#include <sys/types.h>

// Takes the write lock (fcntl F_SETLK) of a whole file and keeps it until the process ends.
// Returns 0, the pid of the process that holds it, or a negative errno.
int coflow_lock_file(int fd);

// Who holds a lock that would be in the way: its pid, 0 if nobody, or a negative errno. Takes no lock.
int coflow_lock_holder(int fd);

// Sends one datagram to the service manager's socket (sd_notify(3)): a path, or `@name` for an abstract one.
int coflow_notify(const char *socket_path, const char *message);

// Bits of the effective capability set of the calling thread, capabilities(7).
uint64_t coflow_effective_capabilities(void);

// Reduces the calling thread's effective, permitted, inheritable, ambient and bounding sets to `keep`.
// Call before the first other thread.
int coflow_limit_capabilities(uint64_t keep);

// Sets no_new_privs on the calling thread. Call before the first other thread.
int coflow_forbid_new_privileges(void);

// Makes system calls that a switch never needs (running programs, tracing, mounting, loading kernel code, setting
// the clock) fail with EPERM. Needs no_new_privs. Call before the first other thread.
int coflow_filter_system_calls(void);

#endif
