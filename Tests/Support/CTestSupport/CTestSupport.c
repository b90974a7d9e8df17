#define _GNU_SOURCE
#include "CTestSupport.h"

#include <sched.h>
#include <sys/mman.h>

int ctest_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC); }

int ctest_enter_network_namespace(int descriptor) { return setns(descriptor, CLONE_NEWNET); }
