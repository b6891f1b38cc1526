//! Sets of contexts.

use tas_ll::service;

use crate::engine::{self, HOMES, HomeId};

/// A set of contexts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HomeSet(u32);

// One bit for each.
const _: () = assert!(HOMES <= u32::BITS);

/// Room for all contexts.
pub type HomeList = [HomeId; HOMES as usize];

impl HomeSet {
    /// The set with these bits.
    pub const fn from_bits(bits: u32) -> HomeSet {
        HomeSet(bits)
    }

    /// Its bits, the lowest for context 0.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of one context.
    pub fn only(home: HomeId) -> HomeSet {
        HomeSet(1u32.checked_shl(home.0).unwrap_or(0))
    }

    /// Adds a context.
    pub fn insert(&mut self, home: HomeId) {
        *self = self.union(HomeSet::only(home));
    }

    /// Those in either.
    #[must_use]
    pub const fn union(self, other: HomeSet) -> HomeSet {
        HomeSet(self.0 | other.0)
    }

    /// Those that may still tell something: none without the service.
    #[must_use]
    pub fn served(self) -> HomeSet {
        match service::check_alive() {
            Ok(()) => self,
            Err(_) => HomeSet::default(),
        }
    }

    /// The contexts, lowest first.
    pub fn iter(self) -> impl Iterator<Item = HomeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let lowest = (rest != 0).then(|| rest.trailing_zeros())?;
            rest &= rest - 1;
            Some(HomeId(lowest))
        })
    }

    /// The contexts, in `room`.
    pub fn list(self, room: &mut HomeList) -> &[HomeId] {
        let mut count = 0;
        for (place, home) in room.iter_mut().zip(self.iter()) {
            *place = home;
            count += 1;
        }
        room.get(..count).unwrap_or_default()
    }

    /// Takes what the service has to tell in all of them. Whoever is told of it
    /// has been told when this returns.
    #[inline]
    pub fn poll(self) {
        for home in self.iter() {
            if let Some(mut home) = engine::lock(home) {
                home.poll();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_lists_what_was_inserted_in_order() {
        let mut set = HomeSet::default();
        for home in [31, 0, 7, 7] {
            set.insert(HomeId(home));
        }
        let mut room = [HomeId(0); HOMES as usize];
        assert_eq!(set.list(&mut room), [HomeId(0), HomeId(7), HomeId(31)]);
    }
}
