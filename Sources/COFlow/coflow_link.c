#define _GNU_SOURCE
#include "coflow_link.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ethtool(int fd, const char *name, void *command) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
  request.ifr_data = command;
  return ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
}

int coflow_link_settings_get(int fd, const char *name, struct coflow_link_settings *settings) {
  memset(settings, 0, sizeof *settings);
  settings->speed_mbps = -1;
  settings->duplex = 0xff;
  if (strnlen(name, IFNAMSIZ) >= IFNAMSIZ) return -ENODEV;

  struct ethtool_drvinfo driver = {.cmd = ETHTOOL_GDRVINFO};
  int result = ethtool(fd, name, &driver);
  if (result == -ENODEV) return result;
  if (result == 0) memcpy(settings->driver, driver.driver, sizeof settings->driver - 1);

  // First call: the kernel answers with the number of mask words (negative) that the second must offer.
  union {
    struct ethtool_link_settings head;
    uint32_t words[sizeof(struct ethtool_link_settings) / 4 + 3 * 127];
  } link;
  memset(&link, 0, sizeof link);
  link.head.cmd = ETHTOOL_GLINKSETTINGS;
  if (ethtool(fd, name, &link) == 0 && link.head.link_mode_masks_nwords < 0) {
    int8_t words = -link.head.link_mode_masks_nwords;
    memset(&link, 0, sizeof link);
    link.head.cmd = ETHTOOL_GLINKSETTINGS;
    link.head.link_mode_masks_nwords = words;
    if (ethtool(fd, name, &link) == 0) {
      if (link.head.speed != (uint32_t)SPEED_UNKNOWN && link.head.speed <= INT32_MAX)
        settings->speed_mbps = (int32_t)link.head.speed;
      settings->duplex = link.head.duplex;
    }
  }
  return 0;
}

struct namespace_request {
  struct nlmsghdr head;
  struct rtgenmsg general;
  uint8_t pad[3];
  struct nlattr fd_head;
  int32_t fd;
  struct nlattr id_head;
  int32_t id;
};

// Sends one request and returns the first answer's id, 0 for an acknowledgement, or -errno.
static int namespace_request(int socket_fd, uint16_t type, int fd, int32_t *id) {
  struct namespace_request request = {
      .head = {.nlmsg_len = sizeof request,
               .nlmsg_type = type,
               .nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWNSID ? NLM_F_ACK : 0)},
      .general = {.rtgen_family = AF_UNSPEC},
      .fd_head = {.nla_len = sizeof(struct nlattr) + 4, .nla_type = NETNSA_FD},
      .fd = fd,
      .id_head = {.nla_len = sizeof(struct nlattr) + 4, .nla_type = NETNSA_NSID},
      .id = NETNSA_NSID_NOT_ASSIGNED,
  };
  if (type == RTM_GETNSID) request.head.nlmsg_len = offsetof(struct namespace_request, id_head);
  if (send(socket_fd, &request, request.head.nlmsg_len, 0) < 0) return -errno;
  union {
    struct nlmsghdr head;
    char bytes[1024];
  } answer;
  ssize_t received = recv(socket_fd, &answer, sizeof answer, 0);
  if (received < 0) return -errno;
  if (!NLMSG_OK(&answer.head, (size_t)received)) return -EPROTO;
  if (answer.head.nlmsg_type == NLMSG_ERROR) {
    if (answer.head.nlmsg_len < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EPROTO;
    return ((struct nlmsgerr *)NLMSG_DATA(&answer.head))->error;
  }
  struct rtattr *attribute = (struct rtattr *)(answer.bytes + NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg))));
  int left = (int)answer.head.nlmsg_len - (int)NLMSG_LENGTH(NLMSG_ALIGN(sizeof(struct rtgenmsg)));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
    if (attribute->rta_type == NETNSA_NSID && RTA_PAYLOAD(attribute) >= sizeof *id)
      memcpy(id, RTA_DATA(attribute), sizeof *id);
  return 0;
}

int coflow_namespace_id(int fd) {
  int socket_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (socket_fd < 0) return -errno;
  int32_t id = NETNSA_NSID_NOT_ASSIGNED;
  int result = namespace_request(socket_fd, RTM_GETNSID, fd, &id);
  if (result == 0 && id < 0) {
    result = namespace_request(socket_fd, RTM_NEWNSID, fd, &id);
    // Somebody else may have been first.
    if (result == 0 || result == -EEXIST) result = namespace_request(socket_fd, RTM_GETNSID, fd, &id);
  }
  close(socket_fd);
  if (result < 0) return result;
  return id < 0 ? -EPROTO : id;
}

int coflow_link_monitor_open(int receive_buffer_bytes, int *hears_others) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  if (fd < 0) return -errno;
  int on = 1, link_group = RTNLGRP_LINK, id_group = RTNLGRP_NSID;
  struct sockaddr_nl address = {.nl_family = AF_NETLINK};
  // Best effort: a small buffer only means an earlier resync.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_buffer_bytes, sizeof receive_buffer_bytes) < 0)
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
  *hears_others = setsockopt(fd, SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, &on, sizeof on) == 0;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &link_group, sizeof link_group) < 0 ||
      setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &id_group, sizeof id_group) < 0) {
    int saved = errno;
    close(fd);
    return -saved;
  }
  return fd;
}

int coflow_link_wake_open(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

long coflow_link_monitor_receive(int fd, void *buffer, size_t byte_count, int32_t *nsid) {
  union {
    char bytes[CMSG_SPACE(sizeof(int)) + 64];
    struct cmsghdr align;
  } control;
  struct sockaddr_nl sender;
  struct iovec data = {.iov_base = buffer, .iov_len = byte_count};
  struct msghdr message = {
      .msg_name = &sender,
      .msg_namelen = sizeof sender,
      .msg_iov = &data,
      .msg_iovlen = 1,
      .msg_control = control.bytes,
      .msg_controllen = sizeof control.bytes,
  };
  *nsid = -1;
  ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT);
  if (received < 0) return -errno;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
    if (c->cmsg_level == SOL_NETLINK && c->cmsg_type == NETLINK_LISTEN_ALL_NSID)
      memcpy(nsid, CMSG_DATA(c), sizeof *nsid);
  if (message.msg_namelen != sizeof sender || sender.nl_pid != 0) return 0;
  if (message.msg_flags & MSG_TRUNC) return -ENOBUFS;  // as good as lost
  return received;
}
