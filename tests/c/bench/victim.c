/* An application that is in the middle of things: it listens, has connections
 * open with data in flight, and waits to be killed, or leaves without a word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "stack.h"

static unsigned opened, wanted;
static bool ready_said;
static unsigned char data[65536];

static void say_ready(void)
{
  if (!ready_said && opened == wanted) {
    ready_said = true;
    printf("victim: ready\n");
    fflush(stdout);
  }
}

static void handle(struct conn *conn, enum stack_event event, int error)
{
  switch (event) {
    case STACK_OPENED:
      opened++;
      break;
    case STACK_READY:
    case STACK_ACCEPTED:
      break;
    case STACK_FAILED:
      fprintf(stderr, "victim: %s\n", strerror(error));
      conn_close(conn);
      if (!ready_said)
        exit(1);
      return;
  }
  /* As fast as it goes, and only half of what comes is taken, so that there
   * always is something in flight both ways. */
  while (conn_send(conn, data, sizeof(data)) > 0)
    conn_recv(conn, data, sizeof(data) / 2);
}

int main(int argc, char *argv[])
{
  if (argc < 5 || argc > 6) {
    fprintf(stderr, "usage: %s IP PORT CONNS LISTEN-PORT [SECONDS]\n"
            "Opens CONNS connections, listens on LISTEN-PORT (0: does not), says 'victim: ready' "
            "and goes on sending; exits abruptly after SECONDS.\n", argv[0]);
    return 2;
  }
  uint32_t ip = arg_address(argv[1]);
  uint16_t port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535);
  wanted = (unsigned)arg_number(argc, argv, 3, "CONNS", 1, 0, 65536);
  uint16_t listen_port = (uint16_t)arg_number(argc, argv, 4, "LISTEN-PORT", 0, 0, 65535);
  uint64_t seconds = arg_number(argc, argv, 5, "SECONDS", 86400, 0, 86400);
  stack_init();
  struct stack *stack = stack_new(handle, NULL, 64);
  int error = listen_port == 0 ? 0 : stack_listen(stack, listen_port, 64);
  if (error != 0) {
    fprintf(stderr, "victim: cannot listen: %s\n", strerror(error));
    return 1;
  }
  for (unsigned i = 0; i < wanted;)
    if (stack_open(stack, ip, port, NULL) != NULL)
      i++;
    else if (stack_run(stack, 1) != 0)
      return 1;
  for (uint64_t end = 0; end == 0 || now_ns() < end;) {
    say_ready();
    if (ready_said && end == 0)
      end = now_ns() + seconds * 1000000000;
    if (stack_run(stack, 10) != 0) {
      fprintf(stderr, "victim: the %s stack is gone\n", stack_name);
      return 1;
    }
  }
  _exit(0);
}
