//! Getting the CPU at once after a sleep.
//!
//! Where somebody else runs, a thread that wakes up waits until the kernel takes the other's slice
//! for used up, which it looks at when its clock ticks, every 1 to 10 ms. A thread with shorter
//! slices need not wait, unless it has used more than its share of the CPU (sched_setattr(2),
//! since Linux 6.12). But such a thread hardly gives way to one with longer slices when it yields
//! to it, so whoever polls together with others needs slices like theirs. So a thread asks for
//! short ones when it goes to sleep, and goes back to its own before it yields.

use std::mem::{MaybeUninit, size_of};

/// Nanoseconds of a short slice: the shortest that the kernel grants.
const SHORT: u64 = 100_000;
/// The first and smallest version of `struct sched_attr`, which has all that concerns slices.
const SIZE: u32 = 48;

/// The slices of the calling thread, which is always the same.
#[derive(Debug, Default)]
pub struct Slices {
    /// What to go back to, while they are short.
    own: Option<Attributes>,
}

/// `struct sched_attr` of linux/sched/types.h, as its first version was.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// The slice, of a thread with an ordinary policy; 0 where the kernel has no such thing.
    runtime: u64,
    deadline: u64,
    period: u64,
}

const _: () = assert!(size_of::<Attributes>() == SIZE as usize);

impl Slices {
    /// Those that the thread has.
    pub const fn new() -> Slices {
        Slices { own: None }
    }

    /// Makes them short. Does nothing where that is not possible, or makes no difference.
    pub fn shorten(&mut self) {
        if self.own.is_some() {
            return;
        }
        let Some(own) = Attributes::get() else {
            return;
        };
        let ordinary = own.policy == libc::SCHED_OTHER.unsigned_abs();
        if ordinary && own.runtime > SHORT && own.with_slice(SHORT).set() {
            self.own = Some(own);
        }
    }

    /// Makes them as they were before.
    #[inline]
    pub fn restore(&mut self) {
        if let Some(own) = self.own.take() {
            own.come_back();
        }
    }
}

impl Attributes {
    fn get() -> Option<Attributes> {
        let mut attributes = MaybeUninit::<Attributes>::zeroed();
        // SAFETY: the kernel writes at most SIZE bytes to a live place of that size.
        let got =
            unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attributes.as_mut_ptr(), SIZE, 0) };
        // SAFETY: all bytes are initialized, and any are a valid value.
        (got == 0).then(|| unsafe { attributes.assume_init() })
    }

    fn with_slice(self, ns: u64) -> Attributes {
        Attributes {
            runtime: ns,
            ..self
        }
    }

    #[cold]
    fn come_back(self) {
        // Somebody may have given the thread another nice value meanwhile, or another policy, which
        // has no such slices.
        if let Some(now) = Attributes::get()
            && now.policy == self.policy
        {
            now.with_slice(self.runtime).set();
        }
    }

    fn set(&self) -> bool {
        // SAFETY: the kernel reads as many bytes as the live value says that it has.
        let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const *self, 0) };
        set == 0
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// In a thread of its own, as it changes the thread.
    fn alone(test: impl FnOnce() + Send + 'static) {
        std::thread::spawn(test).join().unwrap();
    }

    #[test]
    fn short_slices_end_with_those_of_before() {
        alone(|| {
            let before = Attributes::get().unwrap();
            if before.runtime == 0 {
                eprintln!("this kernel has no slices of a thread's own");
            }
            let mut slices = Slices::new();
            for _ in 0..2 {
                slices.shorten();
                slices.shorten();
                let short = before.with_slice(before.runtime.min(SHORT));
                assert_eq!(Attributes::get(), Some(short));
                slices.restore();
                slices.restore();
                assert_eq!(Attributes::get(), Some(before));
            }
        });
    }

    #[test]
    fn nice_values_of_others_are_kept() {
        alone(|| {
            let before = Attributes::get().unwrap();
            let mut slices = Slices::new();
            slices.shorten();
            let nicer = before.nice.saturating_add(1).min(19);
            let now = Attributes::get().unwrap();
            assert!(Attributes { nice: nicer, ..now }.set());
            slices.restore();
            let after = Attributes::get().unwrap();
            assert_eq!((after.nice, after.runtime), (nicer, before.runtime));
        });
    }

    #[test]
    fn policies_of_others_are_kept() {
        alone(|| {
            let mut slices = Slices::new();
            slices.shorten();
            let now = Attributes::get().unwrap();
            let idle = Attributes {
                policy: libc::SCHED_IDLE.unsigned_abs(),
                ..now
            };
            assert!(idle.set());
            slices.restore();
            assert_eq!(Attributes::get().unwrap().policy, idle.policy);
        });
    }

    #[test]
    fn other_policies_are_left_alone() {
        alone(|| {
            let before = Attributes::get().unwrap();
            let batch = Attributes {
                policy: libc::SCHED_BATCH.unsigned_abs(),
                ..before
            };
            assert!(batch.set());
            let batch = Attributes::get();
            let mut slices = Slices::new();
            slices.shorten();
            assert_eq!(Attributes::get(), batch);
            slices.restore();
            assert_eq!(Attributes::get(), batch);
        });
    }
}
