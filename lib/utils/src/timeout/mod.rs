//! Timeouts that lie in their owner's memory, linked into lists by due time.
//!
//! The clock counts microseconds in 32 bits and wraps after 71 minutes. So
//! times are compared relative to now: the last 18 minutes are the
//! past, all else is the future.

use core::ffi::c_void;
use core::ptr::NonNull;

#[allow(unsafe_code)]
mod ffi;

/// A timeout; while armed it lies on a list of its manager.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Timeout {
    /// Type given when it was armed.
    pub timeout_type: u32,
    /// When it is due, in microseconds.
    pub timeout_due: u32,
    /// Next on the list.
    pub next: Option<NonNull<Timeout>>,
    /// Previous on the list.
    pub prev: Option<NonNull<Timeout>>,
}

const _: () = {
    assert!(size_of::<Timeout>() == 24 && align_of::<Timeout>() == 8);
    assert!(core::mem::offset_of!(Timeout, timeout_type) == 0);
    assert!(core::mem::offset_of!(Timeout, next) == 8);
    assert!(core::mem::offset_of!(Timeout, prev) == 16);
};

/// A set of timeouts and the function that handles them.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct TimeoutManager {
    /// First armed timeout, the one due next.
    pub timeouts_first: Option<NonNull<Timeout>>,
    /// Last armed timeout.
    pub timeouts_last: Option<NonNull<Timeout>>,
    /// First timeout that is due and waits for the handler.
    pub due_first: Option<NonNull<Timeout>>,
    /// Last timeout that is due and waits for the handler.
    pub due_last: Option<NonNull<Timeout>>,
    /// Called once for every timeout that is due.
    pub handler:
        Option<unsafe extern "C" fn(timeout: *mut Timeout, r#type: u8, opaque: *mut c_void)>,
    /// Passed to the handler.
    pub handler_opaque: *mut c_void,
}

const _: () = {
    assert!(size_of::<TimeoutManager>() == 48 && align_of::<TimeoutManager>() == 8);
    assert!(core::mem::offset_of!(TimeoutManager, due_first) == 16);
    assert!(core::mem::offset_of!(TimeoutManager, handler) == 32);
};

/// Longest time in microseconds by which a timeout may be overdue (18 minutes).
const OVERDUE_MAX: u32 = 1 << 30;
/// Longest timeout in microseconds (53 minutes); longer ones are shortened.
const TIMEOUT_MAX: u32 = u32::MAX - OVERDUE_MAX;

/// Position of `time` on a scale whose start is the earliest past.
const fn key(time: u32, now: u32) -> u32 {
    time.wrapping_sub(now.wrapping_sub(OVERDUE_MAX))
}

/// The memory that timeouts lie in.
pub trait Links {
    /// Names a timeout.
    type Id: Copy + PartialEq;

    /// When it is due.
    fn due(&self, id: Self::Id) -> u32;
    /// The one after it on its list.
    fn next(&self, id: Self::Id) -> Option<Self::Id>;
    /// The one before it on its list.
    fn prev(&self, id: Self::Id) -> Option<Self::Id>;
    /// Sets when it is due.
    fn set_due(&mut self, id: Self::Id, due: u32);
    /// Sets the one after it.
    fn set_next(&mut self, id: Self::Id, next: Option<Self::Id>);
    /// Sets the one before it.
    fn set_prev(&mut self, id: Self::Id, prev: Option<Self::Id>);
}

/// Ends of a doubly linked list.
#[derive(Clone, Copy, Debug)]
pub struct List<Id> {
    /// First element.
    pub first: Option<Id>,
    /// Last element.
    pub last: Option<Id>,
}

/// Armed timeouts, and those taken from them that wait for the handler.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts<Id> {
    /// Sorted by due time.
    pub armed: List<Id>,
    /// In the order in which they were due.
    pub due: List<Id>,
}

impl<Id: Copy + PartialEq> List<Id> {
    /// No elements.
    pub const fn new() -> Self {
        Self {
            first: None,
            last: None,
        }
    }

    fn insert_after(&mut self, links: &mut impl Links<Id = Id>, before: Option<Id>, id: Id) {
        let after = match before {
            Some(before) => links.next(before),
            None => self.first,
        };
        links.set_prev(id, before);
        links.set_next(id, after);
        match before {
            Some(before) => links.set_next(before, Some(id)),
            None => self.first = Some(id),
        }
        match after {
            Some(after) => links.set_prev(after, Some(id)),
            None => self.last = Some(id),
        }
    }

    fn remove(&mut self, links: &mut impl Links<Id = Id>, id: Id) {
        let (prev, next) = (links.prev(id), links.next(id));
        match prev {
            Some(prev) => links.set_next(prev, next),
            None => self.first = next,
        }
        match next {
            Some(next) => links.set_prev(next, prev),
            None => self.last = prev,
        }
        links.set_next(id, None);
        links.set_prev(id, None);
    }
}

impl<Id: Copy + PartialEq> Default for List<Id> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Id: Copy + PartialEq> Timeouts<Id> {
    /// No timeouts.
    pub const fn new() -> Self {
        Self {
            armed: List::new(),
            due: List::new(),
        }
    }

    /// Arms `id`, which is not armed, to be due in `us` microseconds. Among
    /// those due at the same time the one armed first comes first.
    pub fn arm(&mut self, links: &mut impl Links<Id = Id>, id: Id, us: u32, now: u32) {
        let due = now.wrapping_add(us.min(TIMEOUT_MAX));
        links.set_due(id, due);
        let mut before = self.armed.last;
        while let Some(other) = before
            && key(links.due(other), now) > key(due, now)
        {
            before = links.prev(other);
        }
        self.armed.insert_after(links, before, id);
    }

    /// Disarms `id`; nothing happens if it was handled or disarmed before.
    pub fn disarm(&mut self, links: &mut impl Links<Id = Id>, id: Id) {
        // Only the ends of the lists tell them apart, and only there does it
        // matter: elements within a list leave its ends alone.
        let at_end_of = |list: &List<Id>| list.first == Some(id) || list.last == Some(id);
        let linked = links.next(id).is_some() || links.prev(id).is_some();
        if at_end_of(&self.due) {
            self.due.remove(links, id);
        } else if linked || at_end_of(&self.armed) {
            self.armed.remove(links, id);
        }
    }

    /// Moves the timeouts that are due at `now` to the list of those due.
    pub fn expire(&mut self, links: &mut impl Links<Id = Id>, now: u32) {
        while let Some(id) = self.armed.first
            && key(links.due(id), now) <= OVERDUE_MAX
        {
            self.armed.remove(links, id);
            let last = self.due.last;
            self.due.insert_after(links, last, id);
        }
    }

    /// Takes the next timeout for the handler.
    pub fn pop_due(&mut self, links: &mut impl Links<Id = Id>) -> Option<Id> {
        let id = self.due.first?;
        self.due.remove(links, id);
        Some(id)
    }

    /// Microseconds until a timeout is due.
    pub fn until_next(&self, links: &impl Links<Id = Id>, now: u32) -> Option<u32> {
        if self.due.first.is_some() {
            return Some(0);
        }
        let due = links.due(self.armed.first?);
        Some(key(due, now).saturating_sub(OVERDUE_MAX))
    }
}

impl<Id: Copy + PartialEq> Default for Timeouts<Id> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
