/*
 * What Rust cannot define: functions with any number of arguments, and streams
 * whose descriptor is told by fileno().
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
#include <wchar.h>

/* Rust's (src/ffi, src/real.rs). */
int tas_shim_fcntl(int fd, int command, unsigned long arg);
int tas_shim_ioctl(int fd, unsigned long request, unsigned long arg);
long tas_shim_syscall(long number, long a, long b, long c, long d, long e, long f);
bool tas_shim_is_ours(int fd);
int tas_shim_close(int fd);
ssize_t tas_shim_read(int fd, void *buf, size_t len);
ssize_t tas_shim_write(int fd, const void *buf, size_t len);
/* Descriptor 0, 1 or 2 was made anew, a socket of ours or something else. */
void tas_shim_standard_stream(int fd, bool ours);
FILE *tas_real_fdopen(int fd, const char *mode);
int tas_real_vdprintf(int fd, const char *format, va_list args);
int tas_real___vdprintf_chk(int fd, int flag, const char *format, va_list args);

/* The build gives these the names of the C library (names.sh). */
int tas_interpose_fcntl(int fd, int command, ...);
int tas_interpose_ioctl(int fd, unsigned long request, ...);
long tas_interpose_syscall(long number, ...);
FILE *tas_interpose_fdopen(int fd, const char *mode);
int tas_interpose_vdprintf(int fd, const char *format, va_list args);
int tas_interpose_dprintf(int fd, const char *format, ...);
int tas_interpose___vdprintf_chk(int fd, int flag, const char *format, va_list args);
int tas_interpose___dprintf_chk(int fd, int flag, const char *format, ...);

/* Arguments that the caller did not give are read and not used, as in libc. */

int tas_interpose_fcntl(int fd, int command, ...)
{
    va_list args;
    va_start(args, command);
    unsigned long arg = va_arg(args, unsigned long);
    va_end(args);
    return tas_shim_fcntl(fd, command, arg);
}

int tas_interpose_fcntl64(int fd, int command, ...) __attribute__((alias("tas_interpose_fcntl")));

int tas_interpose_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    va_start(args, request);
    unsigned long arg = va_arg(args, unsigned long);
    va_end(args);
    return tas_shim_ioctl(fd, request, arg);
}

long tas_interpose_syscall(long number, ...)
{
    va_list args;
    va_start(args, number);
    long a = va_arg(args, long);
    long b = va_arg(args, long);
    long c = va_arg(args, long);
    long d = va_arg(args, long);
    long e = va_arg(args, long);
    long f = va_arg(args, long);
    va_end(args);
    return tas_shim_syscall(number, a, b, c, d, e, f);
}

/* --- Streams -------------------------------------------------------------- */

/*
 * The C library's streams call the kernel directly. One on a socket of ours
 * is made of functions; the descriptor is its cookie.
 */

static int of_cookie(void *cookie)
{
    return (int)(long)cookie;
}

static ssize_t stream_read(void *cookie, char *buf, size_t len)
{
    return tas_shim_read(of_cookie(cookie), buf, len);
}

static ssize_t stream_write(void *cookie, const char *buf, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t sent = tas_shim_write(of_cookie(cookie), buf + done, len - done);
        if (sent < 0)
            break;
        done += (size_t)sent;
    }
    return (ssize_t)done;
}

static int stream_close(void *cookie)
{
    return tas_shim_close(of_cookie(cookie));
}

static FILE *open_stream(int fd, const char *mode, cookie_close_function_t *close)
{
    cookie_io_functions_t functions = {
        .read = stream_read,
        .write = stream_write,
        .close = close,
    };
    FILE *stream = fopencookie((void *)(long)fd, mode, functions);
    /* For fileno(), which has no function of its own. */
    if (stream != NULL)
        stream->_fileno = fd;
    return stream;
}

FILE *tas_interpose_fdopen(int fd, const char *mode)
{
    if (!tas_shim_is_ours(fd))
        return tas_real_fdopen(fd, mode);
    return open_stream(fd, mode, stream_close);
}

/*
 * The standard streams are variables: while descriptor 0, 1 or 2 is a socket
 * of ours, they name streams made of functions.
 */

static struct standard {
    FILE **variable;
    const char *mode;
    FILE *librarys;
    FILE *ours;
} standard[] = {
    [STDIN_FILENO] = {.variable = &stdin, .mode = "r"},
    [STDOUT_FILENO] = {.variable = &stdout, .mode = "w"},
    [STDERR_FILENO] = {.variable = &stderr, .mode = "w"},
};

static int standard_close(void *cookie)
{
    struct standard *stream = &standard[of_cookie(cookie)];
    if (*stream->variable == stream->ours)
        *stream->variable = stream->librarys;
    stream->ours = NULL;
    return stream_close(cookie);
}

static FILE *open_standard(int fd)
{
    FILE *stream = open_stream(fd, standard[fd].mode, standard_close);
    if (stream != NULL && fd == STDERR_FILENO) {
        setvbuf(stream, NULL, _IONBF, 0);
        /* To one without orientation, perror() writes past it. */
        fwide(stream, -1);
    }
    return stream;
}

/* By lines, or not at all, as setvbuf(3) has said; a stream without a buffer has one byte. */
static void keep_buffering(FILE *from, FILE *to)
{
    if (__flbf(from))
        setvbuf(to, NULL, _IOLBF, 0);
    else if (__fbufsize(from) == 1)
        setvbuf(to, NULL, _IONBF, 0);
}

/* What waits to be written goes where the descriptor goes. */
static void move_pending(FILE *from, FILE *to)
{
    size_t len = __fpending(from);
    if (len == 0)
        return;
    fwrite(from->_IO_write_base, 1, len, to);
    __fpurge(from);
}

void tas_shim_standard_stream(int fd, bool ours)
{
    struct standard *stream = &standard[fd];
    FILE *now = *stream->variable;
    if (stream->librarys == NULL)
        stream->librarys = now;
    if (ours && stream->ours == NULL)
        stream->ours = open_standard(fd);
    FILE *next = ours ? stream->ours : stream->librarys;
    /* One that the program has put there stays. */
    bool known = now == stream->librarys || now == stream->ours;
    if (!known || next == NULL || next == now)
        return;
    keep_buffering(now, next);
    move_pending(now, next);
    *stream->variable = next;
}

/* Prints to a socket of ours. */
static int print(int fd, const char *format, va_list args)
{
    char *text;
    int len = vasprintf(&text, format, args);
    if (len < 0)
        return len;
    ssize_t done = stream_write((void *)(long)fd, text, (size_t)len);
    free(text);
    return done == len ? len : -1;
}

static int print_any(int fd, const char *format, va_list args)
{
    return tas_shim_is_ours(fd) ? print(fd, format, args) : tas_real_vdprintf(fd, format, args);
}

static int print_any_chk(int fd, int flag, const char *format, va_list args)
{
    return tas_shim_is_ours(fd) ? print(fd, format, args)
                                : tas_real___vdprintf_chk(fd, flag, format, args);
}

int tas_interpose_vdprintf(int fd, const char *format, va_list args)
{
    return print_any(fd, format, args);
}

int tas_interpose_dprintf(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = print_any(fd, format, args);
    va_end(args);
    return len;
}

int tas_interpose___vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
    return print_any_chk(fd, flag, format, args);
}

int tas_interpose___dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int len = print_any_chk(fd, flag, format, args);
    va_end(args);
    return len;
}
