//! A value of atomics that lies in shared memory, where others read it.

use std::fmt;
use std::io;
use std::mem::needs_drop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use zerocopy::FromBytes;

use crate::owned::Claim;
use crate::region::Mapping;

/// A value in a mapping that other processes at most read, or in private memory. Clones are the
/// same value.
pub struct Placed<T> {
    value: NonNull<T>,
    _keep: Arc<Keep<T>>,
}

/// What keeps the value alive.
enum Keep<T> {
    Mapped {
        _claim: Claim,
        _mapping: Arc<Mapping>,
    },
    Private(NonNull<T>),
}

// SAFETY: the value is reached by shared references only, as through an `Arc`.
unsafe impl<T: Sync + Send> Send for Placed<T> {}
// SAFETY: as for Send.
unsafe impl<T: Sync + Send> Sync for Placed<T> {}

impl<T: FromBytes> Placed<T> {
    /// The value at byte `at` of a mapping, as it is there.
    ///
    /// No other process may write the mapped file; see that its permissions say so.
    ///
    /// # Errors
    /// `InvalidInput` if the mapping is read-only, too short or misaligned for `T`; `AddrInUse` if
    /// this process claimed part of it already.
    pub fn map(mapping: &Arc<Mapping>, at: u64) -> io::Result<Placed<T>> {
        const { assert!(!needs_drop::<T>()) };
        let len = size_of::<T>() as u64;
        let value = mapping.place(at, len)?.cast::<T>();
        if !value.is_aligned() || !mapping.is_writable() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(Placed {
            value,
            _keep: Arc::new(Keep::Mapped {
                _claim: Claim::new(mapping, at, len)?,
                _mapping: Arc::clone(mapping),
            }),
        })
    }
}

impl<T> Placed<T> {
    /// A value that no other process sees.
    pub fn private(value: T) -> Placed<T> {
        let value = NonNull::from(Box::leak(Box::new(value)));
        Placed {
            value,
            _keep: Arc::new(Keep::Private(value)),
        }
    }
}

impl<T> Clone for Placed<T> {
    fn clone(&self) -> Placed<T> {
        Placed {
            value: self.value,
            _keep: Arc::clone(&self._keep),
        }
    }
}

impl<T> Deref for Placed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: in bounds and aligned, kept alive by `_keep`, valid for any bytes or made from a
        // value; nobody has it mutably, since the stretch is claimed.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Default> Default for Placed<T> {
    fn default() -> Placed<T> {
        Placed::private(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::fmt(self, f)
    }
}

impl<T> Drop for Keep<T> {
    fn drop(&mut self) {
        if let Keep::Private(value) = self {
            // SAFETY: from Box::leak in `private`; the last clone is going.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::Backing;

    #[derive(FromBytes, Default)]
    #[repr(C)]
    struct Two([AtomicU64; 2]);

    #[test]
    fn others_see_what_is_counted() {
        let file = Backing::memfd("placed", 4096, false).unwrap();
        let mapping = Arc::new(Mapping::new(file.fd(), 4096, true).unwrap());
        mapping.store_u64(72, 5).unwrap();
        let placed = Placed::<Two>::map(&mapping, 64).unwrap();
        let clone = placed.clone();
        clone.0[1].fetch_add(1, Ordering::Relaxed);
        assert_eq!(placed.0[1].load(Ordering::Relaxed), 6);
        assert!(mapping.load_u64(72).is_err(), "claimed");
        assert!(Placed::<Two>::map(&mapping, 72).is_err());
        drop(placed);
        assert!(mapping.load_u64(72).is_err(), "still claimed");
        drop(clone);
        assert_eq!(mapping.load_u64(72), Ok(6));
        for at in [4088, 4096, 65, u64::MAX] {
            assert!(Placed::<Two>::map(&mapping, at).is_err(), "{at}");
        }
        let read_only = Arc::new(Mapping::new(file.fd(), 4096, false).unwrap());
        assert!(Placed::<Two>::map(&read_only, 64).is_err());
    }

    #[test]
    fn private_values_live_as_long_as_their_clones() {
        let one = Placed::private(Two::default());
        let other = one.clone();
        drop(one);
        other.0[0].store(3, Ordering::Relaxed);
        assert_eq!(other.0[0].load(Ordering::Relaxed), 3);
        assert_eq!(Placed::private(String::from("text")).len(), 4);
    }
}
