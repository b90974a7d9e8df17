#define _GNU_SOURCE
#include "CTestSupport.h"

#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

int ctest_memory_file(const char *name) { return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING); }

int ctest_close_from_3(posix_spawn_file_actions_t *actions) {
  return posix_spawn_file_actions_addclosefrom_np(actions, 3);
}

int ctest_enter_network_namespace(int descriptor) { return setns(descriptor, CLONE_NEWNET); }

int ctest_event(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

long ctest_receive_message(int fd, void *bytes, uint64_t count, int *descriptor) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {bytes, count};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *descriptor = -1;
  long received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  struct cmsghdr *c = received < 0 ? NULL : CMSG_FIRSTHDR(&message);
  if (c && c->cmsg_type == SCM_RIGHTS) memcpy(descriptor, CMSG_DATA(c), sizeof *descriptor);
  return received;
}

long ctest_send_message(int fd, const void *bytes, uint64_t count, const int *descriptors, int descriptor_count) {
  enum { limit = 64 };
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(limit * sizeof(int))];
  } control;
  memset(&control, 0, sizeof control);
  struct iovec vector = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (descriptor_count > 0 && descriptor_count <= limit) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((unsigned)descriptor_count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN((unsigned)descriptor_count * sizeof(int));
    memcpy(CMSG_DATA(c), descriptors, (unsigned)descriptor_count * sizeof(int));
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL);
}
