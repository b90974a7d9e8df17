// A small process beside the daemon that may enter network namespaces, so that the daemon itself need not: it is given a
// descriptor of a namespace and answers with sockets that were opened there. It reads nothing else.
//
// Thread: start before the first other thread, and before privileges are given up; requests are one at a time.
#ifndef COFLOW_NAMESPACE_H
#define COFLOW_NAMESPACE_H

/// Starts the process. It keeps CAP_SYS_ADMIN (setns(2)) and CAP_NET_ADMIN (what is opened carries it) of what the caller
/// has, may call a dozen system calls, and ends when the returned socket is closed. Returns the socket or -errno.
int coflow_namespace_broker_start(void);

/// What was opened in a namespace; -1 or, for the tun device, -errno where it could not be. All close-on-exec.
struct coflow_namespace_descriptors {
  int netlink;  // NETLINK_ROUTE, bound
  int inet;     // AF_INET, for ioctls on links
  int tun;      // /dev/net/tun: devices that are made with it are the namespace's
};

/// Asks the process behind `broker`. Returns 0, or -errno: of setns(2), of opening, or -EPIPE if the process has ended.
int coflow_namespace_open(int broker, int namespace_fd, struct coflow_namespace_descriptors *descriptors);
#endif
