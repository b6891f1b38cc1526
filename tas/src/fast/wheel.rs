//! A hierarchical timing wheel: every operation takes constant time, whatever is armed.
//!
//! Four levels of 256 slots; an entry lies on the level of the highest byte in which its time
//! differs from now, and moves down as that byte's turn comes (Varghese and Lauck, 1987). Entries
//! are linked through arrays indexed by id, so that arming allocates nothing.

use crate::types::Micros;

const LEVELS: usize = 4;
const SLOTS: usize = 256;
const LEVEL_BITS: u32 = 8;
/// End of a list, and the link of an id that is in none.
const NIL: u32 = u32::MAX;

/// Timers for the ids 0 to `capacity` − 1, at most one for each.
pub struct Wheel {
    /// One tick is `1 << tick_shift` microseconds.
    tick_shift: u32,
    /// The tick up to which everything has fired.
    now: u64,
    heads: Box<[[u32; SLOTS]; LEVELS]>,
    occupied: [[u64; SLOTS / 64]; LEVELS],
    nodes: Vec<Node>,
    armed: usize,
    /// Nothing is to be done before this tick.
    earliest: u64,
}

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    prev: u32,
    /// Level and slot, or `NIL` when not armed.
    place: u32,
    tick: u64,
}

impl Wheel {
    /// A wheel whose ticks last `1 << tick_shift` microseconds.
    pub fn new(capacity: u32, tick_shift: u32, now: Micros) -> Wheel {
        let idle = Node {
            next: NIL,
            prev: NIL,
            place: NIL,
            tick: 0,
        };
        Wheel {
            tick_shift,
            now: now.0 >> tick_shift,
            heads: Box::new([[NIL; SLOTS]; LEVELS]),
            occupied: [[0; SLOTS / 64]; LEVELS],
            nodes: vec![idle; capacity as usize],
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
        if node.is_some_and(|node| node.place == NIL || node.tick > when.0 >> self.tick_shift) {
            self.arm_earlier(id, when);
        }
    }

    fn arm_earlier(&mut self, id: u32, when: Micros) {
        let tick = self.tick_of(when);
        match self.nodes.get(id as usize) {
            None => {}
            Some(node) if node.place != NIL && node.tick <= tick => {}
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
            let mut id = self.take_slot(level, slot);
            while let Some(node) = self.nodes.get_mut(id as usize) {
                let next = node.next;
                node.place = NIL;
                self.armed -= 1;
                if node.tick <= self.now {
                    fire(id);
                } else {
                    let tick = node.tick;
                    self.link(id, tick);
                }
                id = next;
            }
        }
        self.earliest = self.first_slot().map_or(u64::MAX, |(_, _, tick)| tick);
    }

    /// A time before which nothing fires; `None` when nothing is armed.
    pub fn next(&self) -> Option<Micros> {
        self.first_slot()
            .map(|(_, _, tick)| Micros(tick << self.tick_shift))
    }

    /// The first tick not before `when`, and always ahead, within the wheel's reach.
    fn tick_of(&self, when: Micros) -> u64 {
        let rounded_up = when.0.saturating_add((1 << self.tick_shift) - 1) >> self.tick_shift;
        let reach = self.now + (1 << (LEVEL_BITS * LEVELS as u32 - 1));
        rounded_up.clamp(self.now + 1, reach)
    }

    fn link(&mut self, id: u32, tick: u64) {
        let differs = (tick ^ self.now).max(1);
        // Times beyond the top level's turn stay on it; they are looked at once a turn.
        let level = ((63 - differs.leading_zeros()) / LEVEL_BITS).min(LEVELS as u32 - 1) as usize;
        let slot = ((tick >> (LEVEL_BITS * level as u32)) & 0xff) as usize;
        let head = self.heads[level][slot];
        if let Some(node) = self.nodes.get_mut(head as usize) {
            node.prev = id;
        }
        let place = (level * SLOTS + slot) as u32;
        if let Some(node) = self.nodes.get_mut(id as usize) {
            *node = Node {
                next: head,
                prev: NIL,
                place,
                tick,
            };
            self.heads[level][slot] = id;
            self.occupied[level][slot / 64] |= 1 << (slot % 64);
            self.armed += 1;
            // On a higher level it has to move down before it fires.
            let shift = LEVEL_BITS * level as u32;
            self.earliest = self.earliest.min(tick >> shift << shift);
        }
    }

    fn unlink(&mut self, id: u32) {
        let Some(node) = self.nodes.get(id as usize).copied() else {
            return;
        };
        let (level, slot) = (node.place as usize / SLOTS, node.place as usize % SLOTS);
        match self.nodes.get_mut(node.prev as usize) {
            Some(prev) => prev.next = node.next,
            None => {
                self.heads[level][slot] = node.next;
                if node.next == NIL {
                    self.occupied[level][slot / 64] &= !(1 << (slot % 64));
                }
            }
        }
        if let Some(next) = self.nodes.get_mut(node.next as usize) {
            next.prev = node.prev;
        }
        self.nodes[id as usize].place = NIL;
        self.armed -= 1;
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
    fn neighbours_in_a_slot_go_one_after_the_other() {
        let mut wheel = Wheel::new(4, 0, Micros(0));
        for id in 0..3 {
            wheel.arm_by(id, Micros(50));
        }
        wheel.cancel(1);
        wheel.cancel(0);
        assert_eq!(fired(&mut wheel, 60), [2]);
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
