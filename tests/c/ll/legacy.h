/* The original's conversation on its unix socket, byte for byte. */
#ifndef LL_LEGACY_H_
#define LL_LEGACY_H_

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "kernel_appif.h"

#define INFO_PATH "/dev/shm/" FLEXNIC_NAME_INFO
#define CORES_PER_MESSAGE 4

/* The address: an abstract name padded with zeros to the whole of sun_path. */
static inline void legacy_address(struct sockaddr_un *address)
{
  memset(address, 0, sizeof(*address));
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, KERNEL_SOCKET_PATH, sizeof(KERNEL_SOCKET_PATH));
}

/* Sends bytes with descriptors; 0 or -1. */
static inline int send_fds(int sock, const void *bytes, size_t len, const int *fds, size_t num)
{
  struct iovec part = {.iov_base = (void *) bytes, .iov_len = len};
  union {
    char room[CMSG_SPACE(CORES_PER_MESSAGE * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  struct cmsghdr *header;

  memset(&control, 0, sizeof(control));
  message.msg_control = control.room;
  message.msg_controllen = CMSG_SPACE(num * sizeof(int));
  header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(num * sizeof(int));
  memcpy(CMSG_DATA(header), fds, num * sizeof(int));
  return sendmsg(sock, &message, MSG_NOSIGNAL) == (ssize_t) len ? 0 : -1;
}

/* Receives exactly `len` bytes and `num` descriptors; 0, or -1 with errno 0
 * when the other end is closed. */
static inline int recv_fds(int sock, void *bytes, size_t len, int *fds, size_t num)
{
  struct iovec part = {.iov_base = bytes, .iov_len = len};
  union {
    char room[CMSG_SPACE(CORES_PER_MESSAGE * sizeof(int))];
    struct cmsghdr align;
  } control;
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  struct cmsghdr *header;
  ssize_t got;

  message.msg_control = control.room;
  message.msg_controllen = sizeof(control.room);
  got = recvmsg(sock, &message, MSG_WAITALL);
  if (got != (ssize_t) len) {
    if (got >= 0)
      errno = 0;
    return -1;
  }
  header = CMSG_FIRSTHDR(&message);
  if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS
      || header->cmsg_len != CMSG_LEN(num * sizeof(int))) {
    errno = EPROTO;
    return -1;
  }
  memcpy(fds, CMSG_DATA(header), num * sizeof(int));
  return 0;
}

#endif
