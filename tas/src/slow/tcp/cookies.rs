//! SYN cookies (RFC 4987 §3.6): answers to SYNs that need no memory, for listeners that have too
//! many half-open connections. What is remembered otherwise comes back with the peer's ACK: a
//! keyed hash and the MSS in its acknowledgment number, the rest in the echo of our timestamp.

use tas_wire::{FlowTuple, SackBlocks, SeqNum, TcpFlags, TcpHeader, TcpOptions, TcpPacket};
use tas_wire::{Timestamps, WindowScale};

use super::TcpControl;
use super::conn::{Conn, HalfOpen};
use super::listeners::ListenerId;
use super::world::World;
use crate::proto::handshake::{Handshake, Offer};
use crate::types::{CoreId, Micros};

/// A cookie names one of these, the largest not above the peer's.
const MSS: [u16; 8] = [88, 536, 1220, 1400, 1440, 1460, 4312, 8960];
/// Cookies change every 2²⁶ µs, about a minute, and hold for as long after that.
const EPOCH_BITS: u32 = 26;
/// How long ACKs are looked at after the last cookie.
const LIFETIME: Micros = Micros(2 << EPOCH_BITS);
/// Low bits of the timestamp that carry options: four of window scale, SACK, ECN.
const OPTION_BITS: u32 = 0x3f;
const NO_SCALE: u32 = 0xf;
const SACK: u32 = 0x10;
const ECN: u32 = 0x20;
const ECN_SETUP: TcpFlags = TcpFlags::ECE.union(TcpFlags::CWR);

/// Whether cookies are out.
#[derive(Default)]
pub(super) struct Cookies {
    until: Micros,
}

fn epoch(now: Micros) -> u32 {
    (now.0 >> EPOCH_BITS) as u32
}

/// 5 bits of the epoch, 3 of the MSS, 24 of the hash.
fn cookie(epoch: u32, mss: u32, hash: u32) -> SeqNum {
    SeqNum(epoch << 27 | (mss & 7) << 24 | hash >> 8)
}

/// Our timestamp with a SYN's options in its low bits, not above what it was: later ones must not
/// be below it.
fn with_options(ts: u32, syn: &TcpPacket<'_>) -> u32 {
    let scale = syn.options.window_scale;
    let mut bits = scale.map_or(NO_SCALE, |scale| scale.bits().into());
    if syn.options.sack_permitted {
        bits |= SACK;
    }
    if syn.tcp.flags.contains(ECN_SETUP) {
        bits |= ECN;
    }
    let stamped = (ts & !OPTION_BITS) | bits;
    match ts.wrapping_sub(stamped).cast_signed() {
        0.. => stamped,
        _ => stamped.wrapping_sub(OPTION_BITS + 1),
    }
}

/// A SYN as a cookie can stand for it.
fn as_remembered<'a>(syn: &TcpPacket<'a>, mss: u16) -> TcpPacket<'a> {
    let mut syn = *syn;
    syn.options.mss = Some(mss);
    if syn.options.timestamps.is_none() {
        syn.options.window_scale = None;
        syn.options.sack_permitted = false;
        syn.tcp.flags = syn.tcp.flags.without(ECN_SETUP);
    }
    syn
}

/// The SYN that the ACK of a cookie belongs to.
fn recalled<'a>(ack: &TcpPacket<'a>, mss: u16) -> TcpPacket<'a> {
    let bits = match ack.options.timestamps {
        Some(Timestamps { ecr, .. }) => ecr & OPTION_BITS,
        None => NO_SCALE,
    };
    let scale = bits & NO_SCALE;
    let ecn = if bits & ECN != 0 {
        ECN_SETUP
    } else {
        TcpFlags::EMPTY
    };
    TcpPacket {
        tcp: TcpHeader {
            seq: ack.tcp.seq - 1,
            ack: SeqNum(0),
            flags: TcpFlags::SYN | ecn,
            ..ack.tcp
        },
        options: TcpOptions {
            mss: Some(mss),
            window_scale: (scale != NO_SCALE).then(|| WindowScale::new(scale as u8)),
            sack_permitted: bits & SACK != 0,
            timestamps: ack.options.timestamps,
            sack: SackBlocks::NONE,
        },
        payload: &[],
        ..*ack
    }
}

impl TcpControl {
    /// Answers a SYN without remembering it.
    #[cold]
    pub(super) fn send_cookie(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
        offer: Offer,
    ) {
        let now = w.now();
        let tuple = packet.tuple();
        let named = packet.options.mss.unwrap_or(MSS[1]);
        let index = MSS.partition_point(|&mss| mss <= named).saturating_sub(1);
        let mss = MSS.get(index).copied().unwrap_or(MSS[0]);
        let hash = self.cookie_hash(&tuple, packet.tcp.seq, epoch(now), index as u32);
        let offer = Offer {
            iss: cookie(epoch(now), index as u32, hash),
            ..offer
        };
        let syn = as_remembered(packet, mss);
        let (_, mut reply) = Handshake::accept(offer, &syn, now);
        if let Some(ts) = &mut reply.timestamps {
            ts.val = with_options(ts.val, &syn);
        }
        self.cookies.until = now + LIFETIME;
        self.counts.cookies_sent += 1;
        let mac = self.mac_towards(&tuple).unwrap_or(packet.eth.src);
        self.transmit(w, core, mac, &tuple, &reply);
    }

    /// Takes the ACK of a cookie; false when it is none.
    pub(super) fn on_cookie(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
        frame: &[u8],
    ) -> bool {
        let flags = packet.tcp.flags;
        let other = flags.intersects(TcpFlags::SYN.union(TcpFlags::RST));
        if w.now() >= self.cookies.until || other || !flags.contains(TcpFlags::ACK) {
            return false;
        }
        let tuple = packet.tuple();
        let hash = self.random.hash(&tuple);
        let Some(id) = self
            .listeners
            .choose(tuple.local_ip, tuple.local_port, hash)
        else {
            return false;
        };
        let (irs, iss) = (packet.tcp.seq - 1, packet.tcp.ack - 1);
        match self.cookie_mss(&tuple, irs, iss, w.now()) {
            Some(mss) => self.resume(w, core, id, &recalled(packet, mss), iss, packet, frame),
            None => {
                self.counts.cookies_bad += 1;
                return false;
            }
        }
        true
    }

    /// Completes the handshake of a cookie, if there is room; otherwise its ACK counts as lost.
    #[expect(clippy::too_many_arguments, reason = "what a segment comes with")]
    fn resume(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        id: ListenerId,
        syn: &TcpPacket<'_>,
        iss: SeqNum,
        packet: &TcpPacket<'_>,
        frame: &[u8],
    ) {
        let tuple = packet.tuple();
        let Some(rx_len) = self.listeners.get(id).map(|listener| listener.lens.rx) else {
            return;
        };
        if !self.has_room(w, id) {
            self.counts.backlog_full += 1;
            return;
        }
        let offer = Offer {
            iss,
            ..self.offer(&tuple, rx_len, w.now())
        };
        let half = HalfOpen {
            listener: id,
            serial: self.next_serial,
            handshake: Handshake::resume(offer, syn, w.now()),
            mac: self.mac_towards(&tuple).unwrap_or(packet.eth.src),
            core,
        };
        self.insert_half_open(tuple, half);
        self.on_half_open_segment(w, core, packet, frame);
        if let Some(Conn::HalfOpen(_)) = self.conns.get(&tuple) {
            self.drop_half_open(&tuple);
        } else {
            self.counts.cookies_accepted += 1;
        }
    }

    fn cookie_hash(&self, tuple: &FlowTuple, irs: SeqNum, epoch: u32, mss: u32) -> u32 {
        self.isn.cookie(tuple, irs, epoch << 3 | mss)
    }

    /// The MSS that a cookie of ours stands for; `None`: it is none, or too old.
    fn cookie_mss(&self, tuple: &FlowTuple, irs: SeqNum, iss: SeqNum, now: Micros) -> Option<u16> {
        let mss = iss.0 >> 24 & 7;
        let is_of = |epoch| iss == cookie(epoch, mss, self.cookie_hash(tuple, irs, epoch, mss));
        let epoch = epoch(now);
        let ours = is_of(epoch) || is_of(epoch.wrapping_sub(1));
        ours.then(|| MSS.get(mss as usize).copied()).flatten()
    }
}

#[cfg(test)]
#[path = "cookies_tests.rs"]
mod tests;
