//! Sets of descriptors as bits (select(2)), looked at as poll(2) does.

use std::cell::Cell;
use std::ffi::c_int;

use libc::pollfd;
use rustix::io::Errno;

use crate::ffi::events::Mask;
use crate::wait::{Until, pollfd};
use crate::{Result, poll, table};

/// Descriptors in a word.
const WORD: usize = u64::BITS as usize;

/// What makes a descriptor readable, as far as one asks for it.
const READ: i16 = libc::POLLIN | libc::POLLRDNORM | libc::POLLRDBAND;
/// Writable.
const WRITE: i16 = libc::POLLOUT | libc::POLLWRNORM | libc::POLLWRBAND;
/// Exceptional.
const EXCEPT: i16 = libc::POLLPRI;

/// The sets of a call, as the program gave them, each of as many words; `None`
/// for one that it does not give.
pub struct Sets<'a> {
    /// To be read.
    pub read: Option<&'a mut [u64]>,
    /// To be written.
    pub write: Option<&'a mut [u64]>,
    /// To be looked at for urgent bytes.
    pub except: Option<&'a mut [u64]>,
}

/// How many words hold `count` descriptors.
pub fn words(count: usize) -> usize {
    count.div_ceil(WORD)
}

fn has(set: Option<&[u64]>, fd: usize) -> bool {
    let word = set.and_then(|set| set.get(fd / WORD)).copied();
    word.unwrap_or(0) >> (fd % WORD) & 1 == 1
}

thread_local! {
    static ENTRIES: Cell<Vec<pollfd>> = const { Cell::new(Vec::new()) };
}

impl Sets<'_> {
    fn events(&self, fd: usize) -> i16 {
        let mut events = 0;
        for (set, bits) in [
            (&self.read, READ),
            (&self.write, WRITE),
            (&self.except, EXCEPT),
        ] {
            if has(set.as_deref(), fd) {
                events |= bits;
            }
        }
        events
    }

    /// Whether any of the first `count` descriptors is in a set and ours.
    /// Otherwise the kernel alone is to be asked.
    pub fn any_ours(&self, count: usize) -> bool {
        (0..words(count)).any(|word| {
            let sets = [&self.read, &self.write, &self.except];
            let mut bits = sets
                .into_iter()
                .filter_map(|set| set.as_deref()?.get(word))
                .fold(0, |bits, word| bits | word);
            while bits != 0 {
                let fd = word * WORD + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if fd < count && c_int::try_from(fd).is_ok_and(table::is_ours) {
                    return true;
                }
            }
            false
        })
    }

    fn clear(&mut self) {
        for set in [&mut self.read, &mut self.write, &mut self.except] {
            if let Some(set) = set.as_deref_mut() {
                set.fill(0);
            }
        }
    }

    /// Puts a descriptor into the sets for which it is ready, and returns how many.
    fn put(&mut self, entry: &pollfd) -> usize {
        let Ok(fd) = usize::try_from(entry.fd) else {
            return 0;
        };
        // As the kernel's POLLIN_SET and POLLOUT_SET.
        let ready = [
            (READ, READ | libc::POLLHUP | libc::POLLERR),
            (WRITE, WRITE | libc::POLLERR),
            (EXCEPT, EXCEPT),
        ];
        let sets = [&mut self.read, &mut self.write, &mut self.except];
        let mut count = 0;
        for (set, (asked, told)) in sets.into_iter().zip(ready) {
            if entry.events & asked == asked
                && entry.revents & told != 0
                && let Some(word) = set.as_deref_mut().and_then(|set| set.get_mut(fd / WORD))
            {
                *word |= 1 << (fd % WORD);
                count += 1;
            }
        }
        count
    }
}

/// Waits until one of the first `count` descriptors is ready for what it is
/// asked for, as pselect(2), and returns for how many things.
///
/// # Errors
/// As pselect(2).
pub fn select(count: usize, mut sets: Sets<'_>, until: Until, mask: Mask) -> Result<usize> {
    // A thread that is about to end makes a new one.
    let mut entries = ENTRIES.try_with(Cell::take).unwrap_or_default();
    entries.clear();
    for fd in 0..count {
        let events = sets.events(fd);
        if events != 0 {
            entries.push(pollfd(c_int::try_from(fd).unwrap_or(-1), events));
        }
    }
    let polled = poll::poll(&mut entries, until, mask);
    let selected = polled.and_then(|_| {
        if entries.iter().any(|e| e.revents & libc::POLLNVAL != 0) {
            return Err(Errno::BADF);
        }
        sets.clear();
        Ok(entries.iter().map(|entry| sets.put(entry)).sum())
    });
    // As above.
    let _ = ENTRIES.try_with(|kept| kept.set(entries));
    selected
}
