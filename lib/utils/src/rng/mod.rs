//! Random numbers for load generators and tests; not for secrets.
//!
//! SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number
//! generators, OOPSLA 2014): any seed is a good seed, and the whole state is
//! the one word that the C structure has.

#[allow(unsafe_code)]
mod ffi;

/// Weyl sequence increment: the odd integer nearest 2^64 over the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Random number generator.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct UtilsRng {
    /// State.
    pub seed: u64,
}

const _: () = assert!(size_of::<UtilsRng>() == 8 && align_of::<UtilsRng>() == 8);

impl UtilsRng {
    /// A generator whose numbers are determined by `seed`.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(GAMMA);
        let z = self.seed;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 32 random bits.
    pub const fn next_u32(&mut self) -> u32 {
        (self.next_u64() >> 32) as u32
    }

    /// Uniformly distributed in `[0, 1)`, with the 53 bits a double can hold.
    pub const fn next_f64(&mut self) -> f64 {
        const ULP: f64 = 1.0 / (1u64 << 53) as f64;
        (self.next_u64() >> 11) as f64 * ULP
    }

    /// Overwrites `bytes` with random ones.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.next_u64().to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(random) {
                *to = from;
            }
        }
    }
}

#[cfg(test)]
mod tests;
