/* Servers that fork, on sockets, and a client that checks what they send back.
 *   forking prefork PORT CHILDREN   children accept; the parent does not
 *   forking each PORT               a child for each connection, closed by the parent
 *   forking daemon PORT             the parent accepts, forks, and ends at once
 *   forking pass PORT CHILDREN      each child sends back a part, and the next one goes on
 *   forking client IP PORT CONNECTIONS BYTES
 * Servers end when they are told to by SIGTERM. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK = 8192, CHILDREN_MAX = 64 };

static void die(const char *what)
{
  perror(what);
  exit(1);
}

/* Byte `at` of the stream of a connection. */
static unsigned char pattern(unsigned conn, uint64_t at)
{
  uint64_t word = (at + conn) * 0x9e3779b97f4a7c15u;
  return (unsigned char)(word >> 56) ^ (unsigned char)(at >> 8);
}

static int listen_on(const char *port)
{
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 128) != 0)
    die("listen");
  return fd;
}

static void listening(void)
{
  printf("listening\n");
  fflush(stdout);
}

static void send_all(int fd, const char *data, size_t len)
{
  while (len > 0) {
    ssize_t sent = write(fd, data, len);
    if (sent < 0)
      die("write");
    data += sent;
    len -= (size_t)sent;
  }
}

/* Sends back up to `most` bytes; false at the peer's end. */
static bool echo(int fd, size_t most)
{
  char data[CHUNK];

  while (most > 0) {
    ssize_t got = read(fd, data, most < sizeof data ? most : sizeof data);
    if (got < 0)
      die("read");
    if (got == 0)
      return false;
    send_all(fd, data, (size_t)got);
    most -= (size_t)got;
  }
  return true;
}

static int accept_one(int listener)
{
  int fd = accept(listener, NULL, NULL);
  if (fd < 0)
    die("accept");
  return fd;
}

/* A child that does not outlive its parent, unless that is to end. */
static pid_t child(bool outlives)
{
  pid_t pid = fork();
  if (pid < 0)
    die("fork");
  if (pid == 0 && !outlives)
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  return pid;
}

static void serve(int listener)
{
  for (;;) {
    int fd = accept_one(listener);
    echo(fd, SIZE_MAX);
    close(fd);
  }
}

static void prefork(int listener, int children)
{
  for (int i = 0; i < children; i++) {
    pid_t pid = child(false);
    if (pid == 0)
      serve(listener);
    printf("child %d\n", (int)pid);
  }
  listening();
  for (;;)
    pause();
}

static void each(int listener)
{
  signal(SIGCHLD, SIG_IGN);
  listening();
  for (;;) {
    int fd = accept_one(listener);
    if (child(false) == 0) {
      close(listener);
      echo(fd, SIZE_MAX);
      exit(0);
    }
    close(fd);
  }
}

static void as_daemon(int listener)
{
  listening();
  int fd = accept_one(listener);
  pid_t pid = child(true);
  if (pid != 0) {
    printf("child %d\n", (int)pid);
    fflush(stdout);
    _exit(0);
  }
  echo(fd, SIZE_MAX);
  close(fd);
  serve(listener);
}

/* The baton, one byte, goes round through pipes; whoever has it sends back
 * some bytes. */
static void pass(int listener, int children)
{
  int batons[CHILDREN_MAX][2];

  listening();
  int fd = accept_one(listener);
  for (int i = 0; i < children; i++)
    if (pipe(batons[i]) != 0)
      die("pipe");
  for (int i = 0; i < children; i++) {
    if (child(false) == 0) {
      char baton;
      while (read(batons[i][0], &baton, 1) == 1) {
        bool more = baton && echo(fd, 5000);
        baton = more;
        if (write(batons[(i + 1) % children][1], &baton, 1) != 1)
          die("baton");
        if (!more)
          break;
      }
      close(fd);
      exit(0);
    }
  }
  char baton = 1;
  if (write(batons[0][1], &baton, 1) != 1)
    die("baton");
  close(fd);
  for (int i = 0; i < children; i++)
    wait(NULL);
  for (;;)
    pause();
}

struct conn {
  uint64_t sent, received;
};

static void client(const char *ip, const char *port, int count, uint64_t total)
{
  struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  struct pollfd *fds = calloc((size_t)count, sizeof *fds);
  struct conn *conns = calloc((size_t)count, sizeof *conns);
  unsigned char data[CHUNK];
  int left = count;

  inet_pton(AF_INET, ip, &addr.sin_addr);
  for (int i = 0; i < count; i++) {
    fds[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    fds[i].events = POLLIN | POLLOUT;
    if (connect(fds[i].fd, (struct sockaddr *)&addr, sizeof addr) != 0)
      die("connect");
  }
  while (left > 0) {
    if (poll(fds, (nfds_t)count, 30000) <= 0)
      die("nothing came back for 30 s");
    for (int i = 0; i < count; i++) {
      struct conn *c = &conns[i];
      if (fds[i].revents & POLLOUT) {
        size_t len = total - c->sent < CHUNK ? (size_t)(total - c->sent) : CHUNK;
        for (size_t n = 0; n < len; n++)
          data[n] = pattern((unsigned)i, c->sent + n);
        ssize_t sent = send(fds[i].fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
          die("send");
        c->sent += sent > 0 ? (uint64_t)sent : 0;
        if (c->sent == total) {
          fds[i].events = POLLIN;
          shutdown(fds[i].fd, SHUT_WR);
        }
      }
      if (fds[i].revents & ~POLLOUT) {
        ssize_t got = recv(fds[i].fd, data, sizeof data, MSG_DONTWAIT);
        if (got < 0 && errno != EAGAIN)
          die("recv");
        for (ssize_t n = 0; n < got; n++)
          if (data[n] != pattern((unsigned)i, c->received + (uint64_t)n)) {
            fprintf(stderr, "connection %d: wrong byte %llu\n", i,
                    (unsigned long long)(c->received + (uint64_t)n));
            exit(1);
          }
        c->received += got > 0 ? (uint64_t)got : 0;
        if (got == 0) {
          if (c->received != total) {
            fprintf(stderr, "connection %d: end after %llu bytes\n", i,
                    (unsigned long long)c->received);
            exit(1);
          }
          close(fds[i].fd);
          fds[i].fd = -1;
          left--;
        }
      }
    }
  }
  printf("answered=%d\n", count);
  exit(0);
}

int main(int argc, char **argv)
{
  const char *mode = argc > 2 ? argv[1] : "";
  int children = argc > 3 ? atoi(argv[3]) : 0;

  if (!strcmp(mode, "client") && argc == 6)
    client(argv[2], argv[3], atoi(argv[4]), strtoull(argv[5], NULL, 10));
  if (!strcmp(mode, "prefork") && children > 0)
    prefork(listen_on(argv[2]), children);
  if (!strcmp(mode, "each"))
    each(listen_on(argv[2]));
  if (!strcmp(mode, "daemon"))
    as_daemon(listen_on(argv[2]));
  if (!strcmp(mode, "pass") && children > 0 && children <= CHILDREN_MAX)
    pass(listen_on(argv[2]), children);
  fprintf(stderr, "see the comment at the top of forking.c\n");
  return 2;
}
