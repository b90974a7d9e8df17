#define _GNU_SOURCE
#include "coflow_process.h"

#include "coflow_architecture.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static struct flock whole_file(void) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

int coflow_lock_holder(int fd) {
  struct flock lock = whole_file();
  if (fcntl(fd, F_GETLK, &lock) < 0) return -errno;
  return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

int coflow_lock_file(int fd) {
  // The holder may end between the two calls: then try again.
  for (int attempt = 0; attempt < 8; attempt++) {
    struct flock lock = whole_file();
    if (fcntl(fd, F_SETLK, &lock) == 0) return 0;
    if (errno != EACCES && errno != EAGAIN) return -errno;
    int holder = coflow_lock_holder(fd);
    if (holder != 0) return holder;
  }
  return -EAGAIN;
}

int coflow_notify(const char *socket_path, const char *message) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  size_t length = strlen(socket_path);
  if (length == 0 || length >= sizeof address.sun_path) return -EINVAL;
  memcpy(address.sun_path, socket_path, length);
  if (socket_path[0] == '@') address.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  ssize_t sent =
      sendto(fd, message, strlen(message), MSG_NOSIGNAL, (const struct sockaddr *)&address, address_length);
  int result = sent < 0 ? -errno : 0;
  close(fd);
  return result;
}

uint64_t coflow_effective_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) < 0) return 0;
  return data[0].effective | (uint64_t)data[1].effective << 32;
}

int coflow_limit_capabilities(uint64_t keep) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0, sizeof data);
  if (syscall(SYS_capget, &header, data) < 0) return -errno;
  // Only who may set capabilities can shrink the bounding set; without it, it matters less: nothing is executed.
  if (data[0].effective & (1u << CAP_SETPCAP)) {
    for (int capability = 0; capability < 64; capability++) {
      if (keep >> capability & 1) continue;
      if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
        if (errno == EINVAL) break;  // past the kernel's last capability
        return -errno;
      }
    }
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) return -errno;
  int excess = 0;
  for (int word = 0; word < 2; word++) {
    uint32_t mask = (uint32_t)(keep >> (32 * word));
    excess |= (data[word].permitted & ~mask) != 0 || data[word].inheritable != 0;
    data[word].permitted &= mask;
    data[word].effective = data[word].permitted;
    data[word].inheritable = 0;
  }
  // A service manager that gave no more than this may have forbidden capset too.
  if (!excess) return 0;
  return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int coflow_forbid_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0; }

// A list of what is denied, not of what is allowed: the runtime's own needs change with its version, and a filter
// that breaks the switch after an upgrade of a library would be switched off by its users.
static const int denied_calls[] = {
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_mount, SYS_umount2,
    SYS_pivot_root, SYS_chroot, SYS_fsopen, SYS_fsmount, SYS_move_mount, SYS_open_tree, SYS_init_module,
    SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_swapon, SYS_swapoff,
    SYS_acct, SYS_settimeofday, SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname,
    SYS_setdomainname, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_perf_event_open, SYS_userfaultfd,
    SYS_open_by_handle_at, SYS_bpf, SYS_unshare, SYS_setns, SYS_name_to_handle_at, SYS_lookup_dcookie, SYS_quotactl, SYS_syslog, SYS_personality,
#ifdef SYS_ioperm
    SYS_ioperm, SYS_iopl,
#endif
};

int coflow_filter_system_calls(void) {
  enum { count = sizeof denied_calls / sizeof denied_calls[0], head = 4, tail = 2 };
  enum { allow = head + count, deny = allow + 1 };  // indexes of the two verdicts
  struct sock_filter code[head + count + tail];
  int i = 0;
#define COFLOW_JUMP(test, value, to, otherwise)                                                              \
  code[i] = (struct sock_filter)BPF_JUMP(BPF_JMP | test | BPF_K, value, (uint8_t)((to) - i - 1),            \
                                         (uint8_t)((otherwise) - i - 1)),                                     \
  i++
#define COFLOW_STATEMENT(operation, value) code[i++] = (struct sock_filter)BPF_STMT(operation, value)
  // A call of another architecture (32-bit entry) has other numbers: deny it.
  COFLOW_STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
  COFLOW_JUMP(BPF_JEQ, COFLOW_AUDIT_ARCH, i + 1, deny);
  COFLOW_STATEMENT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  // x32 numbers on x86-64.
  COFLOW_JUMP(BPF_JGE, 0x40000000, deny, i + 1);
  for (int call = 0; call < count; call++) COFLOW_JUMP(BPF_JEQ, (uint32_t)denied_calls[call], deny, i + 1);
  COFLOW_STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  COFLOW_STATEMENT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
#undef COFLOW_JUMP
#undef COFLOW_STATEMENT
  struct sock_fprog program = {(unsigned short)i, code};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}
