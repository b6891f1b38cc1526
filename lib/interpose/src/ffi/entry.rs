//! How a call on one descriptor finds its way.

use std::ffi::c_int;

use crate::{real, sockets};

/// Whether a call on what was a socket of ours found that it is not any more:
/// another thread has closed it or given it to the kernel meanwhile.
#[cold]
pub(super) fn is_stale(fd: c_int) -> bool {
    real::errno() == libc::EBADF && !sockets::is_ours(fd)
}

/// Declares interposed functions whose first argument is the descriptor, with
/// the function for sockets of ours, and one through which the result goes.
macro_rules! by_descriptor {
    ($($name:ident ( $fd:ident: c_int $(, $arg:ident: $kind:ty)* ) -> $result:ty
        => $ours:ident $(, then $then:path)?;)*) => {
        $(
            /// # Safety
            /// As for the function in C.
            #[unsafe(export_name = concat!("tas_interpose_", stringify!($name)))]
            pub(super) unsafe extern "C-unwind" fn $name(
                $fd: ::std::ffi::c_int $(, $arg: $kind)*
            ) -> $result {
                // SAFETY: the caller's promise.
                unsafe {
                    if $crate::sockets::is_ours($fd) {
                        let result = $crate::sockets::$ours($fd $(, $arg)*);
                        if result != -1 || !$crate::ffi::entry::is_stale($fd) {
                            return $($then)? (result);
                        }
                    }
                    $($then)? ($crate::real::$name($fd $(, $arg)*))
                }
            }
        )*
    };
}

pub(super) use by_descriptor;
