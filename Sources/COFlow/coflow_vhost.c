#define _GNU_SOURCE
#include "coflow_vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE (UINT64_C(2) << 20)

static int unix_address(struct sockaddr_un *address, const char *path) {
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memcpy(address->sun_path, path, length);
  return 0;
}

int coflow_unix_connect(const char *path) {
  struct sockaddr_un address;
  int failed = unix_address(&address, path);
  if (failed) return failed;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int coflow_unix_listen(const char *path) {
  struct sockaddr_un address;
  int failed = unix_address(&address, path);
  if (failed) return failed;
  struct stat information;
  if (lstat(path, &information) == 0) {
    if (!S_ISSOCK(information.st_mode)) return -EEXIST;
    int other = coflow_unix_connect(path);
    if (other >= 0) close(other);
    if (other >= 0 || other == -EAGAIN) return -EADDRINUSE;
    if (other != -ECONNREFUSED) return other;
    unlink(path);
  }
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

int coflow_unix_accept(int listener) {
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

long coflow_receive_message(int fd, void *bytes, uint64_t count, int *descriptors, int *descriptor_count) {
  *descriptor_count = 0;
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(COFLOW_MESSAGE_DESCRIPTORS * sizeof(int))];
  } control;
  struct iovec vector = {bytes, count};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return -errno;
  int found = 0;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int n = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (int i = 0; i < n; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(c) + (size_t)i * sizeof descriptor, sizeof descriptor);
      if (found < COFLOW_MESSAGE_DESCRIPTORS)
        descriptors[found++] = descriptor;
      else
        close(descriptor);
    }
  }
  if (message.msg_flags & MSG_CTRUNC) {
    for (int i = 0; i < found; i++) close(descriptors[i]);
    return -EMSGSIZE;
  }
  *descriptor_count = found;
  return received;
}

int coflow_send_message(int fd, const void *bytes, uint64_t count, int descriptor) {
  union {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  struct iovec vector = {(void *)bytes, count};
  struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &descriptor, sizeof descriptor);
  }
  ssize_t sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return -errno;
  return (uint64_t)sent == count ? 0 : -EMSGSIZE;
}

int64_t coflow_memory_file_size(int fd) {
  struct stat information;
  if (fstat(fd, &information) < 0) return -errno;
  return S_ISREG(information.st_mode) ? (int64_t)information.st_size : -EINVAL;
}

int coflow_memory_file(uint64_t count) {
  int fd = memfd_create("vhost-user", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  if (ftruncate(fd, (off_t)count) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

void *coflow_map_guest_memory(
    int fd, uint64_t offset, uint64_t count, int writable, void **mapping, uint64_t *mapping_count, int *error) {
  uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
  struct statfs system;
  // hugetlbfs (also behind memfds): its block is a page.
  if (fstatfs(fd, &system) == 0 && system.f_type == 0x958458f6 && (uint64_t)system.f_bsize > page)
    page = (uint64_t)system.f_bsize;
  uint64_t start = offset & ~(page - 1);
  uint64_t length;
  if (__builtin_add_overflow(offset - start, count, &length) || length > UINT64_MAX / 4) {
    *error = -EINVAL;
    return NULL;
  }
  length = (length + page - 1) & ~(page - 1);
  // Addresses and file offsets that agree modulo the size of a huge page, so that shared memory's huge pages are mapped
  // as such. The reservation is replaced by the file in its place.
  uint64_t align = page > HUGE_PAGE ? page : HUGE_PAGE;
  char *reserved = mmap(NULL, length + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    *error = -errno;
    return NULL;
  }
  uint64_t skew = (start - (uint64_t)(uintptr_t)reserved) & (align - 1);
  char *place = reserved + skew;
  int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  char *mapped = mmap(place, length, protection, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, (off_t)start);
  if (mapped == MAP_FAILED) {
    *error = -errno;
    munmap(reserved, length + align);
    return NULL;
  }
  if (skew) munmap(reserved, skew);
  if (align - skew) munmap(place + length, align - skew);
  madvise(mapped, length, MADV_DONTDUMP);
  madvise(mapped, length, MADV_HUGEPAGE);
  *mapping = mapped;
  *mapping_count = length;
  return mapped + (offset - start);
}

// The registrations: written by control code, read by the handler on whatever thread meets the signal. An entry is in use
// while `start` is not 0; `end` and `flag` are set before it.
enum { GUARD_LIMIT = 4096 };
static struct {
  _Atomic uintptr_t start;
  uintptr_t end;
  uint32_t *flag;
} guards[GUARD_LIMIT];
static atomic_int guard_count;
static atomic_flag guard_lock = ATOMIC_FLAG_INIT;
static struct sigaction previous_action;
static int is_handler_installed;

static void handle_bus_error(int number, siginfo_t *information, void *context) {
  uintptr_t address = (uintptr_t)information->si_addr;
  int count = atomic_load(&guard_count);
  for (int i = 0; i < count; i++) {
    uintptr_t start = atomic_load(&guards[i].start);
    if (start == 0 || address < start || address >= guards[i].end) continue;
    int error = errno;
    __atomic_store_n(guards[i].flag, 1, __ATOMIC_RELEASE);
    void *replaced = mmap((void *)start, guards[i].end - start, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    errno = error;
    if (replaced != MAP_FAILED) return;
  }
  // Not ours: what would have happened without us.
  if (previous_action.sa_flags & SA_SIGINFO && previous_action.sa_sigaction) {
    previous_action.sa_sigaction(number, information, context);
    return;
  }
  if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN && previous_action.sa_handler) {
    previous_action.sa_handler(number);
    return;
  }
  signal(number, SIG_DFL);  // the access is made again and ends the process
}

int coflow_guard_mapping(void *mapping, uint64_t count, uint32_t *flag) {
  while (atomic_flag_test_and_set(&guard_lock)) {
  }
  int result = -ENOSPC;
  if (!is_handler_installed) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = handle_bus_error;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (sigaction(SIGBUS, &action, &previous_action) == 0) is_handler_installed = 1;
  }
  for (int i = 0; i < GUARD_LIMIT && is_handler_installed; i++) {
    if (atomic_load(&guards[i].start) != 0) continue;
    guards[i].end = (uintptr_t)mapping + count;
    guards[i].flag = flag;
    atomic_store(&guards[i].start, (uintptr_t)mapping);
    if (atomic_load(&guard_count) <= i) atomic_store(&guard_count, i + 1);
    result = i;
    break;
  }
  atomic_flag_clear(&guard_lock);
  return result;
}

void coflow_unguard_mapping(int registration) {
  if (registration >= 0 && registration < GUARD_LIMIT) atomic_store(&guards[registration].start, 0);
}

int coflow_watch_open(void) {
  int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int coflow_watch_directory(int watch, const char *path) {
  int number = inotify_add_watch(watch, path, IN_CREATE | IN_MOVED_TO | IN_ATTRIB | IN_ONLYDIR);
  return number < 0 ? -errno : number;
}

int coflow_watch_drain(int watch, int *numbers, int count) {
  _Alignas(struct inotify_event) char buffer[4096];
  int found = 0;
  ssize_t length;
  while ((length = read(watch, buffer, sizeof buffer)) > 0) {
    for (char *place = buffer; place < buffer + length;) {
      struct inotify_event *event = (struct inotify_event *)place;
      place += sizeof *event + event->len;
      int known = 0;
      for (int i = 0; i < found; i++) known |= numbers[i] == event->wd;
      // A queue that was too small stands for all directories.
      if (!known && found < count) numbers[found++] = event->mask & IN_Q_OVERFLOW ? -1 : event->wd;
    }
  }
  return found;
}

int coflow_open_record(const char *path, uint64_t count) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return -errno;
  struct stat information;
  if (fstat(fd, &information) < 0 || !S_ISREG(information.st_mode)) {
    close(fd);
    return -EINVAL;
  }
  if ((uint64_t)information.st_size != count && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)count) < 0)) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

void coflow_event_signal(int fd) {
  uint64_t one = 1;
  ssize_t written = write(fd, &one, sizeof one);
  (void)written;  // full: whoever waits is woken all the same
}

// The watch over writes to peers' eventfds: a timer of this thread that ticks while such a write is under way, and for one tick
// after the last one. The handler does nothing but end the system call, or the ticking.
enum { CALL_TICK_NANOSECONDS = 5 * 1000 * 1000 };
static _Thread_local timer_t call_timer;
static _Thread_local int has_call_timer;  // -1: there is none to be had
static _Thread_local volatile sig_atomic_t is_call_timer_ticking;
static _Thread_local volatile sig_atomic_t is_calling;

static void tick_calls(long nanoseconds) {
  struct itimerspec time = {.it_interval = {0, nanoseconds}, .it_value = {0, nanoseconds}};
  timer_settime(call_timer, 0, &time, NULL);
}

static void handle_call_tick(int number) {
  (void)number;
  int error = errno;
  if (!is_calling && is_call_timer_ticking) {
    is_call_timer_ticking = 0;
    tick_calls(0);
  }
  errno = error;
}

int coflow_call_signal(void) { return SIGRTMIN + 5; }

static int make_call_timer(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = handle_call_tick;  // without SA_RESTART: the write ends
  sigemptyset(&action.sa_mask);
  if (sigaction(coflow_call_signal(), &action, NULL) < 0) return -1;
  struct sigevent event;
  memset(&event, 0, sizeof event);
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = coflow_call_signal();
  event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
  return timer_create(CLOCK_MONOTONIC, &event, &call_timer) < 0 ? -1 : 1;
}

int coflow_event_signal_peer(int fd) {
  if (has_call_timer == 0) has_call_timer = make_call_timer();
  if (has_call_timer < 0) {
    // Better than nothing: it could still be changed between the two calls.
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1) return -EAGAIN;
  }
  is_calling = 1;
  if (has_call_timer > 0 && !is_call_timer_ticking) {
    is_call_timer_ticking = 1;
    tick_calls(CALL_TICK_NANOSECONDS);
  }
  uint64_t one = 1;
  int result = write(fd, &one, sizeof one) < 0 ? -errno : 0;
  is_calling = 0;
  return result;
}

void coflow_event_drain(int fd) {
  uint64_t count;
  ssize_t taken = read(fd, &count, sizeof count);
  (void)taken;
}

int coflow_event_open(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

int coflow_event_check(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  struct stat information;
  if (fstat(fd, &information) < 0) return -errno;
  // An anonymous inode, without a type. Its name tells it from others of that kind, where /proc can be read.
  if ((information.st_mode & S_IFMT) != 0) return -EINVAL;
  char path[32], name[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(path, name, sizeof name - 1);
  if (length > 0) {
    name[length] = 0;
    if (strcmp(name, "anon_inode:[eventfd]") != 0) return -EINVAL;
  }
  return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}
