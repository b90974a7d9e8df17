// What the tests' support needs of Linux and Swift's Glibc module does not show. Every name is prefixed `ctest_`.
#ifndef CTESTSUPPORT_H
#define CTESTSUPPORT_H

/// An empty file in memory, closed on exec. Returns a descriptor or -1 (errno).
int ctest_memory_file(const char *name);

/// Moves the calling thread into a network namespace. Returns 0 or -1 (errno).
int ctest_enter_network_namespace(int descriptor);

#endif
