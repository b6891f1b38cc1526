/* Types of the functions: each can be assigned to a pointer of its type. */

#include <sys/types.h>

#include <tas_ll.h>
#include <tas_ll_connect.h>
#include <tas_memif.h>
#include <tas_sockets.h>
#include <utils.h>
#include <utils_rng.h>
#include <utils_timeout.h>

typedef void (*handler)(struct timeout *, uint8_t, void *);

int (*flexnic_driver_connect_)(struct flexnic_info **, void **) = flexnic_driver_connect;
int (*flexnic_driver_internal_)(void **) = flexnic_driver_internal;
int (*flextcp_conn_pushtxeos_)(struct flextcp_context *, struct flextcp_connection *) = flextcp_conn_pushtxeos;
uint32_t (*flextcp_conn_txbuf_available_)(struct flextcp_connection *) = flextcp_conn_txbuf_available;
int (*flextcp_connection_close_)(struct flextcp_context *, struct flextcp_connection *) = flextcp_connection_close;
int (*flextcp_connection_move_)(struct flextcp_context *, struct flextcp_connection *) = flextcp_connection_move;
int (*flextcp_connection_open_)(struct flextcp_context *, struct flextcp_connection *, uint32_t, uint16_t) = flextcp_connection_open;
int (*flextcp_connection_rx_done_)(struct flextcp_context *, struct flextcp_connection *, size_t) = flextcp_connection_rx_done;
ssize_t (*flextcp_connection_tx_alloc_)(struct flextcp_connection *, size_t, void **) = flextcp_connection_tx_alloc;
ssize_t (*flextcp_connection_tx_alloc2_)(struct flextcp_connection *, size_t, void **, size_t *, void **) = flextcp_connection_tx_alloc2;
int (*flextcp_connection_tx_close_)(struct flextcp_context *, struct flextcp_connection *) = flextcp_connection_tx_close;
int (*flextcp_connection_tx_possible_)(struct flextcp_context *, struct flextcp_connection *) = flextcp_connection_tx_possible;
int (*flextcp_connection_tx_send_)(struct flextcp_context *, struct flextcp_connection *, size_t) = flextcp_connection_tx_send;
int (*flextcp_context_canwait_)(struct flextcp_context *) = flextcp_context_canwait;
int (*flextcp_context_create_)(struct flextcp_context *) = flextcp_context_create;
int (*flextcp_context_poll_)(struct flextcp_context *, int, struct flextcp_event *) = flextcp_context_poll;
int (*flextcp_context_tx_alloc_)(struct flextcp_context *, struct flextcp_pl_atx **, uint16_t) = flextcp_context_tx_alloc;
void (*flextcp_context_tx_done_)(struct flextcp_context *, uint16_t) = flextcp_context_tx_done;
int (*flextcp_context_wait_)(struct flextcp_context *, int) = flextcp_context_wait;
int (*flextcp_context_waitfd_)(struct flextcp_context *) = flextcp_context_waitfd;
int (*flextcp_init_)(void) = flextcp_init;
void (*flextcp_kernel_kick_)(void) = flextcp_kernel_kick;
int (*flextcp_kernel_newctx_)(struct flextcp_context *) = flextcp_kernel_newctx;
int (*flextcp_kernel_reqscale_)(struct flextcp_context *, uint32_t) = flextcp_kernel_reqscale;
int (*flextcp_listen_accept_)(struct flextcp_context *, struct flextcp_listener *, struct flextcp_connection *) = flextcp_listen_accept;
int (*flextcp_listen_open_)(struct flextcp_context *, struct flextcp_listener *, uint16_t, uint32_t, uint32_t) = flextcp_listen_open;
int (*tas_accept4_)(int, struct sockaddr *, socklen_t *, int) = tas_accept4;
int (*tas_accept_)(int, struct sockaddr *, socklen_t *) = tas_accept;
int (*tas_bind_)(int, const struct sockaddr *, socklen_t) = tas_bind;
int (*tas_close_)(int) = tas_close;
int (*tas_connect_)(int, const struct sockaddr *, socklen_t) = tas_connect;
int (*tas_dup2_)(int, int) = tas_dup2;
int (*tas_dup3_)(int, int, int) = tas_dup3;
int (*tas_dup_)(int) = tas_dup;
int (*tas_epoll_create1_)(int) = tas_epoll_create1;
int (*tas_epoll_create_)(int) = tas_epoll_create;
int (*tas_epoll_ctl_)(int, int, int, struct epoll_event *) = tas_epoll_ctl;
int (*tas_epoll_pwait_)(int, struct epoll_event *, int, int, const sigset_t *) = tas_epoll_pwait;
int (*tas_epoll_wait_)(int, struct epoll_event *, int, int) = tas_epoll_wait;
int (*tas_fcntl_)(int, int, ...) = tas_fcntl;
int (*tas_getpeername_)(int, struct sockaddr *, socklen_t *) = tas_getpeername;
int (*tas_getsockname_)(int, struct sockaddr *, socklen_t *) = tas_getsockname;
int (*tas_getsockopt_)(int, int, int, void *, socklen_t *) = tas_getsockopt;
int (*tas_init_)(void) = tas_init;
int (*tas_listen_)(int, int) = tas_listen;
int (*tas_move_conn_)(int) = tas_move_conn;
int (*tas_poll_)(struct pollfd *, nfds_t, int) = tas_poll;
int (*tas_ppoll_)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *) = tas_ppoll;
int (*tas_pselect_)(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *) = tas_pselect;
int (*tas_select_)(int, fd_set *, fd_set *, fd_set *, struct timeval *) = tas_select;
int (*tas_setsockopt_)(int, int, int, const void *, socklen_t) = tas_setsockopt;
int (*tas_shutdown_)(int, int) = tas_shutdown;
int (*tas_socket_)(int, int, int) = tas_socket;
ssize_t (*tas_pread_)(int, void *, size_t, off_t) = tas_pread;
ssize_t (*tas_pwrite_)(int, const void *, size_t, off_t) = tas_pwrite;
ssize_t (*tas_read_)(int, void *, size_t) = tas_read;
ssize_t (*tas_readv_)(int, const struct iovec *, int) = tas_readv;
ssize_t (*tas_recv_)(int, void *, size_t, int) = tas_recv;
ssize_t (*tas_recvfrom_)(int, void *, size_t, int, struct sockaddr *, socklen_t *) = tas_recvfrom;
ssize_t (*tas_recvmsg_)(int, struct msghdr *, int) = tas_recvmsg;
ssize_t (*tas_send_)(int, const void *, size_t, int) = tas_send;
ssize_t (*tas_sendfile_)(int, int, off_t *, size_t) = tas_sendfile;
ssize_t (*tas_sendmsg_)(int, const struct msghdr *, int) = tas_sendmsg;
ssize_t (*tas_sendto_)(int, const void *, size_t, int, const struct sockaddr *, socklen_t) = tas_sendto;
ssize_t (*tas_write_)(int, const void *, size_t) = tas_write;
ssize_t (*tas_writev_)(int, const struct iovec *, int) = tas_writev;
void (*util_dump_mem_)(const void *, size_t) = util_dump_mem;
int (*util_parse_ipv4_)(const char *, uint32_t *) = util_parse_ipv4;
int (*util_parse_mac_)(const char *, uint64_t *) = util_parse_mac;
void (*util_timeout_arm_)(struct timeout_manager *, struct timeout *, uint32_t, uint8_t) = util_timeout_arm;
void (*util_timeout_arm_ts_)(struct timeout_manager *, struct timeout *, uint32_t, uint8_t, uint32_t) = util_timeout_arm_ts;
void (*util_timeout_disarm_)(struct timeout_manager *, struct timeout *) = util_timeout_disarm;
int (*util_timeout_init_)(struct timeout_manager *, handler, void *) = util_timeout_init;
uint32_t (*util_timeout_next_)(struct timeout_manager *, uint32_t) = util_timeout_next;
void (*util_timeout_poll_)(struct timeout_manager *) = util_timeout_poll;
void (*util_timeout_poll_ts_)(struct timeout_manager *, uint32_t) = util_timeout_poll_ts;
uint32_t (*util_timeout_time_us_)(void) = util_timeout_time_us;
void (*utils_rng_gen_)(struct utils_rng *, void *, size_t) = utils_rng_gen;
uint32_t (*utils_rng_gen32_)(struct utils_rng *) = utils_rng_gen32;
double (*utils_rng_gend_)(struct utils_rng *) = utils_rng_gend;
void (*utils_rng_init_)(struct utils_rng *, uint64_t) = utils_rng_init;
