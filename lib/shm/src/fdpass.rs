//! Unix sockets: descriptors in messages, who is calling, abstract addresses.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr;

/// The kernel's limit on descriptors in one message (SCM_MAX_FD).
const MAX_FDS: usize = 253;
const BACKLOG: libc::c_int = 4096;
/// Descriptors out of the way are in the last eighth below this, or below the process's limit.
const HIGH_NUMBERS: RawFd = 4096;

/// What one receive call brought.
#[derive(Debug)]
pub struct Received {
    /// Bytes stored; 0 with a nonempty buffer means that the peer closed.
    pub len: usize,
    /// Descriptors, in the sender's order, closed on exec.
    pub fds: Vec<OwnedFd>,
    /// Whether more descriptors came than were asked for; those are closed.
    pub truncated: bool,
}

/// The process at the other end, as the kernel knows it.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct PeerCred {
    /// Process id, 0 if outside this pid namespace.
    pub pid: u32,
    /// Effective user id at connect time.
    pub uid: u32,
    /// Effective group id at connect time.
    pub gid: u32,
}

/// Gives a descriptor a high number, closed on exec: programs expect the lowest number that they
/// have not used themselves, and move to numbers of their choice. It stays where it is when that
/// fails.
pub fn out_of_the_way(fd: OwnedFd) -> OwnedFd {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: fills in a live structure.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    let numbers = RawFd::try_from(limit.rlim_cur).unwrap_or(RawFd::MAX);
    // Not higher than need be: the kernel's table of descriptors grows with it.
    let lowest = numbers.min(HIGH_NUMBERS) / 8 * 7;
    // SAFETY: a descriptor that is owned here, duplicated into one that is owned too.
    unsafe {
        match libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) {
            high if high >= 0 => OwnedFd::from_raw_fd(high),
            _ => fd,
        }
    }
}

/// Room for control messages, aligned as their headers must be.
struct Control {
    words: Vec<u64>,
    len: usize,
}

impl Control {
    fn for_fds(count: usize) -> io::Result<Control> {
        if count > MAX_FDS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if count == 0 {
            return Ok(Control {
                words: Vec::new(),
                len: 0,
            });
        }
        // SAFETY: computes a length and has no preconditions.
        let len = unsafe { libc::CMSG_SPACE((count * size_of::<RawFd>()) as u32) } as usize;
        Ok(Control {
            words: vec![0; len.div_ceil(size_of::<u64>())],
            len,
        })
    }

    fn message(&mut self, part: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: msghdr is integers and pointers, for which zeros are valid.
        let mut message: libc::msghdr = unsafe { zeroed() };
        message.msg_iov = part;
        message.msg_iovlen = 1;
        if self.len > 0 {
            message.msg_control = self.words.as_mut_ptr().cast();
            message.msg_controllen = self.len as _;
        }
        message
    }
}

/// Sends bytes, and descriptors with the first of them. Returns how many bytes
/// went; the descriptors went if any did. Never raises SIGPIPE.
///
/// # Errors
/// `InvalidInput` for more than 253 descriptors, or descriptors without bytes;
/// else what sendmsg reports.
pub fn send_with_fds(
    sock: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
) -> io::Result<usize> {
    if bytes.is_empty() && !fds.is_empty() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut control = Control::for_fds(fds.len())?;
    let mut part = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let message = control.message(&mut part);
    if !fds.is_empty() {
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let payload = size_of::<RawFd>() * raw.len();
        // SAFETY: the control buffer has room for one header and `payload`
        // bytes, so the first header exists and its data takes them.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(payload as u32) as _;
            ptr::copy_nonoverlapping(raw.as_ptr().cast(), libc::CMSG_DATA(header), payload);
        }
    }
    retry(|| {
        // SAFETY: `message` points at buffers that live until the end of this
        // function; sendmsg only reads them.
        unsafe { libc::sendmsg(sock.as_raw_fd(), &message, libc::MSG_NOSIGNAL) }
    })
}

/// Receives bytes, and at most `max_fds` descriptors with them.
///
/// # Errors
/// `InvalidInput` for more than 253 descriptors; else what recvmsg reports.
pub fn recv_with_fds(sock: BorrowedFd<'_>, buf: &mut [u8], max_fds: usize) -> io::Result<Received> {
    let mut control = Control::for_fds(max_fds)?;
    let mut part = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    let mut message = control.message(&mut part);
    let len = retry(|| {
        // SAFETY: `message` points at buffers that live until the end of this
        // function and whose lengths it states.
        unsafe { libc::recvmsg(sock.as_raw_fd(), &mut message, libc::MSG_CMSG_CLOEXEC) }
    })?;
    let mut fds = take_fds(&message);
    let cut = message.msg_flags & libc::MSG_CTRUNC != 0;
    // Padding of the control buffer may have let one more through.
    let truncated = cut || fds.len() > max_fds;
    fds.truncate(max_fds);
    Ok(Received {
        len,
        fds,
        truncated,
    })
}

/// Takes over every descriptor in a received message, so that none leaks.
fn take_fds(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: the kernel filled the control buffer; the CMSG macros walk it
    // within the length it stored, and every descriptor in it is new and ours.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while let Some(current) = header.as_ref() {
            if (current.cmsg_level, current.cmsg_type) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                let payload = current.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as usize);
                let data = libc::CMSG_DATA(header).cast::<RawFd>();
                for index in 0..payload / size_of::<RawFd>() {
                    fds.push(OwnedFd::from_raw_fd(data.add(index).read_unaligned()));
                }
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    fds
}

/// Writes all of `bytes` to a descriptor that this process was given by number, as a
/// supervisor's for telling readiness.
pub fn write_to_fd(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: reads live bytes; a number that is no descriptor gives EBADF.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    match usize::try_from(written) {
        Ok(written) if written == bytes.len() => Ok(()),
        Ok(_) => Err(io::ErrorKind::WriteZero.into()),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Asks the kernel who is at the other end of a connected unix socket.
pub fn peer_cred(sock: BorrowedFd<'_>) -> io::Result<PeerCred> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: a live struct of the option's type, and its length.
    let result = unsafe {
        libc::getsockopt(
            sock.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &mut len,
        )
    };
    check(result)?;
    Ok(PeerCred {
        pid: cred.pid.unsigned_abs(),
        uid: cred.uid,
        gid: cred.gid,
    })
}

/// Listens on the abstract address `name` (its leading zero byte may be left
/// out), padded with zero bytes to the whole of `sun_path`.
pub fn abstract_listen(name: &[u8]) -> io::Result<UnixListener> {
    let address = abstract_address(name)?;
    let sock = stream_socket()?;
    // SAFETY: a live address of the length given.
    check(unsafe { libc::bind(sock.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) })?;
    // SAFETY: no pointers involved.
    check(unsafe { libc::listen(sock.as_raw_fd(), BACKLOG) })?;
    Ok(sock.into())
}

/// Connects to an address as [`abstract_listen`] makes them.
pub fn abstract_connect(name: &[u8]) -> io::Result<UnixStream> {
    let address = abstract_address(name)?;
    let sock = stream_socket()?;
    retry(|| {
        // SAFETY: a live address of the length given.
        unsafe {
            libc::connect(sock.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) as isize
        }
    })?;
    Ok(sock.into())
}

const ADDRESS_LEN: libc::socklen_t = size_of::<libc::sockaddr_un>() as libc::socklen_t;

fn abstract_address(name: &[u8]) -> io::Result<libc::sockaddr_un> {
    // SAFETY: sockaddr_un is integers, for which zeros are valid.
    let mut address: libc::sockaddr_un = unsafe { zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let name = name.strip_prefix(b"\0").unwrap_or(name);
    if name.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (place, &byte) in address.sun_path.iter_mut().skip(1).zip(name) {
        *place = byte as libc::c_char;
    }
    Ok(address)
}

fn stream_socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers involved.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: a descriptor just made and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        match usize::try_from(call()) {
            Ok(count) => return Ok(count),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "fdpass_tests.rs"]
mod tests;
