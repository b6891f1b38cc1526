/*
 * Lets a program written for Linux sockets call libtas_sockets by name. Included
 * ahead of everything, so that the headers that declare these calls do so under
 * their own names.
 */
#ifndef TAS_NAMES_H
#define TAS_NAMES_H

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <tas_sockets.h>

#define socket tas_socket
#define close tas_close
#define shutdown tas_shutdown
#define bind tas_bind
#define connect tas_connect
#define listen tas_listen
#define accept tas_accept
#define accept4 tas_accept4
#define fcntl tas_fcntl
#define ioctl tas_ioctl
#define getsockopt tas_getsockopt
#define setsockopt tas_setsockopt
#define getsockname tas_getsockname
#define getpeername tas_getpeername
#define read tas_read
#define recv tas_recv
#define recvfrom tas_recvfrom
#define recvmsg tas_recvmsg
#define readv tas_readv
#define pread tas_pread
#define write tas_write
#define send tas_send
#define sendto tas_sendto
#define sendmsg tas_sendmsg
#define writev tas_writev
#define pwrite tas_pwrite
#define sendfile tas_sendfile
#define ioctl tas_ioctl
#define epoll_create tas_epoll_create
#define epoll_create1 tas_epoll_create1
#define epoll_ctl tas_epoll_ctl
#define epoll_wait tas_epoll_wait
#define epoll_pwait tas_epoll_pwait
#define epoll_pwait2 tas_epoll_pwait2
#define select tas_select
#define pselect tas_pselect
#define poll tas_poll
#define ppoll tas_ppoll
#define dup tas_dup
#define dup2 tas_dup2
#define dup3 tas_dup3

#endif
