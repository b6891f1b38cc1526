/* Opens one connection and tells what came of it, and after how long. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "stack.h"

static int outcome = -1;

static void handle(struct conn *conn, enum stack_event event, int error)
{
  if (outcome < 0)
    outcome = event == STACK_FAILED ? error : 0;
  if (event != STACK_READY)
    conn_close(conn);
}

int main(int argc, char *argv[])
{
  if (argc != 4) {
    fprintf(stderr, "usage: %s IP PORT TIMEOUT-MS\n", argv[0]);
    return 2;
  }
  uint32_t ip = arg_address(argv[1]);
  uint16_t port = (uint16_t)arg_number(argc, argv, 2, "PORT", 0, 1, 65535);
  uint64_t timeout_ms = arg_number(argc, argv, 3, "TIMEOUT-MS", 0, 1, 3600000);
  stack_init();
  struct stack *stack = stack_new(handle, NULL, 8);
  uint64_t begin = now_ns();
  if (stack_open(stack, ip, port, NULL) == NULL) {
    perror("probe: open");
    return 1;
  }
  while (outcome < 0 && now_ns() - begin < timeout_ms * 1000000)
    if (stack_run(stack, 10) != 0) {
      printf("probe: the stack is gone\n");
      return 1;
    }
  uint64_t ms = (now_ns() - begin) / 1000000;
  if (outcome < 0)
    printf("probe: no answer after %llu ms\n", (unsigned long long)ms);
  else
    printf("probe: errno=%d (%s) after %llu ms\n", outcome, strerror(outcome),
           (unsigned long long)ms);
  return outcome < 0 ? 1 : 0;
}
