//! Trace records as text, in the format that scripts parse.

use std::fmt::{self, Write as _};

use tas_abi::trace::{
    FLEXNIC_PL_TREV_AFLOQMAN, FLEXNIC_PL_TREV_ARX, FLEXNIC_PL_TREV_ATX, FLEXNIC_PL_TREV_REXMIT,
    FLEXNIC_PL_TREV_RXFS, FLEXNIC_PL_TREV_TXACK, FLEXNIC_PL_TREV_TXSEG, FLEXNIC_TRACE_EV_DMARD,
    FLEXNIC_TRACE_EV_DMAWR, FLEXNIC_TRACE_EV_QMEVT, FLEXNIC_TRACE_EV_QMSET, FLEXNIC_TRACE_EV_RXPKT,
    FLEXNIC_TRACE_EV_TXPKT, TraceEntryDma, TraceEntryQmanEvent, TraceEntryQmanSet, TrevAfloqman,
    TrevArx, TrevAtx, TrevRexmit, TrevRxfs, TrevTxack, TrevTxseg,
};
use zerocopy::FromBytes;

use crate::trace::Record;

/// Writes the fields of a record as `name=value`, those behind the bar in hexadecimal.
macro_rules! fields {
    ($f:expr, $body:expr, $name:literal, $type:ty, { $($field:ident $($hex:literal)?),* $(,)? }) => {{
        let Ok((record, _)) = <$type>::read_from_prefix($body) else {
            return write!($f, concat!("FLEXTCP_EV_", $name, " (too short)"));
        };
        write!($f, concat!("FLEXTCP_EV_", $name))?;
        $(
            let value = record.$field;
            fields!(@value $f, $field, value $(, $hex)?);
        )*
        Ok(())
    }};
    (@value $f:expr, $field:ident, $value:ident) => {
        write!($f, concat!(" ", stringify!($field), "={}"), $value)?;
    };
    (@value $f:expr, $field:ident, $value:ident, $hex:literal) => {
        write!($f, concat!(" ", stringify!($field), "={:", $hex, "}"), $value)?;
    };
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ts, seq, kind) = (self.ts, self.seq, self.kind);
        write!(f, "ts={ts:20}  seq={seq}  type={kind}:")?;
        let body = self.body.as_slice();
        match kind {
            FLEXNIC_TRACE_EV_RXPKT => frame(f, "RXPKT", body),
            FLEXNIC_TRACE_EV_TXPKT => frame(f, "TXPKT", body),
            FLEXNIC_TRACE_EV_DMARD => dma(f, "DMARD", body),
            FLEXNIC_TRACE_EV_DMAWR => dma(f, "DMAWR", body),
            FLEXNIC_TRACE_EV_QMSET => queue_set(f, body),
            FLEXNIC_TRACE_EV_QMEVT => queue_event(f, body),
            FLEXNIC_PL_TREV_ATX => fields!(f, body, "ATX", TrevAtx, {
                rx_bump, tx_bump, bump_seq_ent, flags "x", local_ip "x", remote_ip "x",
                local_port, remote_port, flow_id, db_id, tx_next_pos, tx_next_seq, tx_avail_prev,
                rx_next_pos, rx_avail, tx_len, rx_len, rx_remote_avail, tx_sent, bump_seq_flow,
            }),
            FLEXNIC_PL_TREV_ARX => fields!(f, body, "ARX", TrevArx, {
                opaque, rx_bump, tx_bump, rx_pos, flags "x", flow_id, db_id, local_ip "x",
                remote_ip "x", local_port, remote_port,
            }),
            FLEXNIC_PL_TREV_RXFS => fields!(f, body, "RXFS", TrevRxfs, {
                local_ip "x", remote_ip "x", local_port, remote_port, flow_id, flow_seq, flow_ack,
                flow_flags "x", flow_len, fs_rx_nextpos, fs_rx_nextseq, fs_rx_avail,
                fs_tx_nextpos, fs_tx_nextseq, fs_tx_sent, fs_tx_avail,
            }),
            FLEXNIC_PL_TREV_TXACK => fields!(f, body, "TXACK", TrevTxack, {
                local_ip "x", remote_ip "x", local_port, remote_port, flow_seq, flow_ack,
                flow_flags "x",
            }),
            FLEXNIC_PL_TREV_TXSEG => fields!(f, body, "TXSEG", TrevTxseg, {
                local_ip "x", remote_ip "x", local_port, remote_port, flow_seq, flow_ack,
                flow_flags "x", flow_len,
            }),
            FLEXNIC_PL_TREV_AFLOQMAN => fields!(f, body, "AFLOQMAN", TrevAfloqman, {
                tx_base, tx_avail, tx_next_pos, tx_len, rx_remote_avail, tx_sent, flow_id,
            }),
            FLEXNIC_PL_TREV_REXMIT => fields!(f, body, "REXMIT", TrevRexmit, {
                flow_id, tx_avail, tx_sent, tx_next_pos, tx_next_seq, rx_remote_avail,
            }),
            _ => write!(f, "unknown length={}", body.len()),
        }
    }
}

fn dma(f: &mut fmt::Formatter<'_>, name: &str, body: &[u8]) -> fmt::Result {
    write!(f, "FLEXNIC_EV_{name}  ")?;
    match TraceEntryDma::read_from_prefix(body) {
        Ok((dma, data)) => {
            let (addr, len) = (dma.addr, dma.len);
            write!(f, " dma={{addr={addr:x} len={len:x}}}")?;
            payload(f, data)
        }
        Err(_) => f.write_str("(too short)"),
    }
}

fn queue_set(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    f.write_str("FLEXNIC_EV_QMSET  ")?;
    match TraceEntryQmanSet::read_from_prefix(body) {
        Ok((set, _)) => write!(
            f,
            " cfg={{id={} rate={} avail={} max_chunk={} opaque={:x} flags={:x}}}",
            { set.id },
            { set.rate },
            { set.avail },
            { set.max_chunk },
            set.opaque,
            set.flags
        ),
        Err(_) => f.write_str("(too short)"),
    }
}

fn queue_event(f: &mut fmt::Formatter<'_>, body: &[u8]) -> fmt::Result {
    f.write_str("FLEXNIC_EV_QMEVT  ")?;
    match TraceEntryQmanEvent::read_from_prefix(body) {
        Ok((event, _)) => write!(
            f,
            " cfg={{id={} bytes={} opaque={:x}}}",
            { event.id },
            { event.bytes },
            event.opaque
        ),
        Err(_) => f.write_str("(too short)"),
    }
}

/// Reads numbers in network order off the front of a frame, which may have been cut anywhere.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// The next `N` bytes.
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// An Ethernet address as the number that its bytes are in little-endian order.
    fn mac(&mut self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.bytes()?;
        Some(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    fn skip(&mut self, n: usize) -> Option<()> {
        self.0 = self.0.get(n..)?;
        Some(())
    }
}

const ETHERTYPE_IP: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const PROTO_TCP: u8 = 6;

fn frame(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(f, "FLEXNIC_EV_{name}  ")?;
    let mut text = String::new();
    let rest = headers(bytes, &mut text);
    f.write_str(&text)?;
    payload(f, rest)
}

/// Appends the text of the headers that are there; what follows them is returned.
fn headers<'a>(bytes: &'a [u8], text: &mut String) -> &'a [u8] {
    let mut at = Cursor(bytes);
    let Some(kind) = ethernet(&mut at, text) else {
        return bytes;
    };
    let begin = at.0;
    let known = match kind {
        ETHERTYPE_IP => ip(&mut at, text),
        ETHERTYPE_ARP => arp(&mut at, text),
        _ => Some(()),
    };
    match known {
        Some(()) => at.0,
        None => begin,
    }
}

fn ethernet(at: &mut Cursor<'_>, text: &mut String) -> Option<u16> {
    let (dst, src, kind) = (at.mac()?, at.mac()?, at.u16()?);
    let _ = write!(text, "eth={{src={src:x} dst={dst:x} type={kind:x}}}");
    Some(kind)
}

fn ip(at: &mut Cursor<'_>, text: &mut String) -> Option<()> {
    let version_len = at.u8()?;
    at.skip(1)?;
    let total = usize::from(at.u16()?);
    at.skip(5)?;
    let proto = at.u8()?;
    at.skip(2)?;
    let (src, dst) = (at.u32()?, at.u32()?);
    let header = usize::from(version_len & 0xf) * 4;
    at.skip(header.checked_sub(20)?)?;
    let _ = write!(text, " ip={{src={src:x} dst={dst:x} proto={proto:x}}}");
    // Short frames are padded.
    let len = total.checked_sub(header)?;
    at.0 = at.0.get(..len).unwrap_or(at.0);
    if proto == PROTO_TCP {
        let begin = at.0;
        if tcp(at, len, text).is_none() {
            at.0 = begin;
        }
    }
    Some(())
}

/// `len` is that of header and data.
fn tcp(at: &mut Cursor<'_>, len: usize, text: &mut String) -> Option<()> {
    let (src, dst, seq, ack) = (at.u16()?, at.u16()?, at.u32()?, at.u32()?);
    let (offset, flags, wnd) = (at.u8()?, at.u8()?, at.u16()?);
    at.skip(4)?;
    let header = usize::from(offset >> 4) * 4;
    let data = len.checked_sub(header)?;
    let _ = write!(
        text,
        " tcp={{src={src} dst={dst} flags={flags:x} seq={seq} ack={ack} wnd={wnd} len={data}}}"
    );
    // Options that were cut off leave no data.
    at.0 = at.0.get(header.checked_sub(20)?..).unwrap_or_default();
    Some(())
}

fn arp(at: &mut Cursor<'_>, text: &mut String) -> Option<()> {
    at.skip(6)?;
    let (oper, sha, spa) = (at.u16()?, at.mac()?, at.u32()?);
    let (tha, tpa) = (at.mac()?, at.u32()?);
    let _ = write!(
        text,
        " arp={{oper={oper} spa={spa:x} tpa={tpa:x} sha={sha:x} tha={tha:x}}}"
    );
    // What follows is padding.
    at.0 = &[];
    Some(())
}

fn payload(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    if bytes.is_empty() {
        return Ok(());
    }
    f.write_str(" payload={")?;
    for (index, byte) in bytes.iter().enumerate() {
        let gap = if index == 0 { "" } else { " " };
        write!(f, "{gap}{byte:02x}")?;
    }
    f.write_char('}')
}

#[cfg(test)]
#[path = "trace_text_tests.rs"]
mod tests;
