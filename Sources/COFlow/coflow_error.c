// POSIX strerror_r, whose name glibc gives to another function when _GNU_SOURCE is set.
#undef _GNU_SOURCE
#define _POSIX_C_SOURCE 200809L
#include <string.h>

#include "coflow_link.h"

int coflow_error_text(int error, char *text, size_t byte_count) { return strerror_r(error, text, byte_count); }
