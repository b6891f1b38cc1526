//! TCP options: MSS (RFC 9293 §3.7.1), window scale and timestamps (RFC 7323),
//! selective acknowledgment (RFC 2018).

use crate::SeqNum;

pub(super) const KIND_END: u8 = 0;
pub(super) const KIND_NOP: u8 = 1;
pub(super) const KIND_MSS: u8 = 2;
pub(super) const KIND_WINDOW_SCALE: u8 = 3;
pub(super) const KIND_SACK_PERMITTED: u8 = 4;
pub(super) const KIND_SACK: u8 = 5;
pub(super) const KIND_TIMESTAMPS: u8 = 8;

/// The first word of the layout that practically every segment of a connection
/// with timestamps has (RFC 7323 appendix A).
pub(super) const NOP_NOP_TIMESTAMPS: [u8; 4] = [KIND_NOP, KIND_NOP, KIND_TIMESTAMPS, 10];

/// By how many bits a window field is shifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct WindowScale(u8);

impl WindowScale {
    /// No scaling.
    pub const ZERO: WindowScale = WindowScale(0);
    /// The largest shift (RFC 7323 §2.3).
    pub const MAX: WindowScale = WindowScale(14);

    /// A shift of `bits`; more than 14 count as 14 (RFC 7323 §2.3).
    #[inline]
    pub const fn new(bits: u8) -> WindowScale {
        if bits > Self::MAX.0 {
            Self::MAX
        } else {
            WindowScale(bits)
        }
    }

    /// The number of bits.
    #[inline]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The window in bytes that a received window field means.
    #[inline]
    pub const fn bytes(self, field: u16) -> u32 {
        (field as u32) << self.0
    }

    /// The window field that offers at most `bytes`.
    #[inline]
    pub const fn field(self, bytes: u32) -> u16 {
        let field = bytes >> self.0;
        if field > u16::MAX as u32 {
            u16::MAX
        } else {
            field as u16
        }
    }
}

/// The timestamps option (RFC 7323 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Timestamps {
    /// TSval: the sender's clock.
    pub val: u32,
    /// TSecr: the other side's clock, echoed; significant with ACK.
    pub ecr: u32,
}

/// One range of received data: `left` up to but not including `right`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SackBlock {
    /// First sequence number of the block.
    pub left: SeqNum,
    /// Sequence number right after the block.
    pub right: SeqNum,
}

/// The blocks of a SACK option: at most four fit. Not validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SackBlocks {
    blocks: [SackBlock; Self::MAX],
    len: u8,
}

impl SackBlocks {
    /// How many blocks fit into a header.
    pub const MAX: usize = 4;
    /// No blocks.
    pub const NONE: SackBlocks = SackBlocks {
        blocks: [SackBlock {
            left: SeqNum(0),
            right: SeqNum(0),
        }; Self::MAX],
        len: 0,
    };

    /// The blocks, in the order sent: the newest first (RFC 2018 §4).
    #[inline]
    pub fn as_slice(&self) -> &[SackBlock] {
        self.blocks.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether there is none.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends a block; without effect once four are there.
    #[inline]
    pub fn push(&mut self, block: SackBlock) {
        if let Some(slot) = self.blocks.get_mut(usize::from(self.len)) {
            *slot = block;
            self.len += 1;
        }
    }
}

impl<'a> IntoIterator for &'a SackBlocks {
    type Item = &'a SackBlock;
    type IntoIter = core::slice::Iter<'a, SackBlock>;

    fn into_iter(self) -> Self::IntoIter {
        self.as_slice().iter()
    }
}

/// The options of a segment. MSS, window scale and SACK-permitted mean
/// something only with SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpOptions {
    /// Maximum segment size in bytes, as sent: may be absurdly small.
    pub mss: Option<u16>,
    /// Window scale.
    pub window_scale: Option<WindowScale>,
    /// The sender accepts SACK options.
    pub sack_permitted: bool,
    /// Timestamps.
    pub timestamps: Option<Timestamps>,
    /// Selective acknowledgment.
    pub sack: SackBlocks,
}

impl TcpOptions {
    /// Parses the bytes between the fixed header and the data. Unknown options
    /// and known ones of a wrong length are skipped; an impossible length ends
    /// the parsing (RFC 9293 §3.1, MUST-6 and MUST-7).
    #[inline(always)]
    pub fn parse(bytes: &[u8]) -> TcpOptions {
        if let Ok([a, b, c, d, timestamps @ ..]) = <&[u8; 12]>::try_from(bytes)
            && [*a, *b, *c, *d] == NOP_NOP_TIMESTAMPS
        {
            return TcpOptions {
                timestamps: parse_timestamps(timestamps),
                ..TcpOptions::default()
            };
        }
        if bytes.is_empty() {
            return TcpOptions::default();
        }
        TcpOptions::parse_any(bytes)
    }

    #[inline(never)]
    fn parse_any(mut bytes: &[u8]) -> TcpOptions {
        let mut options = TcpOptions::default();
        while let [kind, rest @ ..] = bytes {
            match *kind {
                KIND_END => break,
                KIND_NOP => bytes = rest,
                kind => {
                    let Some((value, next)) = split_value(rest) else {
                        break;
                    };
                    options.set(kind, value);
                    bytes = next;
                }
            }
        }
        options
    }

    fn set(&mut self, kind: u8, value: &[u8]) {
        match (kind, value) {
            (KIND_MSS, [a, b]) => self.mss = Some(u16::from_be_bytes([*a, *b])),
            (KIND_WINDOW_SCALE, [bits]) => self.window_scale = Some(WindowScale::new(*bits)),
            (KIND_SACK_PERMITTED, []) => self.sack_permitted = true,
            (KIND_TIMESTAMPS, value) => {
                self.timestamps = value.try_into().map_or(self.timestamps, parse_timestamps);
            }
            (KIND_SACK, value) => self.set_sack(value),
            _ => {}
        }
    }

    fn set_sack(&mut self, value: &[u8]) {
        let (blocks, []) = value.as_chunks::<8>() else {
            return;
        };
        for b in blocks {
            self.sack.push(SackBlock {
                left: SeqNum(u32::from_be_bytes([b[0], b[1], b[2], b[3]])),
                right: SeqNum(u32::from_be_bytes([b[4], b[5], b[6], b[7]])),
            });
        }
    }
}

#[inline]
fn parse_timestamps(value: &[u8; 8]) -> Option<Timestamps> {
    let [a, b, c, d, e, f, g, h] = *value;
    Some(Timestamps {
        val: u32::from_be_bytes([a, b, c, d]),
        ecr: u32::from_be_bytes([e, f, g, h]),
    })
}

/// Splits what follows an option's kind into its value and the options behind
/// it. The length byte counts itself and the kind.
fn split_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len).checked_sub(2)?)
}

#[cfg(test)]
mod tests;
