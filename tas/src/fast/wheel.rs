//! A hierarchical timing wheel: every operation takes constant time, whatever is armed.
//!
//! Four levels of 256 slots; an entry lies on the level of the highest byte in which its time
//! differs from now, and moves down as that byte's turn comes (Varghese and Lauck, 1987). The
//! entries of a slot lie in chunks of a cache line each, in no order, so that what they are for can
//! be fetched while others are handled: with tens of thousands of timers nothing is in the cache.

use tas_shm::prefetch;

use crate::types::Micros;

const LEVELS: usize = 4;
const SLOTS: usize = 256;
const LEVEL_BITS: u32 = 8;
/// Furthest time ahead, in ticks.
const REACH: u64 = (1 << (LEVEL_BITS * LEVELS as u32 - 1)) - 1;
/// End of a list.
const NIL: u32 = u32::MAX;
/// Ids in a chunk.
const CHUNK: usize = 14;
/// Bits of a position in a chunk.
const POSITION_BITS: u32 = 4;

/// Timers for the ids 0 to `capacity` − 1, at most one for each.
pub struct Wheel {
    /// One tick is `1 << tick_shift` microseconds.
    tick_shift: u32,
    /// The tick up to which everything has fired.
    now: u64,
    /// The first chunk of each slot, the only one that may have room.
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    nodes: Vec<Node>,
    chunks: Vec<Chunk>,
    /// The first chunk that no slot has.
    free: u32,
    armed: usize,
    /// Nothing is to be done before this tick.
    earliest: u64,
}

/// Where an id is.
#[derive(Clone, Copy)]
struct Node {
    /// Chunk and position in it, or `NIL` when not armed.
    place: u32,
    /// The low bits of the tick at which it fires.
    tick: u32,
}

impl Node {
    const IDLE: Node = Node {
        place: NIL,
        tick: 0,
    };
}

/// Some ids of one slot.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Chunk {
    ids: [u32; CHUNK],
    /// The slot's next chunk.
    next: u32,
    slot: u16,
    len: u16,
}

const _: () = assert!(size_of::<Chunk>() == 64 && CHUNK <= 1 << POSITION_BITS);

impl Chunk {
    const EMPTY: Chunk = Chunk {
        ids: [NIL; CHUNK],
        next: NIL,
        slot: 0,
        len: 0,
    };

    #[inline]
    fn ids(&self) -> &[u32] {
        self.ids.get(..self.len.into()).unwrap_or_default()
    }
}

impl Wheel {
    /// A wheel whose ticks last `1 << tick_shift` microseconds.
    pub fn new(capacity: u32, tick_shift: u32, now: Micros) -> Wheel {
        // All chunks but the first of each slot are full.
        let chunks = capacity as usize / CHUNK + LEVELS * SLOTS;
        Wheel {
            tick_shift,
            now: now.0 >> tick_shift,
            heads: Box::new([[NIL; SLOTS]; LEVELS]),
            occupied: [[0; SLOTS / 64]; LEVELS],
            nodes: vec![Node::IDLE; capacity as usize],
            chunks: Vec::with_capacity(chunks),
            free: NIL,
            armed: 0,
            earliest: u64::MAX,
        }
    }

    /// Makes `id` fire at `when` at the latest: an earlier arming stays, a later one is moved.
    ///
    /// Whoever handles the firing compares with the time it really waits for, and arms again;
    /// this saves moving an entry each time its time is put off.
    #[inline]
    pub fn arm_by(&mut self, id: u32, when: Micros) {
        let node = self.nodes.get(id as usize);
        // Almost always a time is put off.
        if node.is_some_and(|node| node.place == NIL || self.tick(node) > when.0 >> self.tick_shift)
        {
            self.arm_earlier(id, when);
        }
    }

    fn arm_earlier(&mut self, id: u32, when: Micros) {
        let tick = self.tick_of(when);
        match self.nodes.get(id as usize) {
            None => {}
            Some(node) if node.place != NIL && self.tick(node) <= tick => {}
            Some(node) => {
                if node.place != NIL {
                    self.unlink(id);
                }
                self.link(id, tick);
            }
        }
    }

    /// Makes `id` fire no more.
    pub fn cancel(&mut self, id: u32) {
        if self
            .nodes
            .get(id as usize)
            .is_some_and(|node| node.place != NIL)
        {
            self.unlink(id);
        }
    }

    /// Calls `fire` for every id whose time has come. A fired id is not armed any more.
    #[inline]
    pub fn advance(&mut self, now: Micros, fire: impl FnMut(u32)) {
        let target = now.0 >> self.tick_shift;
        if target >= self.earliest {
            self.advance_to(target, fire);
        }
        self.now = self.now.max(target);
    }

    fn advance_to(&mut self, target: u64, mut fire: impl FnMut(u32)) {
        while let Some((level, slot, tick)) = self.first_slot() {
            if tick > target {
                break;
            }
            self.now = self.now.max(tick);
            let mut next = self.take_slot(level, slot);
            while let Some(chunk) = self.chunks.get(next as usize).copied() {
                self.free_chunk(next);
                next = chunk.next;
                // They come while this one is handled.
                self.fetch_nodes(next);
                for id in chunk.ids() {
                    self.come(*id, &mut fire);
                }
            }
        }
        self.earliest = self.first_slot().map_or(u64::MAX, |(_, _, tick)| tick);
    }

    /// The turn of an id's slot has come: it fires or moves down.
    #[inline]
    fn come(&mut self, id: u32, fire: &mut impl FnMut(u32)) {
        let Some(node) = self.nodes.get(id as usize).copied() else {
            return;
        };
        let tick = self.tick(&node);
        self.armed -= 1;
        if tick <= self.now {
            if let Some(node) = self.nodes.get_mut(id as usize) {
                *node = Node::IDLE;
            }
            fire(id);
        } else {
            self.link(id, tick);
        }
    }

    /// A time before which nothing fires; `None` when nothing is armed.
    pub fn next(&self) -> Option<Micros> {
        self.first_slot()
            .map(|(_, _, tick)| Micros(tick << self.tick_shift))
    }

    /// The first tick not before `when`, and always ahead, within the wheel's reach.
    fn tick_of(&self, when: Micros) -> u64 {
        let rounded_up = when.0.saturating_add((1 << self.tick_shift) - 1) >> self.tick_shift;
        rounded_up.clamp(self.now + 1, self.now + REACH)
    }

    /// When a node that is armed fires: within the wheel's reach of now.
    #[inline]
    fn tick(&self, node: &Node) -> u64 {
        let ahead = node.tick.wrapping_sub(self.now as u32).cast_signed();
        self.now.wrapping_add_signed(ahead.into())
    }

    fn link(&mut self, id: u32, tick: u64) {
        let differs = (tick ^ self.now).max(1);
        // Times beyond the top level's turn stay on it; they are looked at once a turn.
        let level = ((63 - differs.leading_zeros()) / LEVEL_BITS).min(LEVELS as u32 - 1) as usize;
        let slot = ((tick >> (LEVEL_BITS * level as u32)) & 0xff) as usize;
        let head = self.head_with_room(level, slot);
        if let (Some(node), Some(chunk)) = (
            self.nodes.get_mut(id as usize),
            self.chunks.get_mut(head as usize),
        ) && let Some(place) = chunk.ids.get_mut(usize::from(chunk.len))
        {
            *place = id;
            *node = Node {
                place: head << POSITION_BITS | u32::from(chunk.len),
                tick: tick as u32,
            };
            chunk.len += 1;
            self.occupied[level][slot / 64] |= 1 << (slot % 64);
            self.armed += 1;
            // On a higher level it has to move down before it fires.
            let shift = LEVEL_BITS * level as u32;
            self.earliest = self.earliest.min(tick >> shift << shift);
        }
    }

    /// The first chunk of a slot, which has room.
    #[inline]
    fn head_with_room(&mut self, level: usize, slot: usize) -> u32 {
        let head = self.heads[level][slot];
        match self.chunks.get(head as usize) {
            Some(chunk) if usize::from(chunk.len) < CHUNK => head,
            _ => {
                let index = self.fresh_chunk();
                if let Some(chunk) = self.chunks.get_mut(index as usize) {
                    chunk.next = head;
                    chunk.slot = (level * SLOTS + slot) as u16;
                }
                self.heads[level][slot] = index;
                index
            }
        }
    }

    /// A chunk without ids.
    #[inline]
    fn fresh_chunk(&mut self) -> u32 {
        let index = self.free;
        match self.chunks.get(index as usize) {
            Some(chunk) => {
                self.free = chunk.next;
                index
            }
            None => {
                self.chunks.push(Chunk::EMPTY);
                (self.chunks.len() - 1) as u32
            }
        }
    }

    fn free_chunk(&mut self, index: u32) {
        if let Some(chunk) = self.chunks.get_mut(index as usize) {
            chunk.next = self.free;
            chunk.len = 0;
            self.free = index;
        }
    }

    /// Fetches the nodes of a chunk, and the chunk after it.
    #[inline]
    fn fetch_nodes(&self, index: u32) {
        let Some(chunk) = self.chunks.get(index as usize) else {
            return;
        };
        if let Some(next) = self.chunks.get(chunk.next as usize) {
            prefetch(std::ptr::from_ref(next).cast());
        }
        for id in chunk.ids() {
            if let Some(node) = self.nodes.get(*id as usize) {
                prefetch(std::ptr::from_ref(node).cast());
            }
        }
    }

    fn unlink(&mut self, id: u32) {
        let Some(node) = self.nodes.get_mut(id as usize) else {
            return;
        };
        let place = std::mem::replace(node, Node::IDLE).place;
        let (index, position) = (place >> POSITION_BITS, place % (1 << POSITION_BITS));
        let Some(chunk) = self.chunks.get(index as usize) else {
            return;
        };
        let slot = usize::from(chunk.slot);
        let (level, slot) = (slot / SLOTS, slot % SLOTS);
        self.armed -= 1;
        if let Some(last) = self.take_last(level, slot)
            && last != id
        {
            // It takes the place that has become free.
            if let Some(node) = self.nodes.get_mut(last as usize) {
                node.place = place;
            }
            if let Some(chunk) = self.chunks.get_mut(index as usize)
                && let Some(free) = chunk.ids.get_mut(position as usize)
            {
                *free = last;
            }
        }
    }

    /// Takes the last id of a slot's first chunk out.
    fn take_last(&mut self, level: usize, slot: usize) -> Option<u32> {
        let head = self.heads[level][slot];
        let chunk = self.chunks.get_mut(head as usize)?;
        chunk.len = chunk.len.checked_sub(1)?;
        let last = *chunk.ids.get(usize::from(chunk.len))?;
        let (len, next) = (chunk.len, chunk.next);
        if len == 0 {
            self.heads[level][slot] = next;
            self.free_chunk(head);
            if next == NIL {
                self.occupied[level][slot / 64] &= !(1 << (slot % 64));
            }
        }
        Some(last)
    }

    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        self.occupied[level][slot / 64] &= !(1 << (slot % 64));
        std::mem::replace(&mut self.heads[level][slot], NIL)
    }

    /// The occupied slot whose turn comes first, and the tick at which it begins.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        if self.armed == 0 {
            return None;
        }
        (0..LEVELS).find_map(|level| {
            let shift = LEVEL_BITS * level as u32;
            let current = ((self.now >> shift) & 0xff) as usize;
            let slot = self.next_occupied(level, current)?;
            // Only the top level wraps: below it, entries share the higher bytes with now.
            let turns = if slot < current || (slot == current && level == LEVELS - 1) {
                SLOTS
            } else {
                0
            };
            let begin = ((self.now >> shift) - current as u64 + (slot + turns) as u64) << shift;
            Some((level, slot, begin.max(self.now)))
        })
    }

    /// The first occupied slot at or after `from`, going round.
    fn next_occupied(&self, level: usize, from: usize) -> Option<usize> {
        let words = &self.occupied[level];
        let first = words[from / 64] & (u64::MAX << (from % 64));
        if first != 0 {
            return Some(from / 64 * 64 + first.trailing_zeros() as usize);
        }
        (1..=words.len()).find_map(|step| {
            let index = (from / 64 + step) % words.len();
            (words[index] != 0).then(|| index * 64 + words[index].trailing_zeros() as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn fired(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        let mut ids = Vec::new();
        wheel.advance(Micros(now), |id| ids.push(id));
        ids.sort_unstable();
        ids
    }

    #[test]
    fn fires_once_and_not_early() {
        let mut wheel = Wheel::new(4, 0, Micros(1000));
        wheel.arm_by(1, Micros(1500));
        assert!(fired(&mut wheel, 1499).is_empty());
        assert_eq!(fired(&mut wheel, 1500), [1]);
        assert!(fired(&mut wheel, 1_000_000).is_empty());
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn keeps_the_earlier_time() {
        let mut wheel = Wheel::new(4, 0, Micros(0));
        wheel.arm_by(0, Micros(100));
        wheel.arm_by(0, Micros(5000));
        assert_eq!(fired(&mut wheel, 100), [0]);
        wheel.arm_by(0, Micros(5000));
        wheel.arm_by(0, Micros(200));
        assert_eq!(fired(&mut wheel, 200), [0]);
    }

    #[test]
    fn a_crowded_slot_lets_go_of_any_of_its_entries() {
        let mut wheel = Wheel::new(100, 0, Micros(0));
        for id in 0..100 {
            wheel.arm_by(id, Micros(5000));
        }
        for id in (0..100).filter(|id| id % 3 == 0) {
            wheel.cancel(id);
        }
        wheel.arm_by(1, Micros(10));
        assert_eq!(fired(&mut wheel, 20), [1]);
        let left: Vec<u32> = (2..100).filter(|id| id % 3 != 0).collect();
        assert_eq!(fired(&mut wheel, 5000), left);
        assert_eq!(wheel.next(), None);
        assert!(wheel.chunks.len() <= 100 / CHUNK + LEVELS * SLOTS);
    }

    #[test]
    fn next_is_never_late() {
        let mut wheel = Wheel::new(4, 6, Micros(0));
        wheel.arm_by(0, Micros(3_000_000));
        let mut now = 0;
        while let Some(next) = wheel.next() {
            assert!(next.0 <= 3_000_000 + 64);
            now = now.max(next.0);
            fired(&mut wheel, now);
        }
        assert!(now >= 3_000_000);
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            shift in 0u32..8,
            start in 0u64..(1 << 40),
            steps in prop::collection::vec((0u32..64, 0u64..(1 << 34), any::<bool>(), 0u64..(1 << 33)), 1..80),
        ) {
            let mut wheel = Wheel::new(64, shift, Micros(start));
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for (id, delay, cancel, pass) in steps {
                if cancel {
                    wheel.cancel(id);
                    model.remove(&id);
                } else {
                    wheel.arm_by(id, Micros(now + delay));
                    let due = model.entry(id).or_insert(u64::MAX);
                    *due = (*due).min(now + delay);
                }
                now += pass;
                let got = fired(&mut wheel, now);
                let tick = 1u64 << shift;
                for id in &got {
                    let due = model.remove(id);
                    prop_assert!(due.is_some());
                    // Early only where the wheel's reach ends.
                    prop_assert!(due.unwrap_or(0) <= now || due.unwrap_or(0) >= (1 << 31));
                }
                for due in model.values() {
                    prop_assert!(*due + 2 * tick > now, "due {} but now {}", due, now);
                }
            }
        }
    }
}
