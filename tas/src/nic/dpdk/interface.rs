//! The kernel interface under a port.

use std::ffi::{CStr, CString, c_char};
use std::mem;

/// MTU of an interface of this network namespace, by its index, in bytes.
pub(super) fn mtu_by_index(index: u32) -> Option<usize> {
    let mut name = [0 as c_char; libc::IF_NAMESIZE];
    // SAFETY: if_indextoname writes a terminated name of at most IF_NAMESIZE bytes, or gives NULL.
    let found = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if index == 0 || found.is_null() {
        return None;
    }
    // SAFETY: the call succeeded, so the name is terminated; it is not changed any more.
    mtu(unsafe { CStr::from_ptr(name.as_ptr()) })
}

/// The same by its name.
pub(super) fn mtu_by_name(name: &str) -> Option<usize> {
    mtu(&CString::new(name).ok()?)
}

fn mtu(name: &CStr) -> Option<usize> {
    // SAFETY: an all-zero ifreq is valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    let bytes = name.to_bytes();
    // One byte less, so that the name stays terminated.
    let place = request
        .ifr_name
        .split_last_mut()?
        .1
        .get_mut(..bytes.len())?;
    for (to, &from) in place.iter_mut().zip(bytes) {
        *to = from as c_char;
    }
    // SAFETY: the ioctl reads the name and writes ifru_mtu, which is read only when it succeeded;
    // the socket is closed on every way out.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return None;
        }
        let ret = libc::ioctl(socket, libc::SIOCGIFMTU, &raw mut request);
        libc::close(socket);
        if ret != 0 {
            return None;
        }
        usize::try_from(request.ifr_ifru.ifru_mtu).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_has_an_mtu_and_what_does_not_exist_has_none() {
        assert!(mtu_by_name("lo").is_some_and(|mtu| mtu >= 1500));
        assert_eq!(mtu_by_index(1), mtu_by_name("lo"));
        assert_eq!(mtu_by_index(0), None);
        for name in ["", "no-such-if", "lo\0", "a-name-longer-than-any-interface"] {
            assert_eq!(mtu_by_name(name), None, "{name:?}");
        }
    }
}
