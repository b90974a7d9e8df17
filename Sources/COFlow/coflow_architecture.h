// The name that seccomp filters give to the machine's own system call numbers.
#ifndef COFLOW_ARCHITECTURE_H
#define COFLOW_ARCHITECTURE_H
#include <linux/audit.h>
#if defined(__x86_64__)
#define COFLOW_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define COFLOW_AUDIT_ARCH AUDIT_ARCH_AARCH64
#else
#error "name this architecture's AUDIT_ARCH"
#endif
#endif
