/*
 * What tested programs print: only facts that are the same at every run and on
 * every stack. No ports, times, descriptors or sizes of buffers.
 */
#ifndef TEST_H
#define TEST_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "peer.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define SA(addr) ((struct sockaddr *) (addr))

/* Prints an expression and its value, and errno's name if that is negative. */
#define R(expr) report(#expr, (errno = 0, (long) (expr)))
/* The same where any value that is not negative is as good, as of descriptors. */
#define OK(expr) report_ok(#expr, (errno = 0, (long) (expr)))
long report(const char *what, long value);
long report_ok(const char *what, long value);

void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Says why, and ends the program with status 1. */
void die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

const char *error_name(int error);
/* Names of POLL* bits, which have the values of the EPOLL* bits. */
const char *bits(unsigned events);

/* Port `n` (0 to 63) of those that this program has for itself. */
uint16_t own_port(int n);
struct sockaddr_in address(const char *ip, uint16_t port);
/* Of this machine and of the peer's. */
struct sockaddr_in here(uint16_t port);
struct sockaddr_in there(uint16_t port);
const char *own_ip(void);
const char *peer_ip(void);
/* `own`, `peer`, `any`, `loopback` or the address, and `:0` or `:port`. */
const char *place(const struct sockaddr_in *addr);

/* TCP sockets; each ends the program if it cannot be had. */
int tcp(void);
int listener_on(uint16_t port, int backlog);
/* A connection to the peer, whose number is stored: by us, and by the peer. */
int connect_peer(int *peer_socket);
int accept_peer(int listener, uint16_t port, int *peer_socket);
/* By us, not blocking. */
int connect_peer_nonblocking(int *peer_socket);
void set_nonblocking(int fd);

/* The poll bits of a socket now, and once some of `events` are there. */
unsigned events_now(int fd);
unsigned wait_events(int fd, unsigned events);
/* Waits until that many bytes can be received. */
void wait_bytes(int fd, int count);

/* Bytes of the pattern that the peer sends and expects (peer.c). */
void fill(unsigned char *bytes, size_t count, unsigned long position);
int is_pattern(const unsigned char *bytes, size_t count, unsigned long position);
/* All of it, blocking or not; the program ends if that fails. */
void send_all(int fd, unsigned long position, size_t count);
/* Receives up to `count` bytes or the end; how many came, -1 if wrong ones. */
long receive_all(int fd, unsigned long position, size_t count);

long now_ms(void);
void sleep_ms(long ms);
/* `in time` if that many milliseconds have passed since `start`, and not
 * seconds more; otherwise how many have. */
const char *took(long start, long ms);
/* CPU time that the process has used, in milliseconds. */
long cpu_ms(void);

/* What a call in another thread came to, to be printed by the main thread. */
struct outcome {
    long value;
    int error;
};
#define OUTCOME(expr) outcome_of((errno = 0, (long) (expr)))
struct outcome outcome_of(long value);
void say_outcome(const char *what, struct outcome outcome);

/* Runs that in a thread; ends the program if it cannot. */
pthread_t in_thread(void *(*body)(void *), void *arg);
/* Installs a handler that counts in `signals_seen`. */
void count_signal(int number, int flags);
extern volatile sig_atomic_t signals_seen;
/* Sends a signal to a thread in some milliseconds. */
void signal_later(pthread_t thread, int number, int ms);

#endif
