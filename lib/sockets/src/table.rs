//! Which descriptors are ours, and what they name.

use std::ffi::c_int;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::epoll::{EPOLLS, Epoll};
use crate::socket::{SOCKETS, Socket};

/// Descriptors in a chunk of the table.
const CHUNK: usize = 4096;
/// Chunks: more descriptors than the kernel gives to a process by default (`fs.nr_open`).
const CHUNKS: usize = 256;
/// Set in the entries of epolls.
const EPOLL: u32 = 1 << 31;
/// The entry of a descriptor that this library keeps for itself: to programs it is as if closed.
const PROTECTED: u32 = u32::MAX;

static TABLE: [OnceLock<&'static [AtomicU32]>; CHUNKS] = [const { OnceLock::new() }; CHUNKS];

/// Whether any descriptor was ever entered.
static USED: AtomicBool = AtomicBool::new(false);

/// What a descriptor of ours names.
#[derive(Clone, Copy)]
pub enum Object {
    /// A socket.
    Socket(&'static Socket),
    /// An epoll.
    Epoll(&'static Epoll),
}

/// The entry of a descriptor, if its chunk exists. Loads only.
#[inline]
fn entry(fd: c_int) -> Option<&'static AtomicU32> {
    let fd = usize::try_from(fd).ok()?;
    let chunk = TABLE.get(fd / CHUNK)?.get()?;
    chunk.get(fd % CHUNK)
}

#[inline]
fn word(fd: c_int) -> u32 {
    entry(fd).map_or(0, |entry| entry.load(Ordering::Acquire))
}

/// Whether the descriptor is ours. Two loads: no lock, system call or allocation.
#[inline]
pub fn is_ours(fd: c_int) -> bool {
    word(fd) != 0
}

/// Whether the descriptor names a socket.
#[inline]
pub fn is_socket(fd: c_int) -> bool {
    // What is protected has the bit, too.
    matches!(word(fd), 1..EPOLL)
}

/// Whether any descriptor is ours, or was.
#[inline]
pub fn any() -> bool {
    USED.load(Ordering::Acquire)
}

/// What the descriptor names.
#[inline]
pub fn get(fd: c_int) -> Option<Object> {
    let word = word(fd);
    let number = (word & !EPOLL).checked_sub(1)?;
    if word == PROTECTED {
        None
    } else if word & EPOLL == 0 {
        SOCKETS.get(number).map(Object::Socket)
    } else {
        EPOLLS.get(number).map(Object::Epoll)
    }
}

/// The socket that the descriptor names.
#[inline]
pub fn socket(fd: c_int) -> Option<&'static Socket> {
    match get(fd)? {
        Object::Socket(socket) => Some(socket),
        Object::Epoll(_) => None,
    }
}

/// The epoll that the descriptor names.
pub fn epoll(fd: c_int) -> Option<&'static Epoll> {
    match get(fd)? {
        Object::Epoll(epoll) => Some(epoll),
        Object::Socket(_) => None,
    }
}

/// Whether the descriptor names this socket: asked again once it is locked.
#[inline]
pub fn names(fd: c_int, socket: &Socket) -> bool {
    word(fd) == socket.number() + 1
}

/// Enters a descriptor, whose former entry is returned. `false`: beyond the table.
pub fn set(fd: c_int, object: Object) -> bool {
    let word = match object {
        Object::Socket(socket) => socket.number() + 1,
        Object::Epoll(epoll) => (epoll.number() + 1) | EPOLL,
    };
    enter(fd, word)
}

/// Keeps a descriptor for this library: programs that close all descriptors do not close this one.
pub fn protect(fd: c_int) {
    enter(fd, PROTECTED);
}

/// The descriptor is kept no more, if it was.
pub fn unprotect(fd: c_int) {
    if let Some(entry) = entry(fd) {
        // Another entry stays.
        let _ = entry.compare_exchange(PROTECTED, 0, Ordering::AcqRel, Ordering::Relaxed);
    }
}

/// Nothing is kept for this library any more.
pub fn unprotect_all() {
    for chunk in TABLE.iter().filter_map(OnceLock::get) {
        for entry in *chunk {
            // An entry that has changed meanwhile is not protected any more.
            let _ = entry.compare_exchange(PROTECTED, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
    }
}

/// Whether the descriptor is kept for this library.
pub fn is_protected(fd: c_int) -> bool {
    word(fd) == PROTECTED
}

fn enter(fd: c_int, word: u32) -> bool {
    let Some(chunk) = usize::try_from(fd)
        .ok()
        .and_then(|fd| TABLE.get(fd / CHUNK))
    else {
        return false;
    };
    chunk.get_or_init(|| {
        let entries: Vec<AtomicU32> = (0..CHUNK).map(|_| AtomicU32::new(0)).collect();
        Box::leak(entries.into_boxed_slice())
    });
    entry(fd).is_some_and(|entry| {
        USED.store(true, Ordering::Release);
        entry.store(word, Ordering::Release);
        true
    })
}

/// Takes a descriptor out. What it named is returned to exactly one caller.
pub fn clear(fd: c_int) -> Option<Object> {
    let object = get(fd)?;
    let was = entry(fd)?.swap(0, Ordering::AcqRel);
    (was != 0).then_some(object)
}

/// All descriptors of ours.
pub fn all() -> impl Iterator<Item = c_int> {
    let chunks = TABLE.iter().enumerate();
    chunks.flat_map(|(index, chunk)| {
        let entries = chunk.get().copied().unwrap_or(&[]);
        let used = entries.iter().enumerate();
        used.filter(|(_, entry)| entry.load(Ordering::Acquire) != 0)
            .map(move |(at, _)| (index * CHUNK + at) as c_int)
    })
}
