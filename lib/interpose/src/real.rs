//! The functions that this library stands in front of: the next ones in the
//! search order of the dynamic linker, which are the C library's or those of
//! another preloaded library.
//!
//! They are looked up together when the library is initialised, or when a
//! constructor that runs earlier wants a stream. Until then calls go
//! straight to the kernel. Looking one up at its first use would not do: the
//! first `read` may come from inside the initialisation of a `malloc`, which
//! holds a lock that another thread inside the dynamic linker waits for.
//!
//! Every reference of this library's own objects to one of the interposed
//! names is redirected to the function of that name here (`names.sh`), also
//! those in Rust's standard library. So descriptors of this library never
//! pass through its own interposition.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{
    FILE, epoll_event, fd_set, iovec, mmsghdr, msghdr, nfds_t, off_t, pollfd,
    sigaction as sigaction_t, sighandler_t, sigset_t, size_t, sockaddr, socklen_t, ssize_t,
    timespec, timeval,
};

use crate::raw::raw;

/// Bytes of the kernel's set of signals.
pub(crate) const KERNEL_SIGSET: usize = 8;

/// A function's place in the table: null until it is found.
struct Place {
    name: &'static CStr,
    address: &'static AtomicPtr<c_void>,
}

/// Declares functions of the C library with what to do while they are not
/// found, which is also for ever if the C library has none of that name.
macro_rules! real {
    ($($name:ident ( $($arg:ident: $kind:ty),* ) -> $result:ty = $fallback:expr;)*) => {
        $(
            #[doc = concat!("The real `", stringify!($name), "`.")]
            ///
            /// # Safety
            /// As for the function in C.
            #[unsafe(export_name = concat!("tas_real_", stringify!($name)))]
            #[allow(clippy::too_many_arguments)]
            pub(crate) unsafe extern "C-unwind" fn $name($($arg: $kind),*) -> $result {
                type Function = unsafe extern "C-unwind" fn($($kind),*) -> $result;
                let address = address::$name.load(Ordering::Relaxed);
                // SAFETY: the function of that name in the C library, or its
                // system call; the arguments are the caller's.
                unsafe {
                    if address.is_null() {
                        ($fallback) as $result
                    } else {
                        std::mem::transmute::<*mut c_void, Function>(address)($($arg),*)
                    }
                }
            }
        )*

        #[allow(non_upper_case_globals)]
        mod address {
            use super::{AtomicPtr, c_void, ptr};
            $(pub(super) static $name: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());)*
        }

        static PLACES: &[Place] = &[
            $(Place {
                name: match CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                    Ok(name) => name,
                    Err(_) => panic!("a name with a zero byte"),
                },
                address: &address::$name,
            },)*
        ];
    };
}

/// Looks for the functions and calls this one, or fails.
macro_rules! late {
    ($name:ident ( $($arg:ident),* ), $failure:expr) => {{
        find_all();
        if address::$name.load(Ordering::Relaxed).is_null() {
            set_errno(libc::ENOSYS);
            $failure
        } else {
            $name($($arg),*)
        }
    }};
}

real! {
    // Data.
    read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t = raw!(libc::SYS_read, fd, buf, len);
    write(fd: c_int, buf: *const c_void, len: size_t) -> ssize_t =
        raw!(libc::SYS_write, fd, buf, len);
    readv(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t =
        raw!(libc::SYS_readv, fd, iov, count);
    writev(fd: c_int, iov: *const iovec, count: c_int) -> ssize_t =
        raw!(libc::SYS_writev, fd, iov, count);
    pread(fd: c_int, buf: *mut c_void, len: size_t, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pread64, fd, buf, len, offset);
    pread64(fd: c_int, buf: *mut c_void, len: size_t, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pread64, fd, buf, len, offset);
    pwrite(fd: c_int, buf: *const c_void, len: size_t, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pwrite64, fd, buf, len, offset);
    pwrite64(fd: c_int, buf: *const c_void, len: size_t, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pwrite64, fd, buf, len, offset);
    preadv(fd: c_int, iov: *const iovec, count: c_int, offset: off_t) -> ssize_t =
        raw!(libc::SYS_preadv, fd, iov, count, offset);
    preadv64(fd: c_int, iov: *const iovec, count: c_int, offset: off_t) -> ssize_t =
        raw!(libc::SYS_preadv, fd, iov, count, offset);
    pwritev(fd: c_int, iov: *const iovec, count: c_int, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pwritev, fd, iov, count, offset);
    pwritev64(fd: c_int, iov: *const iovec, count: c_int, offset: off_t) -> ssize_t =
        raw!(libc::SYS_pwritev, fd, iov, count, offset);
    preadv2(fd: c_int, iov: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t =
        raw!(libc::SYS_preadv2, fd, iov, count, offset, 0, flags);
    preadv64v2(fd: c_int, iov: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t =
        raw!(libc::SYS_preadv2, fd, iov, count, offset, 0, flags);
    pwritev2(fd: c_int, iov: *const iovec, count: c_int, offset: off_t, flags: c_int) -> ssize_t =
        raw!(libc::SYS_pwritev2, fd, iov, count, offset, 0, flags);
    pwritev64v2(fd: c_int, iov: *const iovec, count: c_int, offset: off_t, flags: c_int)
        -> ssize_t = raw!(libc::SYS_pwritev2, fd, iov, count, offset, 0, flags);
    recv(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int) -> ssize_t =
        raw!(libc::SYS_recvfrom, fd, buf, len, flags, 0, 0);
    send(fd: c_int, buf: *const c_void, len: size_t, flags: c_int) -> ssize_t =
        raw!(libc::SYS_sendto, fd, buf, len, flags, 0, 0);
    recvfrom(fd: c_int, buf: *mut c_void, len: size_t, flags: c_int, from: *mut sockaddr,
        from_len: *mut socklen_t) -> ssize_t =
        raw!(libc::SYS_recvfrom, fd, buf, len, flags, from, from_len);
    sendto(fd: c_int, buf: *const c_void, len: size_t, flags: c_int, to: *const sockaddr,
        to_len: socklen_t) -> ssize_t = raw!(libc::SYS_sendto, fd, buf, len, flags, to, to_len);
    recvmsg(fd: c_int, msg: *mut msghdr, flags: c_int) -> ssize_t =
        raw!(libc::SYS_recvmsg, fd, msg, flags);
    sendmsg(fd: c_int, msg: *const msghdr, flags: c_int) -> ssize_t =
        raw!(libc::SYS_sendmsg, fd, msg, flags);
    recvmmsg(fd: c_int, msgs: *mut mmsghdr, count: c_uint, flags: c_int, timeout: *mut timespec)
        -> c_int = raw!(libc::SYS_recvmmsg, fd, msgs, count, flags, timeout);
    sendmmsg(fd: c_int, msgs: *mut mmsghdr, count: c_uint, flags: c_int) -> c_int =
        raw!(libc::SYS_sendmmsg, fd, msgs, count, flags);
    sendfile(out: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t =
        raw!(libc::SYS_sendfile, out, from, offset, len);
    sendfile64(out: c_int, from: c_int, offset: *mut off_t, len: size_t) -> ssize_t =
        raw!(libc::SYS_sendfile, out, from, offset, len);
    splice(from: c_int, from_offset: *mut off_t, to: c_int, to_offset: *mut off_t, len: size_t,
        flags: c_uint) -> ssize_t =
        raw!(libc::SYS_splice, from, from_offset, to, to_offset, len, flags);

    // Sockets.
    socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int =
        raw!(libc::SYS_socket, domain, kind, protocol);
    bind(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int =
        raw!(libc::SYS_bind, fd, addr, len);
    listen(fd: c_int, backlog: c_int) -> c_int = raw!(libc::SYS_listen, fd, backlog);
    connect(fd: c_int, addr: *const sockaddr, len: socklen_t) -> c_int =
        raw!(libc::SYS_connect, fd, addr, len);
    accept(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int =
        raw!(libc::SYS_accept, fd, addr, len);
    accept4(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int =
        raw!(libc::SYS_accept4, fd, addr, len, flags);
    shutdown(fd: c_int, how: c_int) -> c_int = raw!(libc::SYS_shutdown, fd, how);
    getsockname(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int =
        raw!(libc::SYS_getsockname, fd, addr, len);
    getpeername(fd: c_int, addr: *mut sockaddr, len: *mut socklen_t) -> c_int =
        raw!(libc::SYS_getpeername, fd, addr, len);
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t)
        -> c_int = raw!(libc::SYS_getsockopt, fd, level, name, value, len);
    setsockopt(fd: c_int, level: c_int, name: c_int, value: *const c_void, len: socklen_t)
        -> c_int = raw!(libc::SYS_setsockopt, fd, level, name, value, len);

    // Descriptors.
    close(fd: c_int) -> c_int = raw!(libc::SYS_close, fd);
    close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int =
        raw!(libc::SYS_close_range, first, last, flags);
    closefrom(first: c_int) -> () = {
        raw!(libc::SYS_close_range, first.max(0), c_uint::MAX, 0);
    };
    dup(fd: c_int) -> c_int = raw!(libc::SYS_dup, fd);
    dup2(fd: c_int, to: c_int) -> c_int = raw!(libc::SYS_dup2, fd, to);
    dup3(fd: c_int, to: c_int, flags: c_int) -> c_int = raw!(libc::SYS_dup3, fd, to, flags);
    fcntl(fd: c_int, command: c_int, arg: c_ulong) -> c_int =
        raw!(libc::SYS_fcntl, fd, command, arg);
    fcntl64(fd: c_int, command: c_int, arg: c_ulong) -> c_int =
        raw!(libc::SYS_fcntl, fd, command, arg);
    ioctl(fd: c_int, request: c_ulong, arg: c_ulong) -> c_int =
        raw!(libc::SYS_ioctl, fd, request, arg);
    syscall(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long)
        -> c_long = crate::raw::syscall(number, [a, b, c, d, e, f]);

    // Waiting. The kernel writes the time left, the C library's functions do
    // not; so it gets a copy.
    poll(fds: *mut pollfd, count: nfds_t, timeout: c_int) -> c_int =
        raw!(libc::SYS_poll, fds, count, timeout);
    ppoll(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t)
        -> c_int = with_copy(timeout, |timeout| {
            raw!(libc::SYS_ppoll, fds, count, timeout, mask, KERNEL_SIGSET)
        });
    select(count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        timeout: *mut timeval) -> c_int =
        raw!(libc::SYS_select, count, read, write, except, timeout);
    pselect(count: c_int, read: *mut fd_set, write: *mut fd_set, except: *mut fd_set,
        timeout: *const timespec, mask: *const sigset_t) -> c_int = with_copy(timeout, |timeout| {
            let signals = [mask.expose_provenance(), KERNEL_SIGSET];
            raw!(libc::SYS_pselect6, count, read, write, except, timeout, signals.as_ptr())
        });
    epoll_create(size: c_int) -> c_int = raw!(libc::SYS_epoll_create, size);
    epoll_create1(flags: c_int) -> c_int = raw!(libc::SYS_epoll_create1, flags);
    epoll_ctl(epfd: c_int, op: c_int, fd: c_int, event: *mut epoll_event) -> c_int =
        raw!(libc::SYS_epoll_ctl, epfd, op, fd, event);
    epoll_wait(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: c_int) -> c_int =
        raw!(libc::SYS_epoll_wait, epfd, events, count, timeout);
    epoll_pwait(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: c_int,
        mask: *const sigset_t) -> c_int =
        raw!(libc::SYS_epoll_pwait, epfd, events, count, timeout, mask, KERNEL_SIGSET);
    epoll_pwait2(epfd: c_int, events: *mut epoll_event, count: c_int, timeout: *const timespec,
        mask: *const sigset_t) -> c_int =
        raw!(libc::SYS_epoll_pwait2, epfd, events, count, timeout, mask, KERNEL_SIGSET);

    // Fortified variants, which end the program when `size` is less than what
    // is to be read.
    __read_chk(fd: c_int, buf: *mut c_void, len: size_t, size: size_t) -> ssize_t =
        checked(len <= size, || read(fd, buf, len));
    __recv_chk(fd: c_int, buf: *mut c_void, len: size_t, size: size_t, flags: c_int) -> ssize_t =
        checked(len <= size, || recv(fd, buf, len, flags));
    __recvfrom_chk(fd: c_int, buf: *mut c_void, len: size_t, size: size_t, flags: c_int,
        from: *mut sockaddr, from_len: *mut socklen_t) -> ssize_t =
        checked(len <= size, || recvfrom(fd, buf, len, flags, from, from_len));
    __poll_chk(fds: *mut pollfd, count: nfds_t, timeout: c_int, size: size_t) -> c_int =
        checked(fits(count, size), || poll(fds, count, timeout));
    __ppoll_chk(fds: *mut pollfd, count: nfds_t, timeout: *const timespec, mask: *const sigset_t,
        size: size_t) -> c_int =
        checked(fits(count, size), || ppoll(fds, count, timeout, mask));

    // Signals, for which the kernel would want more than the program gives.
    sigaction(number: c_int, action: *const sigaction_t, old: *mut sigaction_t) -> c_int =
        late!(sigaction(number, action, old), -1);
    signal(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(signal(number, handler), libc::SIG_ERR);
    bsd_signal(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(bsd_signal(number, handler), libc::SIG_ERR);
    ssignal(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(ssignal(number, handler), libc::SIG_ERR);
    sysv_signal(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(sysv_signal(number, handler), libc::SIG_ERR);
    __sysv_signal(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(__sysv_signal(number, handler), libc::SIG_ERR);
    sigset(number: c_int, handler: sighandler_t) -> sighandler_t =
        late!(sigset(number, handler), libc::SIG_ERR);

    // Streams, which the kernel does not know. They need memory anyway, so they
    // may look for the C library's functions themselves.
    fdopen(fd: c_int, mode: *const c_char) -> *mut FILE = late!(fdopen(fd, mode), ptr::null_mut());
    vdprintf(fd: c_int, format: *const c_char, args: *mut c_void) -> c_int =
        late!(vdprintf(fd, format, args), -1);
    __vdprintf_chk(fd: c_int, flag: c_int, format: *const c_char, args: *mut c_void) -> c_int =
        late!(__vdprintf_chk(fd, flag, format, args), -1);
}

/// Whether an array of `count` entries fits in `size` bytes.
pub(crate) fn fits(count: nfds_t, size: size_t) -> bool {
    count <= (size / size_of::<pollfd>()) as nfds_t
}

fn checked<T>(fits: bool, call: impl FnOnce() -> T) -> T {
    if !fits {
        std::process::abort();
    }
    call()
}

/// Calls with a copy of `*value`, or with null for null.
///
/// # Safety
/// `value` is null or points to a value.
unsafe fn with_copy<T: Copy, R>(value: *const T, call: impl FnOnce(*mut T) -> R) -> R {
    // SAFETY: the caller's promise.
    match unsafe { value.as_ref() }.copied() {
        Some(mut copy) => call(&raw mut copy),
        None => call(ptr::null_mut()),
    }
}

/// Finds all functions. May be called at any time and by several threads at
/// once: they find the same.
pub(crate) fn find_all() {
    for place in PLACES {
        // SAFETY: a string; looking up a symbol changes nothing of ours.
        let address = unsafe { libc::dlsym(libc::RTLD_NEXT, place.name.as_ptr()) };
        place.address.store(address, Ordering::Relaxed);
    }
    // An older C library has not all of them; the program must not hear of it.
    // SAFETY: forgets an error.
    unsafe { libc::dlerror() };
}

/// The calling thread's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is the calling thread's own and always valid.
    unsafe { *libc::__errno_location() }
}

/// Sets the calling thread's errno.
pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Whether the program runs with rights that its user does not have, so that
/// the environment is not to be trusted (getauxval(3), AT_SECURE).
pub(crate) fn is_privileged() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
