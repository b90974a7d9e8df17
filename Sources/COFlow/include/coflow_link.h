// Links: what libnl does not offer (ethtool, namespaces, netlink messages with the namespace they come from).
// Thread: any; no state. Errors are negative errno values.
#ifndef COFLOW_LINK_H
#define COFLOW_LINK_H
#include <stddef.h>
#include <stdint.h>

/// Link settings as ethtool reports them. `speed_mbps` is -1 and `duplex` 0xff where unknown; `driver` may be empty.
struct coflow_link_settings {
  int32_t speed_mbps;
  uint8_t duplex;
  char driver[33];
};

/// Asks ETHTOOL_GLINKSETTINGS and ETHTOOL_GDRVINFO of the link `name`; `fd` is any socket of its namespace.
/// Returns 0 or -ENODEV; a driver that knows neither leaves the fields unknown.
int coflow_link_settings_get(int fd, const char *name, struct coflow_link_settings *settings);

/// The id that the namespace `fd` refers to has in the calling thread's namespace (RTM_NEWNSID); one is assigned if it
/// has none. Returns the id (0 or more) or -errno.
int coflow_namespace_id(int fd);

/// A NETLINK_ROUTE socket, close-on-exec and non-blocking, subscribed to link and namespace-id changes of its own
/// namespace. `hears_others` becomes 1 if it also hears every namespace that has an id there, which takes
/// CAP_NET_BROADCAST now (not later). Returns the descriptor or -errno.
int coflow_link_monitor_open(int receive_buffer_bytes, int *hears_others);

/// An eventfd(2), close-on-exec and non-blocking. Returns the descriptor or -errno.
int coflow_link_wake_open(void);

/// Receives one datagram. `nsid` becomes the sender's namespace id, or -1 for the socket's own namespace.
/// Returns its byte count, 0 for one that the kernel did not send, or -errno (-EAGAIN: none waiting; -ENOBUFS: messages
/// were lost, or cut because the buffer is too small).
long coflow_link_monitor_receive(int fd, void *buffer, size_t byte_count, int32_t *nsid);

/// The system's text for an errno value (strerror_r in the form that POSIX gives it). Returns 0 or an errno value.
int coflow_error_text(int error, char *text, size_t byte_count);
#endif
