//! What interposition uses of the sockets library.

use std::ffi::c_int;

use tas_sockets::{close, create, engine, table};

/// Whether a descriptor is a socket of which nobody knows yet whether it will
/// be TAS's or the kernel's.
pub(crate) use create::is_undecided;
/// Whether the tables are this process's, not its parent's.
pub(crate) use create::owns_tables;
/// Whether a descriptor is one of the sockets library's: a socket, decided or
/// not, an epoll, or one that the library keeps for itself. Two loads.
pub(crate) use table::is_ours;
pub(crate) use table::{all, any, is_protected};
/// Runs what must not be disturbed by handlers of signals, nor by the end of the
/// thread.
pub(crate) use tas_sockets::ffi::call::undisturbed;
pub(crate) use tas_sockets::ffi::calls::{
    tas_accept, tas_accept4, tas_bind, tas_close, tas_connect, tas_dup, tas_dup2, tas_dup3,
    tas_getpeername, tas_getsockname, tas_listen, tas_shutdown, tas_socket,
};
pub(crate) use tas_sockets::ffi::data::{
    tas_read, tas_readv, tas_recv, tas_send, tas_write, tas_writev,
};

pub(crate) use tas_sockets::ffi::messages::{tas_recvfrom, tas_recvmsg, tas_sendmsg, tas_sendto};
pub(crate) use tas_sockets::ffi::options::{tas_fcntl, tas_getsockopt, tas_ioctl, tas_setsockopt};
pub(crate) use tas_sockets::ffi::poll::{
    tas_epoll_create1, tas_epoll_ctl, tas_epoll_pwait, tas_epoll_pwait2, tas_epoll_wait, tas_poll,
    tas_ppoll, tas_pselect, tas_select,
};
pub(crate) use tas_sockets::ffi::transfer::tas_sendfile;
/// Whether a program can have that many bytes at an address.
pub(crate) use tas_sockets::ffi::user::in_reach;

/// The undecided socket is the kernel's from now on.
pub(crate) fn release(fd: c_int) {
    // Another thread may have decided otherwise; then that holds.
    let _ = close::release(fd);
}

/// Attaches to the service.
///
/// # Errors
/// Why that is not possible.
pub(crate) fn attach() -> Result<(), String> {
    let (attached, reasons) = tas_ll::service::overhear(engine::attach);
    attached.map_err(|errno| {
        reasons
            .into_iter()
            .next()
            .unwrap_or_else(|| errno.to_string())
    })
}
