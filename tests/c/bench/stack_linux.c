/* stack.h on Linux sockets. */
#define _GNU_SOURCE
#include "stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"

struct linux_conn {
  struct conn base;
  int fd;
  /* What a failed call left, for STACK_FAILED. */
  int error;
  bool opening;
  bool ended;
  bool finished;
  bool failed;
  bool released;
  struct linux_conn *free_next;
};

struct stack {
  int epoll;
  int listener;
  stack_handler handler;
  void *user;
  struct epoll_event *events;
  unsigned max_events;
  /* Freed once no event of the batch can name them. */
  struct linux_conn *released;
};

const char *const stack_name = "Linux";

static void die(const char *what)
{
  perror(what);
  exit(1);
}

/* As many descriptors as connections may be asked for, or as many as may be. */
static void raise_file_limit(void)
{
  struct rlimit allowed, files = { .rlim_cur = 140000, .rlim_max = 140000 };
  if (getrlimit(RLIMIT_NOFILE, &allowed) != 0)
    return;
  if (allowed.rlim_max < files.rlim_max && setrlimit(RLIMIT_NOFILE, &files) == 0)
    return;
  allowed.rlim_cur = allowed.rlim_max;
  setrlimit(RLIMIT_NOFILE, &allowed);
}

void stack_init(void)
{
  signal(SIGPIPE, SIG_IGN);
  raise_file_limit();
}

struct stack *stack_new(stack_handler handler, void *user, unsigned max_events)
{
  struct stack *s = checked(calloc(1, sizeof(*s)));
  s->handler = handler;
  s->user = user;
  s->listener = -1;
  s->max_events = max_events == 0 ? 1 : max_events;
  s->events = checked(calloc(s->max_events, sizeof(*s->events)));
  s->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (s->epoll < 0)
    die("epoll");
  return s;
}

void *stack_user(const struct stack *s)
{
  return s->user;
}

static int new_socket(void)
{
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  return fd;
}

int stack_listen(struct stack *s, uint16_t port, unsigned backlog)
{
  int one = 1;
  struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port) };
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
  s->listener = new_socket();
  if (s->listener < 0)
    return errno;
  setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  setsockopt(s->listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
  if (bind(s->listener, (struct sockaddr *)&addr, sizeof(addr)) != 0
      || listen(s->listener, (int)backlog) != 0
      || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->listener, &event) != 0)
    return errno;
  return 0;
}

static struct linux_conn *conn_new(struct stack *s, int fd, void *user)
{
  struct linux_conn *c = checked(calloc(1, sizeof(*c)));
  struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                               .data.ptr = c };
  c->base.user = user;
  c->base.stack = s;
  c->fd = fd;
  if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    die("epoll_ctl");
  return c;
}

struct conn *stack_open(struct stack *s, uint32_t ip, uint16_t port, void *user)
{
  struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(ip) };
  int fd = new_socket();
  if (fd < 0)
    die("socket");
  int error = connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 ? 0 : errno;
  struct linux_conn *c = conn_new(s, fd, user);
  c->opening = true;
  /* What fails at once is told as if it had taken a moment. */
  if (error != 0 && error != EINPROGRESS) {
    c->error = error;
    shutdown(fd, SHUT_RDWR);
  }
  return &c->base;
}

static void accept_all(struct stack *s)
{
  for (;;) {
    int one = 1;
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    s->handler(&conn_new(s, fd, NULL)->base, STACK_ACCEPTED, 0);
  }
}

static void ready(struct stack *s, struct linux_conn *c, uint32_t events)
{
  socklen_t len = sizeof(c->error);
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && c->error == 0)
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &c->error, &len);
  if (c->error == 0 && c->opening) {
    if ((events & EPOLLOUT) == 0)
      return;
    c->opening = false;
    s->handler(&c->base, STACK_OPENED, 0);
  }
  if (!c->released && c->error == 0)
    s->handler(&c->base, STACK_READY, 0);
  if (!c->released && !c->failed && c->error != 0) {
    c->failed = true;
    s->handler(&c->base, STACK_FAILED, c->error);
  }
}

int stack_run(struct stack *s, int timeout_ms)
{
  int n = epoll_wait(s->epoll, s->events, (int)s->max_events, timeout_ms);
  for (int i = 0; i < n; i++) {
    struct linux_conn *c = s->events[i].data.ptr;
    if (c == NULL)
      accept_all(s);
    else if (!c->released)
      ready(s, c, s->events[i].events);
  }
  while (s->released != NULL) {
    struct linux_conn *c = s->released;
    s->released = c->free_next;
    free(c);
  }
  return n < 0 && errno != EINTR ? -1 : 0;
}

static size_t moved(struct linux_conn *c, ssize_t n)
{
  if (n >= 0)
    return (size_t)n;
  if (errno != EAGAIN && errno != EINTR)
    c->error = errno;
  return 0;
}

size_t conn_recv(struct conn *conn, void *buf, size_t len)
{
  struct linux_conn *c = (struct linux_conn *)conn;
  if (len == 0 || c->ended || c->error != 0)
    return 0;
  ssize_t n = recv(c->fd, buf, len, 0);
  if (n == 0)
    c->ended = true;
  return moved(c, n);
}

size_t conn_send(struct conn *conn, const void *buf, size_t len)
{
  struct linux_conn *c = (struct linux_conn *)conn;
  if (len == 0 || c->error != 0)
    return 0;
  return moved(c, send(c->fd, buf, len, MSG_NOSIGNAL));
}

bool conn_ended(const struct conn *conn)
{
  return ((const struct linux_conn *)conn)->ended;
}

void conn_finish(struct conn *conn)
{
  struct linux_conn *c = (struct linux_conn *)conn;
  c->finished = true;
  shutdown(c->fd, SHUT_WR);
}

void conn_close(struct conn *conn)
{
  struct linux_conn *c = (struct linux_conn *)conn;
  struct linger reset = { .l_onoff = 1, .l_linger = 0 };
  if (!c->finished || !c->ended)
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  close(c->fd);
  c->released = true;
  c->free_next = conn->stack->released;
  conn->stack->released = c;
}
