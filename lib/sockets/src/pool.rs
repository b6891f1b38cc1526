//! Objects with static lifetime that are used again, and never freed: whoever
//! holds an old reference finds another object of the kind, never foreign memory.

use std::sync::{Mutex, OnceLock, PoisonError};

/// Objects in a chunk.
const CHUNK: usize = 1024;
/// Chunks, so that a pool holds about a million objects.
const CHUNKS: usize = 1024;

/// Objects by number.
pub struct Pool<T: 'static> {
    chunks: [OnceLock<&'static [T]>; CHUNKS],
    /// Numbers that are free again, and how many were ever given out.
    free: Mutex<(Vec<u32>, u32)>,
}

impl<T: Default> Pool<T> {
    /// Nothing in it yet.
    pub const fn new() -> Self {
        Pool {
            chunks: [const { OnceLock::new() }; CHUNKS],
            free: Mutex::new((Vec::new(), 0)),
        }
    }

    /// The object of a number that was given out.
    #[inline]
    pub fn get(&'static self, number: u32) -> Option<&'static T> {
        let chunk = self.chunks.get(number as usize / CHUNK)?.get()?;
        chunk.get(number as usize % CHUNK)
    }

    /// Takes an object; `None` when a million are in use.
    pub fn take(&'static self) -> Option<(u32, &'static T)> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let number = match free.0.pop() {
            Some(number) => number,
            None => {
                let number = free.1;
                let chunk = self.chunks.get(number as usize / CHUNK)?;
                chunk.get_or_init(|| {
                    let objects: Vec<T> = (0..CHUNK).map(|_| T::default()).collect();
                    Box::leak(objects.into_boxed_slice())
                });
                free.1 += 1;
                number
            }
        };
        Some((number, self.get(number)?))
    }

    /// Gives an object back.
    pub fn give_back(&'static self, number: u32) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.0.push(number);
    }

    /// Every object that was ever given out.
    pub fn all(&'static self) -> impl Iterator<Item = &'static T> {
        let given = self.free.lock().unwrap_or_else(PoisonError::into_inner).1;
        (0..given).filter_map(|number| self.get(number))
    }
}
