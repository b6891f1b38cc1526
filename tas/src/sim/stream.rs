//! Bytes whose place in a stream can be told from their value, for checking transfers.

/// A stream of bytes that follow from a key: a sender and a receiver with the same key agree.
#[derive(Clone, Debug)]
pub struct Stream {
    key: u64,
    at: u64,
}

impl Stream {
    /// The beginning of the stream with this key.
    #[must_use]
    pub fn new(key: u64) -> Stream {
        Stream { key, at: 0 }
    }

    /// Bytes produced or checked so far.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next `len` bytes, without going on.
    #[must_use]
    pub fn peek(&self, len: usize) -> Vec<u8> {
        (0..len as u64).map(|n| self.byte(self.at + n)).collect()
    }

    /// Goes on by `len` bytes.
    pub fn advance(&mut self, len: usize) {
        self.at += len as u64;
    }

    /// Checks that `bytes` come next, and goes on behind them.
    ///
    /// # Errors
    /// Says where the first wrong byte is.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), String> {
        for (n, byte) in bytes.iter().enumerate() {
            let at = self.at + n as u64;
            if *byte != self.byte(at) {
                let expected = self.byte(at);
                return Err(format!("byte {at} is {byte:#x} instead of {expected:#x}"));
            }
        }
        self.advance(bytes.len());
        Ok(())
    }

    fn byte(&self, at: u64) -> u8 {
        let word = (at ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (word >> 56) as u8
    }
}
