//! Watches the wire: every frame that one of our services sends must be one that the RFCs allow,
//! given what was sent before in both directions.
//!
//! What others send is followed, so that ours can be judged, and not judged itself.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use tas_wire::{Ecn, Packet, SackBlock, SeqNum, TcpFlags, TcpPacket, parse};

/// Ethernet header, bytes.
const ETHERNET: usize = 14;
/// IPv4 and TCP headers without options, bytes.
const HEADERS: usize = 40;
/// MSS of a peer that names none (RFC 9293 §3.7.1).
const DEFAULT_MSS: u16 = 536;
/// No smaller one is honoured: doc/tcp.md.
const MIN_MSS: u16 = 88;

/// What is known of a sender.
#[derive(Clone, Copy, Debug)]
pub struct Station {
    /// Largest IP packet of its port, bytes.
    pub mtu: u16,
    /// Receive buffer of each of its connections, bytes.
    pub rx_len: u32,
    /// It runs our service, and is judged.
    pub ours: bool,
}

type Address = (Ipv4Addr, u16);

/// The wire of a world.
pub struct Checker {
    stations: HashMap<Ipv4Addr, Station>,
    /// By both ends, the smaller first.
    wires: HashMap<(Address, Address), Wire>,
    /// Segments with data that had been sent before.
    pub repeated: u64,
    /// Segments judged.
    pub judged: u64,
}

/// A connection, and the ones before it between the same ports.
#[derive(Default)]
struct Wire {
    halves: [Half; 2],
    /// An old SYN was answered, so that two incarnations are mixed: nothing can be said until the
    /// next begins.
    mixed: bool,
}

/// What a SYN offered.
#[derive(Clone, Copy, Default)]
struct Offer {
    mss: Option<u16>,
    scale: Option<u8>,
    timestamps: bool,
    sack: bool,
    ecn: bool,
}

/// What one end has sent.
#[derive(Default)]
struct Half {
    iss: Option<SeqNum>,
    offer: Offer,
    /// Behind the last sequence number sent.
    end: SeqNum,
    /// Data from the first byte on.
    data: Vec<u8>,
    /// Where its FIN is.
    fin: Option<SeqNum>,
    acked: Option<SeqNum>,
    /// Right edge of the window that it announced, and that the peer can know of.
    edge: Option<SeqNum>,
    known_edge: Option<SeqNum>,
    /// What of it has arrived, from its SYN on.
    arrived: Spans,
    first_time: Option<u32>,
    last_time: Option<u32>,
    reset: bool,
}

impl Half {
    fn begin(packet: &TcpPacket<'_>) -> Half {
        let options = &packet.options;
        let flags = packet.tcp.flags;
        let asks = flags.contains(TcpFlags::ECE | TcpFlags::CWR);
        let agrees = flags.contains(TcpFlags::ACK | TcpFlags::ECE) && !asks;
        Half {
            iss: Some(packet.tcp.seq),
            end: packet.tcp.seq + 1,
            offer: Offer {
                mss: options.mss,
                scale: options.window_scale.map(|scale| scale.bits()),
                timestamps: options.timestamps.is_some(),
                sack: options.sack_permitted,
                ecn: asks || agrees,
            },
            ..Half::default()
        }
    }

    fn note_time(&mut self, packet: &TcpPacket<'_>) {
        if let Some(times) = packet.options.timestamps {
            self.first_time.get_or_insert(times.val);
            self.last_time = Some(times.val);
        }
    }

    fn note_ack(&mut self, packet: &TcpPacket<'_>, scale: u8) {
        if packet.tcp.flags.contains(TcpFlags::ACK) {
            let ack = packet.tcp.ack;
            self.acked = Some(self.acked.map_or(ack, |acked| acked.max(ack)));
        }
        let base = self.acked.unwrap_or(packet.tcp.ack);
        if packet.tcp.flags.contains(TcpFlags::ACK) {
            let edge = base + (u32::from(packet.tcp.window) << scale);
            self.edge = Some(self.edge.map_or(edge, |old| old.max(edge)));
        }
    }

    /// Takes the segment's data and FIN in; `Err` if they differ from what was sent there.
    fn note_data(&mut self, packet: &TcpPacket<'_>) -> Result<(), &'static str> {
        let Some(iss) = self.iss else {
            return Ok(());
        };
        let at = packet.tcp.seq.since(iss + 1) as usize;
        if !packet.payload.is_empty() {
            let known = self.data.get(at..).unwrap_or_default();
            let overlap = known.len().min(packet.payload.len());
            if known[..overlap] != packet.payload[..overlap] {
                return Err("other data than before at the same place");
            }
            if at <= self.data.len() {
                self.data.extend_from_slice(&packet.payload[overlap..]);
            }
        }
        let end = packet.tcp.seq + packet.seq_len();
        if packet.tcp.flags.contains(TcpFlags::FIN) {
            if self.fin.is_some_and(|fin| fin != end - 1) {
                return Err("FIN at another place than before");
            }
            if self.end.gt(end) {
                return Err("FIN before data that was sent");
            }
            self.fin = Some(end - 1);
        }
        self.end = self.end.max(end);
        Ok(())
    }
}

impl Checker {
    pub fn new() -> Checker {
        Checker {
            stations: HashMap::new(),
            wires: HashMap::new(),
            repeated: 0,
            judged: 0,
        }
    }

    pub fn add(&mut self, ip: Ipv4Addr, station: Station) {
        self.stations.insert(ip, station);
    }

    /// Right edge announced on a connection by its end `from`, counted from the peer's first byte.
    pub fn announced(&self, from: Address, to: Address) -> Option<u32> {
        let (key, side) = key(from, to);
        let wire = self.wires.get(&key).filter(|wire| !wire.mixed)?;
        let iss = wire.halves[1 - side].iss?;
        Some(wire.halves[side].edge?.since(iss + 1))
    }

    /// Whether `from` has something to send again: it is not acknowledged, and the peer's window,
    /// as far as it arrived, is open.
    pub fn owes(&self, from: Address, to: Address) -> bool {
        let (key, side) = key(from, to);
        let Some(wire) = self.wires.get(&key) else {
            return false;
        };
        let (ours, theirs) = (&wire.halves[side], &wire.halves[1 - side]);
        let open = |acked: SeqNum| theirs.known_edge.is_some_and(|edge| edge.gt(acked));
        theirs
            .acked
            .is_some_and(|acked| acked.lt(ours.end) && open(acked))
    }

    /// Looks at a frame that has arrived.
    pub fn arrive(&mut self, frame: &[u8]) {
        let Ok(Packet::Tcp(packet)) = parse(frame) else {
            return;
        };
        let from = (packet.ip_src, packet.tcp.src_port);
        let to = (packet.ip_dst, packet.tcp.dst_port);
        let (key, side) = key(from, to);
        if let Some(wire) = self.wires.get_mut(&key) {
            wire.arrive(side, &packet);
        }
    }

    /// Looks at a frame that was sent.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn observe(&mut self, frame: &[u8]) -> Result<(), String> {
        let packet = match parse(frame) {
            Ok(Packet::Tcp(packet)) => packet,
            Ok(_) => return Ok(()),
            Err(error) => return Err(format!("a frame that does not parse: {error:?}")),
        };
        let Some(station) = self.stations.get(&packet.ip_src).copied() else {
            return Err(format!("a frame from {}", packet.ip_src));
        };
        let receiver = self.stations.get(&packet.ip_dst).copied();
        let from = (packet.ip_src, packet.tcp.src_port);
        let to = (packet.ip_dst, packet.tcp.dst_port);
        let (key, side) = key(from, to);
        let wire = self.wires.entry(key).or_default();
        let mut wrong = wire.follow(side, &packet, &station);
        if station.ours && wrong.is_ok() {
            self.judged += 1;
            let most = receiver.map_or(station.mtu, |other| other.mtu.min(station.mtu));
            if frame.len() > usize::from(most) + ETHERNET {
                wrong = Err("longer than the MTU".to_owned());
            }
            // Options count (RFC 6691 §2).
            if frame.len() - ETHERNET - HEADERS > wire.mss(1 - side) && !packet.payload.is_empty() {
                wrong = Err("longer than the peer's MSS".to_owned());
            }
        }
        self.repeated += u64::from(wrong == Ok(true));
        match wrong {
            Err(error) if station.ours => Err(format!(
                "{from:?} > {to:?} seq {} len {} ack {} window {} {} {:?}: {error}",
                packet.tcp.seq.0,
                packet.payload.len(),
                packet.tcp.ack.0,
                packet.tcp.window,
                packet.tcp.flags,
                packet.options,
            )),
            _ => Ok(()),
        }
    }
}

/// Ranges of numbers.
#[derive(Default)]
struct Spans(Vec<(u32, u32)>);

impl Spans {
    fn add(&mut self, start: u32, end: u32) {
        let (mut start, mut end) = (start, end);
        self.0.retain(|span| {
            let touches = span.0 <= end && start <= span.1;
            if touches {
                start = start.min(span.0);
                end = end.max(span.1);
            }
            !touches
        });
        self.0.push((start, end));
    }

    fn contains(&self, start: u32, end: u32) -> bool {
        self.0.iter().any(|span| span.0 <= start && end <= span.1)
    }
}

fn key(from: Address, to: Address) -> ((Address, Address), usize) {
    if from <= to {
        ((from, to), 0)
    } else {
        ((to, from), 1)
    }
}

fn require(holds: bool, otherwise: &str) -> Result<(), String> {
    holds.then_some(()).ok_or_else(|| otherwise.to_owned())
}

impl Wire {
    /// Judges a segment, then takes it in. `Ok(true)`: its data had been sent before.
    fn follow(
        &mut self,
        side: usize,
        packet: &TcpPacket<'_>,
        station: &Station,
    ) -> Result<bool, String> {
        let flags = packet.tcp.flags;
        require(!flags.contains(TcpFlags::URG), "urgent data")?;
        if flags.contains(TcpFlags::RST) {
            return self.follow_reset(side, packet);
        }
        if flags.contains(TcpFlags::SYN) {
            return self.follow_syn(side, packet, station).map(|()| false);
        }
        if self.mixed {
            return Ok(false);
        }
        let judged = self.judge(side, packet, station);
        let repeated = packet.seq_len() > 0 && packet.tcp.seq.lt(self.halves[side].end);
        let scale = self.scale(side);
        let half = &mut self.halves[side];
        half.note_time(packet);
        half.note_ack(packet, scale);
        half.note_data(packet).map_err(str::to_owned)?;
        judged.map(|()| repeated)
    }

    /// A segment of a side has reached the other.
    fn arrive(&mut self, side: usize, packet: &TcpPacket<'_>) {
        let flags = packet.tcp.flags;
        let scale = if flags.contains(TcpFlags::SYN) {
            0
        } else {
            self.scale(side)
        };
        let half = &mut self.halves[side];
        let Some(iss) = half.iss else {
            return;
        };
        let start = packet.tcp.seq.since(iss);
        // Others belong to an earlier connection.
        if start <= half.end.since(iss) && !flags.contains(TcpFlags::RST) {
            half.arrived.add(start, start + packet.seq_len());
            if flags.contains(TcpFlags::ACK) {
                let edge = packet.tcp.ack + (u32::from(packet.tcp.window) << scale);
                half.known_edge = Some(half.known_edge.map_or(edge, |old| old.max(edge)));
            }
        }
    }

    /// By how much the windows of a side are scaled (RFC 7323 §2.2: only if both offer it).
    fn scale(&self, side: usize) -> u8 {
        let [ours, theirs] = [side, 1 - side].map(|side| self.halves[side].offer.scale);
        ours.filter(|_| theirs.is_some()).unwrap_or(0)
    }

    /// What a side accepts in a segment: data and options.
    fn mss(&self, side: usize) -> usize {
        let mss = self.halves[side].offer.mss.unwrap_or(DEFAULT_MSS);
        mss.max(MIN_MSS).into()
    }

    fn both(&self, has: impl Fn(&Offer) -> bool) -> bool {
        self.halves.iter().all(|half| has(&half.offer))
    }

    fn follow_reset(&mut self, side: usize, packet: &TcpPacket<'_>) -> Result<bool, String> {
        require(packet.payload.is_empty(), "RST with data")?;
        let half = &mut self.halves[side];
        half.reset = true;
        let answers_syn = packet.tcp.flags.contains(TcpFlags::ACK) && packet.tcp.seq == SeqNum(0);
        let known = half.iss.is_none() || self.mixed || answers_syn;
        // Elsewhere it could not reset anything (RFC 9293 §3.10.7.4), or stems from an old
        // segment's number.
        require(
            known || packet.tcp.seq.le(half.end),
            "RST with a number ahead of all sent",
        )?;
        Ok(false)
    }

    fn follow_syn(
        &mut self,
        side: usize,
        packet: &TcpPacket<'_>,
        station: &Station,
    ) -> Result<(), String> {
        require(packet.payload.is_empty(), "SYN with data")?;
        require(!packet.tcp.flags.contains(TcpFlags::FIN), "SYN with FIN")?;
        let answer = packet.tcp.flags.contains(TcpFlags::ACK);
        let theirs = &self.halves[1 - side];
        let fits = theirs.iss.is_some_and(|iss| packet.tcp.ack == iss + 1);
        if self.halves[side].iss != Some(packet.tcp.seq) {
            if !answer {
                *self = Wire::default();
            } else if !fits || theirs.end != packet.tcp.ack {
                self.mixed = true;
            }
            self.halves[side] = Half::begin(packet);
        }
        if self.mixed {
            return Ok(());
        }
        let theirs = self.halves[1 - side].offer;
        let half = &mut self.halves[side];
        half.reset = false;
        half.note_time(packet);
        let mss = usize::from(station.mtu) - HEADERS;
        require(
            packet.options.mss.map(usize::from) == Some(mss),
            "an MSS that is not the port's",
        )?;
        require(
            u32::from(packet.tcp.window) <= station.rx_len,
            "a window beyond the buffer",
        )?;
        require(packet.ecn == Ecn::NotEct, "SYN as ECN-capable")?;
        if answer {
            half.note_ack(packet, 0);
            let unasked = (half.offer.scale.is_some() && theirs.scale.is_none())
                || (half.offer.timestamps && !theirs.timestamps)
                || (half.offer.sack && !theirs.sack)
                || (half.offer.ecn && !theirs.ecn);
            require(fits, "SYN-ACK for another SYN")?;
            require(!unasked, "SYN-ACK with what was not offered")?;
        }
        Ok(())
    }

    fn judge(&self, side: usize, packet: &TcpPacket<'_>, station: &Station) -> Result<(), String> {
        let ours = &self.halves[side];
        let flags = packet.tcp.flags;
        require(ours.iss.is_some(), "a segment before any SYN")?;
        require(!ours.reset, "a segment after RST")?;
        // RFC 9293 §3.10.7.4: the receiver drops all others.
        require(flags.contains(TcpFlags::ACK), "a segment without ACK")?;
        self.judge_place(side, packet)?;
        self.judge_ack(side, packet, station)?;
        self.judge_times(side, packet)?;
        self.judge_sack(side, packet)?;
        self.judge_ecn(side, packet)
    }

    fn judge_place(&self, side: usize, packet: &TcpPacket<'_>) -> Result<(), String> {
        let (ours, theirs) = (&self.halves[side], &self.halves[1 - side]);
        let iss = ours.iss.unwrap_or_default();
        let (seq, len) = (packet.tcp.seq, packet.seq_len());
        let end = seq + len;
        require(seq.ge(iss), "a number before the first")?;
        require(seq.le(ours.end), "a gap behind all that was sent")?;
        if let Some(fin) = ours.fin {
            require(end.le(fin + 1), "data after FIN")?;
        }
        // A probe may be one beyond (RFC 9293 §3.8.6.1).
        let edge = theirs
            .edge
            .map(|edge| if len == 1 { edge + 1 } else { edge });
        require(
            len == 0 || edge.is_some_and(|edge| end.le(edge)),
            "data beyond the peer's window",
        )
    }

    fn judge_ack(
        &self,
        side: usize,
        packet: &TcpPacket<'_>,
        station: &Station,
    ) -> Result<(), String> {
        let (ours, theirs) = (&self.halves[side], &self.halves[1 - side]);
        let ack = packet.tcp.ack;
        require(theirs.iss.is_some(), "an ACK of nothing")?;
        require(ack.le(theirs.end), "an ACK of what was never sent")?;
        let first = theirs.iss.unwrap_or_default();
        require(
            theirs.arrived.contains(0, ack.since(first)),
            "an ACK of what has not arrived",
        )?;
        require(
            ours.acked.is_none_or(|acked| ack.ge(acked)),
            "an ACK that goes back",
        )?;
        let scale = self.scale(side);
        let window = u32::from(packet.tcp.window) << scale;
        require(window <= station.rx_len, "a window beyond the buffer")?;
        // Nothing follows a FIN, so that the window says nothing any more.
        let over = theirs.fin.is_some_and(|fin| ack == fin + 1);
        // RFC 7323 §2.4: scaling rounds.
        let rounding = (1u32 << scale) - 1;
        let shrunk = ours
            .edge
            .is_some_and(|edge| (ack + window + rounding).lt(edge));
        require(over || !shrunk, "a right edge that moves back")
    }

    fn judge_times(&self, side: usize, packet: &TcpPacket<'_>) -> Result<(), String> {
        let (ours, theirs) = (&self.halves[side], &self.halves[1 - side]);
        let agreed = self.both(|offer| offer.timestamps);
        match packet.options.timestamps {
            // RFC 7323 §3.2.
            None => require(!agreed, "no timestamps, though agreed on"),
            Some(_) if !agreed => Err("timestamps that were not agreed on".to_owned()),
            Some(times) => {
                let back = |last| SeqNum(times.val).lt(SeqNum(last));
                require(!ours.last_time.is_some_and(back), "a time that goes back")?;
                let ahead = |last| SeqNum(times.ecr).gt(SeqNum(last));
                let before = |first| SeqNum(times.ecr).lt(SeqNum(first));
                let never =
                    theirs.last_time.is_some_and(ahead) || theirs.first_time.is_some_and(before);
                require(!never, "an echo of a time that was never sent")
            }
        }
    }

    fn judge_sack(&self, side: usize, packet: &TcpPacket<'_>) -> Result<(), String> {
        let blocks = packet.options.sack.as_slice();
        let theirs = &self.halves[1 - side];
        require(
            blocks.is_empty() || self.both(|offer| offer.sack),
            "SACK that was not agreed on",
        )?;
        let ack = packet.tcp.ack;
        let first = theirs.iss.unwrap_or_default() + 1;
        for (index, block) in blocks.iter().enumerate() {
            require(block.left.lt(block.right), "an empty SACK block")?;
            require(
                block.left.ge(first) && block.right.le(theirs.end),
                "a SACK block of what was never sent",
            )?;
            let [left, right] = [block.left, block.right].map(|at| at.since(first - 1));
            require(
                theirs.arrived.contains(left, right),
                "a SACK block of what has not arrived",
            )?;
            // RFC 2883 §4: the first block may report what came twice.
            let dsack = index == 0
                && (block.right.le(ack)
                    || blocks.get(1).is_some_and(|outer| contains(outer, block)));
            require(dsack || block.left.gt(ack), "a SACK block at the ACK")?;
            let overlaps =
                |other: &SackBlock| block.left.lt(other.right) && other.left.lt(block.right);
            require(
                dsack || !blocks[index + 1..].iter().any(overlaps),
                "SACK blocks that overlap",
            )?;
        }
        Ok(())
    }

    fn judge_ecn(&self, side: usize, packet: &TcpPacket<'_>) -> Result<(), String> {
        if packet.ecn == Ecn::NotEct {
            return Ok(());
        }
        require(self.both(|offer| offer.ecn), "ECT that was not agreed on")?;
        require(packet.ecn != Ecn::Ce, "CE from a sender")?;
        // RFC 3168 §6.1.4–6.
        require(!packet.payload.is_empty(), "ECT without data")?;
        let new = packet.tcp.seq.ge(self.halves[side].end);
        require(new, "ECT on a retransmission")
    }
}

fn contains(outer: &SackBlock, inner: &SackBlock) -> bool {
    outer.left.le(inner.left) && inner.right.le(outer.right)
}
