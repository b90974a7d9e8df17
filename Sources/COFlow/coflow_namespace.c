#define _GNU_SOURCE
#include "coflow_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coflow_architecture.h"
#include "coflow_process.h"

struct answer {
  int32_t error;  // 0 or -errno: then no descriptors follow
  int32_t tun;    // 0, or why there is no tun device among them
};
enum { most_descriptors = 3 };
union control {
  struct cmsghdr align;
  char bytes[CMSG_SPACE(most_descriptors * sizeof(int))];
};

// Receives one message; what descriptors came are in `fds`. Returns its byte count, 0 at the end, or -errno.
static ssize_t receive(int socket, void *bytes, size_t count, int *fds, int *fd_count) {
  union control control;
  struct iovec data = {.iov_base = bytes, .iov_len = count};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *fd_count = 0;
  ssize_t received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int found = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < found; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
      if (*fd_count < most_descriptors)
        fds[(*fd_count)++] = fd;
      else
        close(fd);
    }
  }
  return received;
}

static int send_message(int socket, const void *bytes, size_t count, const int *fds, int fd_count) {
  union control control;
  memset(&control, 0, sizeof control);
  struct iovec data = {.iov_base = (void *)bytes, .iov_len = count};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (fd_count > 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
    memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

// MARK: the process

// A list of what is allowed: this code calls nothing else, and no runtime is behind it. On anything else it ends.
static int allow_only_what_it_calls(void) {
  static const int allowed[] = {SYS_recvmsg, SYS_sendmsg, SYS_socket, SYS_bind, SYS_openat, SYS_close, SYS_exit_group,
                                SYS_exit, SYS_rt_sigreturn, SYS_restart_syscall};
  enum { count = sizeof allowed / sizeof allowed[0] };
  struct sock_filter code[count + 12];
  int i = 0, allow = count + 7, end = allow + 1;
  struct sock_filter load_architecture = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  struct sock_filter load_number = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  // The low half of setns's second argument is at the lower address.
  struct sock_filter load_kind = BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]));
  code[i++] = load_architecture;
  code[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, COFLOW_AUDIT_ARCH, 0, (uint8_t)(end - i - 1));
  i++;
  code[i++] = load_number;
  for (int call = 0; call < count; call++, i++)
    code[i] =
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[call], (uint8_t)(allow - i - 1), 0);
  code[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setns, 0, (uint8_t)(end - i - 1));
  i++;
  code[i++] = load_kind;
  code[i] = (struct sock_filter)BPF_JUMP(
      BPF_JMP | BPF_JEQ | BPF_K, CLONE_NEWNET, (uint8_t)(allow - i - 1), (uint8_t)(end - i - 1));
  i++;
  while (i < allow) code[i++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  code[i++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  code[i++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  struct sock_fprog program = {(unsigned short)i, code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}

static int open_in(int namespace_fd, int *fds, int *fd_count, int32_t *tun) {
  if (setns(namespace_fd, CLONE_NEWNET) < 0) return -errno;
  struct sockaddr_nl any = {.nl_family = AF_NETLINK};
  int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (netlink < 0) return -errno;
  fds[(*fd_count)++] = netlink;
  if (bind(netlink, (struct sockaddr *)&any, sizeof any) < 0) return -errno;
  int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (inet < 0) return -errno;
  fds[(*fd_count)++] = inet;
  int device = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  *tun = device < 0 ? -errno : 0;
  if (device >= 0) fds[(*fd_count)++] = device;
  return 0;
}

static _Noreturn void serve(int socket, int own_namespace) {
  for (;;) {
    char request;
    int given[most_descriptors], given_count;
    ssize_t received = receive(socket, &request, sizeof request, given, &given_count);
    if (received <= 0) _exit(0);
    struct answer answer = {.error = -EBADF, .tun = 0};
    int fds[most_descriptors], fd_count = 0;
    if (given_count == 1) answer.error = open_in(given[0], fds, &fd_count, &answer.tun);
    int result = send_message(socket, &answer, sizeof answer, fds, answer.error == 0 ? fd_count : 0);
    // A namespace lives as long as a process is in it.
    if (setns(own_namespace, CLONE_NEWNET) < 0 && errno != EPERM) _exit(1);
    while (given_count > 0) close(given[--given_count]);
    while (fd_count > 0) close(fds[--fd_count]);
    if (result < 0) _exit(0);
  }
}

static _Noreturn void run(int socket) {
  // The daemon still asks while it ends; what ends this process is that nobody can ask any more.
  signal(SIGINT, SIG_IGN);
  signal(SIGTERM, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  prctl(PR_SET_NAME, "vswitch-netns", 0, 0, 0);
  int nothing = open("/dev/null", O_RDWR);
  for (int fd = 0; fd < 3 && nothing >= 0; fd++) dup2(nothing, fd);
  int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  // Above all that is moved: neither can be overwritten by the other.
  if (own < 0 || (own = fcntl(own, F_DUPFD_CLOEXEC, 5)) < 0 || (socket = fcntl(socket, F_DUPFD_CLOEXEC, 5)) < 0) _exit(1);
  if (dup2(socket, 3) < 0 || dup2(own, 4) < 0 || syscall(SYS_close_range, 5U, ~0U, 0U) < 0) _exit(1);
  uint64_t keep = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_NET_ADMIN;
  if (coflow_limit_capabilities(keep) < 0 || coflow_forbid_new_privileges() < 0 || allow_only_what_it_calls() < 0)
    _exit(1);
  serve(3, 4);
}

// MARK: the daemon's side

int coflow_namespace_broker_start(void) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return -errno;
  pid_t process = fork();
  if (process < 0) {
    int error = errno;
    close(ends[0]);
    close(ends[1]);
    return -error;
  }
  if (process == 0) run(ends[1]);
  close(ends[1]);
  return ends[0];
}

int coflow_namespace_open(int broker, int namespace_fd, struct coflow_namespace_descriptors *descriptors) {
  descriptors->netlink = descriptors->inet = descriptors->tun = -1;
  char request = 0;
  int result = send_message(broker, &request, sizeof request, &namespace_fd, 1);
  if (result < 0) return result;
  struct answer answer;
  int fds[most_descriptors], fd_count;
  ssize_t received = receive(broker, &answer, sizeof answer, fds, &fd_count);
  if (received == 0) return -EPIPE;
  if (received < 0) return (int)received;
  if (received != sizeof answer || answer.error != 0 || fd_count != (answer.tun == 0 ? 3 : 2)) {
    while (fd_count > 0) close(fds[--fd_count]);
    return received == sizeof answer && answer.error < 0 ? answer.error : -EPROTO;
  }
  descriptors->netlink = fds[0];
  descriptors->inet = fds[1];
  descriptors->tun = answer.tun == 0 ? fds[2] : answer.tun;
  return 0;
}
