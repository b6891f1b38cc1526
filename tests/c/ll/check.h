/* Tests as functions, each in a process of its own. */
#ifndef LL_CHECK_H_
#define LL_CHECK_H_

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) {                                                        \
      printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                   \
      fflush(stdout);                                                          \
      _exit(1);                                                                \
    }                                                                          \
  } while (0)

struct test {
  const char *name;
  void (*run)(void);
};

#define TEST(function) {#function, function}

/* Runs the tests and says how they went; the program's exit status. */
static inline int run_tests(const struct test *tests, size_t num)
{
  unsigned passed = 0, failed = 0;
  size_t i;
  int status;
  pid_t pid;

  for (i = 0; i < num; i++) {
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
      alarm(20);
      tests[i].run();
      _exit(0);
    }
    if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status)
        && WEXITSTATUS(status) == 0) {
      passed++;
      continue;
    }
    failed++;
    printf("FAIL %s (status %#x)\n", tests[i].name, status);
  }
  printf("%u passed, %u failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

#define RUN_TESTS(tests) run_tests(tests, sizeof(tests) / sizeof((tests)[0]))

#endif
