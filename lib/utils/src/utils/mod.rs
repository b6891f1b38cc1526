//! Parsing of addresses and dumping of memory.

#[allow(unsafe_code)]
mod ffi;

/// Parses `a.b.c.d`, four decimal numbers without leading zeros, as a host
/// order address.
pub fn parse_ipv4(text: &[u8]) -> Option<u32> {
    let mut parts = text.split(|c| *c == b'.');
    let mut ip = 0;
    for _ in 0..4 {
        ip = ip << 8 | u32::from(parse_octet(parts.next()?)?);
    }
    parts.next().is_none().then_some(ip)
}

fn parse_octet(digits: &[u8]) -> Option<u8> {
    // A leading zero means octal to some parsers, so it is nobody's number.
    if digits.is_empty() || digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    digits.iter().try_fold(0u8, |value, c| {
        let digit = c.checked_sub(b'0').filter(|d| *d < 10)?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Parses `aa:bb:cc:dd:ee:ff`; the bytes in memory order, then two zeros.
pub fn parse_mac(text: &[u8]) -> Option<u64> {
    let mut parts = text.split(|c| *c == b':');
    let mut mac = [0; 8];
    for byte in mac.iter_mut().take(6) {
        let &[high, low] = parts.next()? else {
            return None;
        };
        *byte = hex_value(high)? << 4 | hex_value(low)?;
    }
    parts.next().is_none().then_some(u64::from_ne_bytes(mac))
}

const fn hex_value(c: u8) -> Option<u8> {
    match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        b'A'..=b'F' => Some(c - b'A' + 10),
        _ => None,
    }
}

/// Bytes of memory on one line of a dump.
pub const DUMP_BYTES: usize = 16;
/// Bytes of a line: offset, two spaces, 16 times ` xx`, newline.
const LINE_LEN: usize = 8 + 1 + 3 * DUMP_BYTES + 1;

/// One line of a dump.
pub struct DumpLine {
    text: [u8; LINE_LEN],
    len: usize,
}

impl DumpLine {
    /// The line for up to [`DUMP_BYTES`] bytes at `offset`.
    pub fn new(offset: u32, bytes: &[u8]) -> Self {
        let mut line = Self {
            text: [0; LINE_LEN],
            len: 0,
        };
        for byte in offset.to_be_bytes() {
            line.push_hex(byte);
        }
        line.push(b':');
        for byte in bytes.iter().take(DUMP_BYTES) {
            line.push(b' ');
            line.push_hex(*byte);
        }
        line.push(b'\n');
        line
    }

    /// The text, newline included.
    pub fn text(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, c: u8) {
        if let Some(place) = self.text.get_mut(self.len) {
            *place = c;
            self.len += 1;
        }
    }

    fn push_hex(&mut self, byte: u8) {
        for nibble in [byte >> 4, byte & 0xf] {
            self.push(if nibble < 10 {
                b'0' + nibble
            } else {
                b'a' + nibble - 10
            });
        }
    }
}

#[cfg(test)]
mod tests;
