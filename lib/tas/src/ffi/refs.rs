//! Connections and listeners that the caller allocated.

use std::ptr::NonNull;

use tas_abi::ll::{FlextcpConnection, FlextcpListener};

macro_rules! caller_object {
    ($(#[$doc:meta])* $name:ident, $object:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(NonNull<$object>);

        impl $name {
            /// The object at `ptr`, unless that is null.
            ///
            /// The library's rule for callers, and so its invariant: an object
            /// stays valid and in one thread's hands from the call that names
            /// it until the event that ends its use.
            pub fn new(ptr: *mut $object) -> Option<Self> {
                NonNull::new(ptr).map(Self)
            }

            /// The object whose name the service echoes, unless that is null.
            pub(crate) fn from_opaque(opaque: u64) -> Option<Self> {
                Self::new(std::ptr::with_exposed_provenance_mut(usize::try_from(opaque).ok()?))
            }

            /// The object's name in messages.
            pub fn opaque(self) -> u64 {
                self.0.as_ptr().expose_provenance() as u64
            }

            /// The object's address.
            pub fn as_ptr(self) -> *mut $object {
                self.0.as_ptr()
            }

            /// Works on the object. `f` must not reach the same object in
            /// another way.
            #[inline]
            pub fn with<R>(self, f: impl FnOnce(&mut $object) -> R) -> R {
                // SAFETY: valid by the invariant of `new`; the reference ends
                // with `f`, and no `f` calls `with` or `set` again.
                f(unsafe { &mut *self.0.as_ptr() })
            }

            /// Overwrites the object, whose bytes may be uninitialised.
            pub(crate) fn set(self, value: $object) {
                // SAFETY: valid by the invariant of `new`, and writable.
                unsafe { self.0.write(value) }
            }
        }
    };
}

caller_object!(
    /// A connection in the caller's memory.
    ConnRef,
    FlextcpConnection
);
caller_object!(
    /// A listener in the caller's memory.
    ListenerRef,
    FlextcpListener
);
