//! A hierarchical timing wheel: every operation takes constant time, whatever is armed.
//!
//! Three levels of 4,096 slots; an entry lies on the level of the highest digit in which its time
//! differs from now, and moves down as that digit's turn comes (Varghese and Lauck, 1987). The
//! first level alone reaches a quarter of a second with ticks of 64 µs, so that few timers ever
//! move.
//!
//! The entries of a slot lie in chunks of a cache line each. With tens of thousands of timers
//! nothing of them is in the cache: entries linked one to the other would each be waited for.

use tas_shm::prefetch;

use crate::types::Micros;

const LEVELS: usize = 3;
const LEVEL_BITS: u32 = 12;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Furthest time ahead, in ticks.
const REACH: u64 = (1 << 31) - 1;
/// End of a list.
const NIL: u32 = u32::MAX;
/// Entries in a chunk.
const CHUNK: usize = 7;
/// Bits of a position in a chunk.
const POSITION_BITS: u32 = 3;

/// Timers for the ids 0 to `capacity` − 1.
pub struct Wheel {
    /// One tick is `1 << tick_shift` microseconds.
    tick_shift: u32,
    /// The tick up to which everything has fired.
    now: u64,
    /// Nothing is to be done before this tick.
    earliest: u64,
    /// The first chunk of each slot, the only one that may have room.
    heads: [Box<[u32; SLOTS]>; LEVELS],
    occupied: [Bitmap; LEVELS],
    /// Where each id was put last: chunk and position in it.
    places: Vec<u32>,
    chunks: Vec<Chunk>,
    /// The first chunk that no slot has.
    free: u32,
}

/// An id, and the low bits of the tick at which it fires.
#[derive(Clone, Copy)]
struct Entry {
    id: u32,
    tick: u32,
}

/// Some entries of one slot.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Chunk {
    entries: [Entry; CHUNK],
    /// The slot's next chunk.
    next: u32,
    slot: u16,
    level: u8,
    len: u8,
}

const _: () = assert!(size_of::<Chunk>() == 64 && CHUNK <= 1 << POSITION_BITS);

impl Chunk {
    const EMPTY: Chunk = Chunk {
        entries: [Entry { id: NIL, tick: 0 }; CHUNK],
        next: NIL,
        slot: 0,
        level: 0,
        len: 0,
    };

    #[inline]
    fn entries(&self) -> &[Entry] {
        self.entries.get(..self.len.into()).unwrap_or_default()
    }
}

impl Wheel {
    /// A wheel whose ticks last `1 << tick_shift` microseconds.
    pub fn new(capacity: u32, tick_shift: u32, now: Micros) -> Wheel {
        Wheel {
            tick_shift,
            now: now.0 >> tick_shift,
            earliest: u64::MAX,
            heads: std::array::from_fn(|_| Box::new([NIL; SLOTS])),
            occupied: [const { Bitmap::EMPTY }; LEVELS],
            places: vec![NIL; capacity as usize],
            // All chunks but the first of each slot are full.
            chunks: Vec::with_capacity(capacity as usize / CHUNK + LEVELS * SLOTS),
            free: NIL,
        }
    }

    /// Makes `id` fire at `when`. It must not be armed: it would fire twice.
    ///
    /// Whoever handles the firing compares with the time it really waits for, and arms again;
    /// this saves moving an entry each time its time is put off.
    #[inline]
    pub fn arm(&mut self, id: u32, when: Micros) {
        let tick = self.tick_of(when);
        if (id as usize) < self.places.len() {
            self.put(id, tick);
        }
    }

    /// Makes `id` fire no more, if it is armed.
    pub fn cancel(&mut self, id: u32) {
        let Some(place) = self.places.get(id as usize).copied() else {
            return;
        };
        let (index, position) = (place >> POSITION_BITS, place % (1 << POSITION_BITS));
        // Entries that fire leave their places as they were.
        if let Some(chunk) = self.chunks.get(index as usize)
            && let Some(entry) = chunk.entries().get(position as usize)
            && entry.id == id
        {
            self.remove(index, position);
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

    #[cold]
    fn advance_to(&mut self, target: u64, mut fire: impl FnMut(u32)) {
        while let Some((level, slot, tick)) = self.first_slot() {
            if tick > target {
                break;
            }
            self.now = self.now.max(tick);
            let mut next = self.take_slot(level, slot);
            while let Some(chunk) = self.chunks.get(next as usize) {
                if let Some(later) = self.chunks.get(chunk.next as usize) {
                    prefetch(std::ptr::from_ref(later).cast());
                }
                let later = chunk.next;
                if level == 0 {
                    for entry in chunk.entries() {
                        fire(entry.id);
                    }
                    self.free_chunk(next);
                } else {
                    self.move_down(next, &mut fire);
                }
                next = later;
            }
        }
        self.earliest = self.first_slot().map_or(u64::MAX, |(_, _, tick)| tick);
    }

    /// The turn of a chunk's slot has come: its entries fire or go to lower levels.
    #[inline(never)]
    fn move_down(&mut self, index: u32, fire: &mut impl FnMut(u32)) {
        let Some(chunk) = self.chunks.get(index as usize).copied() else {
            return;
        };
        self.free_chunk(index);
        for entry in chunk.entries() {
            let ahead = entry.tick.wrapping_sub(self.now as u32).cast_signed();
            if ahead <= 0 {
                fire(entry.id);
            } else {
                self.put(entry.id, self.now.wrapping_add_signed(ahead.into()));
            }
        }
    }

    /// A time before which nothing fires; `None` when nothing is armed.
    pub fn next(&self) -> Option<Micros> {
        self.first_slot()
            .map(|(_, _, tick)| Micros(tick << self.tick_shift))
    }

    /// The first tick not before `when`, and always ahead, within the wheel's reach.
    #[inline]
    fn tick_of(&self, when: Micros) -> u64 {
        let rounded_up = when.0.saturating_add((1 << self.tick_shift) - 1) >> self.tick_shift;
        rounded_up.clamp(self.now + 1, self.now + REACH)
    }

    /// Puts an id into the slot of its tick.
    #[inline]
    fn put(&mut self, id: u32, tick: u64) {
        let differs = tick ^ self.now;
        if differs < SLOTS as u64 {
            self.put_on(0, id, tick);
        } else {
            self.put_above(id, tick, differs);
        }
    }

    #[inline(never)]
    fn put_above(&mut self, id: u32, tick: u64, differs: u64) {
        let digit = (u64::BITS - 1 - differs.leading_zeros()) / LEVEL_BITS;
        // Times beyond the top level's turn stay on it; they are looked at once a turn.
        self.put_on((digit as usize).min(LEVELS - 1), id, tick);
    }

    #[inline(always)]
    fn put_on(&mut self, level: usize, id: u32, tick: u64) {
        let shift = LEVEL_BITS * level as u32;
        let slot = (tick >> shift) as usize % SLOTS;
        let mut head = self.heads[level][slot];
        let room = self.chunks.get(head as usize);
        if room.is_none_or(|chunk| usize::from(chunk.len) == CHUNK) {
            head = self.new_head(level, slot);
        }
        if let Some(chunk) = self.chunks.get_mut(head as usize)
            && let Some(entry) = chunk.entries.get_mut(usize::from(chunk.len))
        {
            *entry = Entry {
                id,
                tick: tick as u32,
            };
            let place = head << POSITION_BITS | u32::from(chunk.len);
            chunk.len += 1;
            self.set_place(id, place);
            // On a higher level it has to move down before it fires.
            self.earliest = self.earliest.min(tick >> shift << shift);
        }
    }

    #[inline]
    fn set_place(&mut self, id: u32, place: u32) {
        if let Some(at) = self.places.get_mut(id as usize) {
            *at = place;
        }
    }

    /// Gives a slot a first chunk with room.
    #[inline(never)]
    fn new_head(&mut self, level: usize, slot: usize) -> u32 {
        let mut index = self.free;
        match self.chunks.get(index as usize) {
            Some(chunk) => self.free = chunk.next,
            None => {
                index = self.chunks.len() as u32;
                self.chunks.push(Chunk::EMPTY);
            }
        }
        let next = std::mem::replace(&mut self.heads[level][slot], index);
        if let Some(chunk) = self.chunks.get_mut(index as usize) {
            chunk.next = next;
            chunk.slot = slot as u16;
            chunk.level = level as u8;
        }
        self.occupied[level].set(slot);
        index
    }

    #[inline]
    fn free_chunk(&mut self, index: u32) {
        if let Some(chunk) = self.chunks.get_mut(index as usize) {
            chunk.next = self.free;
            chunk.len = 0;
            self.free = index;
        }
    }

    /// Takes an entry out. The last one of its slot's first chunk takes its place.
    fn remove(&mut self, index: u32, position: u32) {
        let Some(chunk) = self.chunks.get(index as usize) else {
            return;
        };
        let (level, slot) = (usize::from(chunk.level), usize::from(chunk.slot));
        let Some(last) = self.take_last(level, slot) else {
            return;
        };
        // Nothing comes of writing it to its own place: nobody reads beyond a chunk's length.
        if let Some(chunk) = self.chunks.get_mut(index as usize)
            && let Some(entry) = chunk.entries.get_mut(position as usize)
            && entry.id != last.id
        {
            *entry = last;
            self.set_place(last.id, index << POSITION_BITS | position);
        }
    }

    /// Takes the last entry of a slot's first chunk out.
    fn take_last(&mut self, level: usize, slot: usize) -> Option<Entry> {
        let head = self.heads[level][slot];
        let chunk = self.chunks.get_mut(head as usize)?;
        chunk.len = chunk.len.checked_sub(1)?;
        let last = *chunk.entries.get(usize::from(chunk.len))?;
        if chunk.len == 0 {
            self.heads[level][slot] = chunk.next;
            if chunk.next == NIL {
                self.occupied[level].clear(slot);
            }
            self.free_chunk(head);
        }
        Some(last)
    }

    #[inline]
    fn take_slot(&mut self, level: usize, slot: usize) -> u32 {
        self.occupied[level].clear(slot);
        std::mem::replace(&mut self.heads[level][slot], NIL)
    }

    /// The occupied slot whose turn comes first, and the tick at which it begins.
    fn first_slot(&self) -> Option<(usize, usize, u64)> {
        (0..LEVELS).find_map(|level| {
            let shift = LEVEL_BITS * level as u32;
            let current = (self.now >> shift) as usize % SLOTS;
            let slot = self.occupied[level].first_from(current)?;
            // Only the top level wraps: below it, entries share the higher digits with now.
            let turns = if slot < current || (slot == current && level == LEVELS - 1) {
                SLOTS
            } else {
                0
            };
            let begin = ((self.now >> shift) - current as u64 + (slot + turns) as u64) << shift;
            Some((level, slot, begin.max(self.now)))
        })
    }
}

const WORD_BITS: usize = u64::BITS as usize;
const WORDS: usize = SLOTS / WORD_BITS;

/// A bit for each slot of a level.
struct Bitmap {
    words: [u64; WORDS],
    /// A bit for each word that is not zero.
    summary: u64,
}

const _: () = assert!(WORDS <= WORD_BITS);

impl Bitmap {
    const EMPTY: Bitmap = Bitmap {
        words: [0; WORDS],
        summary: 0,
    };

    #[inline]
    fn set(&mut self, bit: usize) {
        let index = bit / WORD_BITS % WORDS;
        self.words[index] |= 1 << (bit % WORD_BITS);
        self.summary |= 1 << index;
    }

    #[inline]
    fn clear(&mut self, bit: usize) {
        let index = bit / WORD_BITS % WORDS;
        self.words[index] &= !(1 << (bit % WORD_BITS));
        if self.words[index] == 0 {
            self.summary &= !(1 << index);
        }
    }

    /// The first bit that is set at or after `from`, going round.
    #[inline]
    fn first_from(&self, from: usize) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let index = from / WORD_BITS % WORDS;
        let word = self.words[index] & (u64::MAX << (from % WORD_BITS));
        if word != 0 {
            return Some(index * WORD_BITS + word.trailing_zeros() as usize);
        }
        // The words after this one, then those before it, then itself again.
        let later = self.summary & (u64::MAX << index << 1);
        let from_here = if later != 0 { later } else { self.summary };
        let index = from_here.trailing_zeros() as usize % WORDS;
        Some(index * WORD_BITS + self.words[index].trailing_zeros() as usize)
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
        wheel.arm(1, Micros(1500));
        assert!(fired(&mut wheel, 1499).is_empty());
        assert_eq!(fired(&mut wheel, 1500), [1]);
        assert!(fired(&mut wheel, 1_000_000).is_empty());
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn neighbours_in_a_slot_go_one_after_the_other() {
        let mut wheel = Wheel::new(4, 0, Micros(0));
        for id in 0..3 {
            wheel.arm(id, Micros(50));
        }
        wheel.cancel(1);
        wheel.cancel(0);
        assert_eq!(fired(&mut wheel, 60), [2]);
    }

    #[test]
    fn many_share_a_slot() {
        let mut wheel = Wheel::new(1000, 0, Micros(0));
        for id in 0..1000 {
            wheel.arm(id, Micros(if id % 3 == 0 { 50 } else { 50_000 }));
        }
        for id in (0..1000).step_by(2) {
            wheel.cancel(id);
        }
        let odd = |third: bool| {
            (1..1000)
                .step_by(2)
                .filter(move |id| (id % 3 == 0) == third)
        };
        assert!(fired(&mut wheel, 60).into_iter().eq(odd(true)));
        assert!(fired(&mut wheel, 60_000).into_iter().eq(odd(false)));
        assert_eq!(wheel.next(), None);
    }

    /// Its place belongs to another one then.
    #[test]
    fn cancelling_what_has_fired_cancels_nothing() {
        let mut wheel = Wheel::new(4, 0, Micros(0));
        wheel.arm(0, Micros(10));
        assert_eq!(fired(&mut wheel, 10), [0]);
        wheel.arm(1, Micros(20));
        wheel.cancel(0);
        assert_eq!(fired(&mut wheel, 20), [1]);
    }

    #[test]
    fn next_is_never_late() {
        let mut wheel = Wheel::new(4, 6, Micros(0));
        wheel.arm(0, Micros(3_000_000));
        let mut now = 0;
        while let Some(next) = wheel.next() {
            assert!(next.0 <= 3_000_000 + 64);
            now = now.max(next.0);
            fired(&mut wheel, now);
        }
        assert!(now >= 3_000_000);
    }

    /// Microseconds of all sizes: timers of every level, and times that end their slots.
    fn span() -> impl Strategy<Value = u64> {
        prop_oneof![0u64..200, 0u64..20_000, 0u64..(1 << 26), 0u64..(1 << 34)]
    }

    proptest! {
        #[test]
        fn agrees_with_a_sorted_map(
            shift in 0u32..8,
            start in 0u64..(1 << 40),
            steps in prop::collection::vec((0u32..64, any::<bool>(), span(), span()), 1..80),
        ) {
            let tick = 1u64 << shift;
            let mut wheel = Wheel::new(64, shift, Micros(start));
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            let mut now = start;
            for (id, cancel, delay, pass) in steps {
                wheel.cancel(id);
                model.remove(&id);
                if !cancel {
                    wheel.arm(id, Micros(now + delay));
                    // Beyond its reach the wheel asks earlier.
                    model.insert(id, now + delay.min(REACH << shift));
                }
                now += pass;
                for id in fired(&mut wheel, now) {
                    let due = model.remove(&id);
                    prop_assert!(due.is_some_and(|due| due < now + tick), "{:?} at {}", due, now);
                }
                prop_assert_eq!(wheel.next().is_none(), model.is_empty());
                for due in model.values() {
                    prop_assert!(*due + 2 * tick > now, "due {} but now {}", due, now);
                }
            }
        }
    }
}
