//! `syscall()` with the numbers of calls that are interposed. What is not
//! about a socket of ours goes to the kernel as it came.

use std::ffi::{c_int, c_long};

use super::{data, descriptor, socket, transfer, wait};
use crate::{real, sockets};

/// A register as an argument of any type in C.
trait FromWord {
    fn from_word(word: c_long) -> Self;
}

macro_rules! integers {
    ($($kind:ty)*) => {
        $(impl FromWord for $kind {
            fn from_word(word: c_long) -> Self {
                word as $kind
            }
        })*
    };
}

integers!(i32 u32 i64 u64 usize);

impl<T> FromWord for *const T {
    fn from_word(word: c_long) -> Self {
        std::ptr::with_exposed_provenance(word as usize)
    }
}

impl<T> FromWord for *mut T {
    fn from_word(word: c_long) -> Self {
        std::ptr::with_exposed_provenance_mut(word as usize)
    }
}

fn to<T: FromWord>(word: c_long) -> T {
    T::from_word(word)
}

/// # Safety
/// As for the function in C, with as many arguments as the call has.
#[unsafe(export_name = "tas_shim_syscall")]
unsafe extern "C-unwind" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    let args = [a, b, c, d, e, f];
    // SAFETY: the caller's promise.
    unsafe {
        on_descriptor(number, args)
            .or_else(|| on_sets(number, args))
            .or_else(|| on_tables(number, args))
            .unwrap_or_else(|| real::syscall(number, a, b, c, d, e, f))
    }
}

/// Calls whose first argument is a descriptor of ours.
///
/// # Safety
/// As for the system call.
unsafe fn on_descriptor(number: c_long, args: [c_long; 6]) -> Option<c_long> {
    let [a, b, c, d, e, f] = args;
    let fd = a as c_int;
    if !takes_descriptor(number) || !sockets::is_ours(fd) {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe {
        match number {
            libc::SYS_read => data::read(fd, to(b), to(c)) as c_long,
            libc::SYS_write => data::write(fd, to(b), to(c)) as c_long,
            libc::SYS_readv => data::readv(fd, to(b), to(c)) as c_long,
            libc::SYS_writev => data::writev(fd, to(b), to(c)) as c_long,
            libc::SYS_recvfrom => data::recvfrom(fd, to(b), to(c), to(d), to(e), to(f)) as c_long,
            libc::SYS_sendto => data::sendto(fd, to(b), to(c), to(d), to(e), to(f)) as c_long,
            libc::SYS_recvmsg => data::recvmsg(fd, to(b), to(c)) as c_long,
            libc::SYS_sendmsg => data::sendmsg(fd, to(b), to(c)) as c_long,
            libc::SYS_recvmmsg => data::recvmmsg(fd, to(b), to(c), to(d), to(e)).into(),
            libc::SYS_sendmmsg => data::sendmmsg(fd, to(b), to(c), to(d)).into(),
            libc::SYS_preadv2 => data::read_vector(fd, to(b), to(c), d, to(f))? as c_long,
            libc::SYS_pwritev2 => data::write_vector(fd, to(b), to(c), d, to(f))? as c_long,
            libc::SYS_sendfile => transfer::sendfile(fd, to(b), to(c), to(d)) as c_long,
            libc::SYS_bind => socket::bind(fd, to(b), to(c)).into(),
            libc::SYS_listen => socket::listen(fd, to(b)).into(),
            libc::SYS_connect => socket::connect(fd, to(b), to(c)).into(),
            libc::SYS_accept => socket::accept(fd, to(b), to(c)).into(),
            libc::SYS_accept4 => socket::accept4(fd, to(b), to(c), to(d)).into(),
            libc::SYS_shutdown => socket::shutdown(fd, to(b)).into(),
            libc::SYS_getsockname => socket::getsockname(fd, to(b), to(c)).into(),
            libc::SYS_getpeername => socket::getpeername(fd, to(b), to(c)).into(),
            libc::SYS_getsockopt => socket::getsockopt(fd, to(b), to(c), to(d), to(e)).into(),
            libc::SYS_setsockopt => socket::setsockopt(fd, to(b), to(c), to(d), to(e)).into(),
            libc::SYS_close => descriptor::close(fd).into(),
            libc::SYS_dup => descriptor::dup(fd).into(),
            libc::SYS_fcntl => descriptor::fcntl(fd, to(b), to(c)).into(),
            libc::SYS_ioctl => descriptor::ioctl(fd, to(b), to(c)).into(),
            libc::SYS_epoll_ctl => wait::epoll_ctl(fd, to(b), to(c), to(d)).into(),
            libc::SYS_epoll_wait => wait::epoll_wait(fd, to(b), to(c), to(d)).into(),
            libc::SYS_epoll_pwait => wait::epoll_pwait(fd, to(b), to(c), to(d), to(e)).into(),
            libc::SYS_epoll_pwait2 => wait::epoll_pwait2(fd, to(b), to(c), to(d), to(e)).into(),
            _ => return None,
        }
    })
}

fn takes_descriptor(number: c_long) -> bool {
    matches!(
        number,
        libc::SYS_read
            | libc::SYS_write
            | libc::SYS_readv
            | libc::SYS_writev
            | libc::SYS_recvfrom
            | libc::SYS_sendto
            | libc::SYS_recvmsg
            | libc::SYS_sendmsg
            | libc::SYS_recvmmsg
            | libc::SYS_sendmmsg
            | libc::SYS_preadv2
            | libc::SYS_pwritev2
            | libc::SYS_sendfile
            | libc::SYS_bind
            | libc::SYS_listen
            | libc::SYS_connect
            | libc::SYS_accept
            | libc::SYS_accept4
            | libc::SYS_shutdown
            | libc::SYS_getsockname
            | libc::SYS_getpeername
            | libc::SYS_getsockopt
            | libc::SYS_setsockopt
            | libc::SYS_close
            | libc::SYS_dup
            | libc::SYS_fcntl
            | libc::SYS_ioctl
            | libc::SYS_epoll_ctl
            | libc::SYS_epoll_wait
            | libc::SYS_epoll_pwait
            | libc::SYS_epoll_pwait2
    )
}

/// Calls on several descriptors, one of which is ours. The kernel leaves the
/// time that is left in the caller's structure; here it stays as it was, which
/// the manual allows for.
///
/// # Safety
/// As for the system call.
unsafe fn on_sets(number: c_long, args: [c_long; 6]) -> Option<c_long> {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller's promise.
    unsafe {
        match number {
            libc::SYS_poll if wait::any_polled(to(a), to(b)) => {
                Some(wait::poll(to(a), to(b), to(c)).into())
            }
            libc::SYS_ppoll if wait::any_polled(to(a), to(b)) => {
                Some(wait::ppoll(to(a), to(b), to(c), to(d)).into())
            }
            libc::SYS_select if wait::any_selected(to(a), [to(b), to(c), to(d)]) => {
                Some(wait::select(to(a), to(b), to(c), to(d), to(e)).into())
            }
            libc::SYS_pselect6 if wait::any_selected(to(a), [to(b), to(c), to(d)]) => {
                // A mask and its length, by reference.
                let signals: *const *const libc::sigset_t = to(f);
                let mask = signals.as_ref().copied().unwrap_or(std::ptr::null());
                Some(wait::pselect(to(a), to(b), to(c), to(d), to(e), mask).into())
            }
            libc::SYS_splice if sockets::is_ours(to(a)) || sockets::is_ours(to(c)) => {
                Some(transfer::splice(to(a), to(b), to(c), to(d), to(e), to(f)) as c_long)
            }
            _ => None,
        }
    }
}

/// Calls that make descriptors, or change several.
///
/// # Safety
/// As for the system call.
unsafe fn on_tables(number: c_long, args: [c_long; 6]) -> Option<c_long> {
    let [a, b, c, ..] = args;
    // SAFETY: the caller's promise.
    Some(unsafe {
        match number {
            libc::SYS_socket => socket::socket(to(a), to(b), to(c)).into(),
            libc::SYS_epoll_create => wait::epoll_create(to(a)).into(),
            libc::SYS_epoll_create1 => wait::epoll_create1(to(a)).into(),
            libc::SYS_dup2 => descriptor::dup2(to(a), to(b)).into(),
            libc::SYS_dup3 => descriptor::dup3(to(a), to(b), to(c)).into(),
            libc::SYS_close_range => descriptor::close_range(to(a), to(b), to(c)).into(),
            _ => return None,
        }
    })
}
