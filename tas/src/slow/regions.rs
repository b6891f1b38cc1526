//! The regions of applications: mapped into the arena when they come, gone when they go.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use tas_shm::{Arena, Backing, ShmOffset};

use super::alloc::Allocator;
use crate::memory::ArenaPlan;

/// Bytes from which on memory that comes back is returned to the system at once.
const RELEASE_FROM: u64 = 1 << 20;
/// The first cache line of a region stays unused, so that no message carries offset 0.
const BEGIN: u64 = 64;

/// Which region.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RegionId {
    /// The one that legacy applications share.
    Legacy,
    /// An application's own, by its place in the arena.
    Own(u32),
}

struct Region {
    base: ShmOffset,
    len: u64,
    backing: Backing,
    allocator: Allocator,
}

/// The memory of all applications.
pub struct Regions {
    arena: Arc<Arena>,
    plan: ArenaPlan,
    huge: bool,
    legacy: Option<Region>,
    own: Vec<Option<Region>>,
}

impl Regions {
    /// The regions that exist from the start: the legacy one, if it is served. Regions of their
    /// own consist of huge pages when `huge` says so.
    pub fn new(arena: Arc<Arena>, plan: ArenaPlan, huge: bool, legacy: Option<Backing>) -> Regions {
        let legacy = legacy.map(|backing| Region {
            base: ShmOffset(0),
            len: plan.legacy_len,
            backing,
            allocator: Allocator::new(BEGIN, plan.legacy_len),
        });
        Regions {
            arena,
            plan,
            huge,
            legacy,
            own: (0..plan.apps).map(|_| None).collect(),
        }
    }

    /// The arena in which all regions lie.
    pub fn arena(&self) -> Arc<Arena> {
        Arc::clone(&self.arena)
    }

    /// Makes a region for an application. `Ok(None)`: every place is taken.
    pub fn create(&mut self) -> io::Result<Option<RegionId>> {
        let Some(place) = self.own.iter().position(Option::is_none) else {
            return Ok(None);
        };
        let len = self.plan.app_len;
        let base = self.plan.app_base(place as u32);
        let backing = self.new_backing(len)?;
        self.arena.map(base, &backing, len)?;
        self.own[place] = Some(Region {
            base,
            len,
            backing,
            allocator: Allocator::new(BEGIN, len),
        });
        Ok(Some(RegionId::Own(place as u32)))
    }

    /// Huge pages when the service uses them and some are left for the first queues, otherwise
    /// ordinary ones.
    fn new_backing(&self, len: u64) -> io::Result<Backing> {
        const FIRST_QUEUES: u64 = 8 << 20;
        if self.huge
            && let Ok(backing) = Backing::memfd("tas_app", len, true)
            && backing.reserve(0, FIRST_QUEUES.min(len)).is_ok()
        {
            return Ok(backing);
        }
        Backing::memfd("tas_app", len, false)
    }

    /// Gives a region's memory back. Nothing may use it any more.
    pub fn remove(&mut self, id: RegionId) {
        if let RegionId::Own(place) = id
            && let Some(slot) = self.own.get_mut(place as usize)
            && let Some(region) = slot.take()
            && let Err(error) = self.arena.unmap(region.base, region.len)
        {
            log::warn!("cannot unmap an application's region: {error}");
        }
    }

    /// Whether less than half of a region is in use.
    pub fn has_plenty(&self, id: RegionId) -> bool {
        self.peek(id)
            .is_some_and(|region| region.allocator.available() > region.len / 2)
    }

    /// Takes `len` bytes of a region, the last `zeroed` of which are zeros. Memory that is so
    /// anyway is not touched: it would be taken from the system.
    pub fn alloc(&mut self, id: RegionId, len: u64, zeroed: u64) -> Option<ShmOffset> {
        let arena = Arc::clone(&self.arena);
        let region = self.get(id)?;
        let block = region.allocator.alloc(len)?;
        let place = region.base.checked_add(block.offset)?;
        let usable = region.backing.reserve(block.offset, len).is_ok()
            && (zeroed == 0
                || !block.used_before
                || arena
                    .zero(place + len.saturating_sub(zeroed), zeroed.min(len))
                    .is_ok());
        if !usable {
            region.allocator.free(block.offset, len);
            return None;
        }
        Some(place)
    }

    /// Gives back what [`Regions::alloc`] took.
    pub fn free(&mut self, id: RegionId, at: ShmOffset, len: u64) {
        if let Some(region) = self.get(id)
            && let Some(offset) = at.0.checked_sub(region.base.0)
        {
            if len >= RELEASE_FROM {
                region.backing.release(offset, len);
            }
            region.allocator.free(offset, len);
        }
    }

    /// Where a region begins.
    pub fn base(&self, id: RegionId) -> Option<ShmOffset> {
        self.peek(id).map(|region| region.base)
    }

    /// Bytes of a region that are free.
    pub fn available(&self, id: RegionId) -> Option<u64> {
        self.peek(id).map(|region| region.allocator.available())
    }

    /// A place as the application counts it: from its region's begin.
    pub fn relative(&self, id: RegionId, at: ShmOffset) -> u64 {
        at.0.wrapping_sub(self.peek(id).map_or(0, |region| region.base.0))
    }

    /// Length of a region and its descriptor, for passing it to the application.
    pub fn share(&self, id: RegionId) -> Option<(u64, BorrowedFd<'_>)> {
        self.peek(id)
            .map(|region| (region.len, region.backing.fd()))
    }

    /// The region in which a place of the arena lies.
    pub fn at(&self, place: ShmOffset) -> Option<RegionId> {
        let within =
            |region: &Region| place.0 >= region.base.0 && place.0 - region.base.0 < region.len;
        if self.legacy.as_ref().is_some_and(within) {
            return Some(RegionId::Legacy);
        }
        let index = self
            .own
            .iter()
            .position(|region| region.as_ref().is_some_and(within))?;
        Some(RegionId::Own(index as u32))
    }

    fn get(&mut self, id: RegionId) -> Option<&mut Region> {
        match id {
            RegionId::Legacy => self.legacy.as_mut(),
            RegionId::Own(place) => self.own.get_mut(place as usize)?.as_mut(),
        }
    }

    fn peek(&self, id: RegionId) -> Option<&Region> {
        match id {
            RegionId::Legacy => self.legacy.as_ref(),
            RegionId::Own(place) => self.own.get(place as usize)?.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_before_is_zero_at_its_end() {
        const LEN: u64 = 2 << 20;
        let plan = ArenaPlan {
            legacy_len: 0,
            app_len: LEN,
            apps: 1,
            stride: LEN,
        };
        let arena = Arena::reserve(plan.total()).unwrap();
        let mut regions = Regions::new(Arc::clone(&arena), plan, false, None);
        let id = regions.create().unwrap().unwrap();
        let first = regions.alloc(id, 256, 0).unwrap();
        arena.write(first, &[7; 256]).unwrap();
        regions.free(id, first, 256);
        assert_eq!(regions.alloc(id, 256, 64), Some(first));
        let mut bytes = [1; 256];
        arena.read(first, &mut bytes).unwrap();
        let (kept, zeroed) = bytes.split_at(192);
        assert!(kept.iter().all(|byte| *byte == 7) && zeroed.iter().all(|byte| *byte == 0));
    }
}
