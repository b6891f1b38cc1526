/*
 * System calls that wait, as cancellation points (pthreads(7)).
 *
 * Cancelling a thread unwinds its stack, and so does pthread_exit in a signal's
 * handler. That must not pass frames of Rust which have something to clean up.
 * So it stops here, as it does for every cleanup handler of C. The library
 * returns to its outermost function as from a call that failed, and from there,
 * where nothing of the library's is left on the stack, the unwinding goes on.
 */
#include <pthread.h>
#include <unistd.h>

/* Where the thread's unwinding stopped. */
static __thread __pthread_unwind_buf_t stopped;

/* Sets *cancelled if the thread is to end. Otherwise as syscall(2). */
long tas_cancellable_syscall(long number, const long args[6], int *cancelled)
{
    __pthread_unwind_buf_t here;
    int type;

    if (__sigsetjmp_cancel(here.__cancel_jmp_buf, 0) != 0) {
        __pthread_unregister_cancel(&here);
        stopped = here;
        *cancelled = 1;
        return -1;
    }
    __pthread_register_cancel(&here);
    /* Ends the thread at once if that was asked for before. */
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    long result = syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]);
    pthread_setcanceltype(type, NULL);
    __pthread_unregister_cancel(&here);
    return result;
}

/* The unwinding that *cancelled told of goes on. */
__attribute__((noreturn)) void tas_unwind_on(void)
{
    __pthread_unwind_next(&stopped);
}
