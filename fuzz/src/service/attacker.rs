//! A station on the network that sends what it likes. It does not see the good connections, and
//! does not spoof what would disturb those of any TCP: it cannot know their sequence numbers.

use tas::nic::sim::Seen;
use tas::sim::{HostIndex, World};
use tas_wire::{
    ArpOp, ArpPacket, ChecksumMode, Ecn, FlowTuple, IcmpMessage, Ipv4Addr, MacAddr, Packet,
    SackBlock, SegmentFields, SeqNum, TcpFlags, TcpTemplate, Timestamps, Verify, WindowScale,
    parse_with,
};

use super::{CLIENT, PORT, SERVER};
use crate::bytes::Bytes;
use crate::repair::{Repair, repair};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);
/// Connections that are remembered.
const TALKS: usize = 8;
/// Headers of Ethernet and IP.
const IP_PAYLOAD: usize = 34;

/// What is known of a connection with the service.
#[derive(Clone, Copy, Debug)]
struct Talk {
    /// As the attacker sees it.
    tuple: FlowTuple,
    /// What the service sends next.
    theirs: SeqNum,
    /// What it expects.
    ours: SeqNum,
    /// Its clock, and what it knows of ours.
    clocks: Option<Timestamps>,
}

/// The attacker.
pub struct Attacker {
    /// The service's station.
    target: MacAddr,
    talks: Vec<Talk>,
    /// What was sent last.
    last: Vec<u8>,
}

/// A difference that is most likely small.
fn near(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.u8() {
        0..=159 => 0,
        160..=207 => i32::from(bytes.u8().cast_signed()).cast_unsigned(),
        208..=239 => i32::from(bytes.u16().cast_signed()).cast_unsigned(),
        _ => bytes.u32(),
    }
}

fn address(bytes: &mut Bytes<'_>) -> Ipv4Addr {
    match bytes.u8() % 8 {
        0..=2 => IP,
        3 => SERVER.into(),
        4 => CLIENT.into(),
        5 => Ipv4Addr::new(10, 0, 0, bytes.u8()),
        _ => bytes.u32().into(),
    }
}

fn port(bytes: &mut Bytes<'_>) -> u16 {
    match bytes.u8() % 4 {
        0 | 1 => PORT,
        2 => 99,
        _ => bytes.u16(),
    }
}

impl Attacker {
    /// Knows of the service.
    pub fn new(target: MacAddr) -> Attacker {
        Attacker {
            target,
            talks: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Tells the service where it is, as any station does.
    pub fn settle(&self, world: &mut World, host: HostIndex) {
        let port = world.host(host).port();
        let request = ArpPacket::request(MAC, IP, SERVER.into());
        let mut frame = [0; tas_wire::arp::FRAME_LEN];
        assert_eq!(request.emit(&mut frame), Ok(frame.len()));
        world.network.inject(port, &frame);
    }

    /// Sees what was sent to it.
    pub fn learn(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            if !seen.is_to(MAC) {
                continue;
            }
            if let Ok(Packet::Tcp(packet)) = parse_with(&seen.frame, Verify::NONE) {
                let talk = Talk {
                    tuple: packet.tuple(),
                    theirs: packet.tcp.seq + packet.seq_len(),
                    ours: packet.tcp.ack,
                    clocks: packet.options.timestamps,
                };
                self.talks.retain(|known| known.tuple != talk.tuple);
                self.talks.truncate(TALKS - 1);
                self.talks.insert(0, talk);
            }
        }
    }

    /// A frame of some kind.
    pub fn frame(&mut self, kind: u8, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let frame = match kind {
            0 => self.any(bytes),
            1 => self.arp(bytes),
            2 => self.icmp(bytes),
            3 => self.changed(bytes),
            4 => self.opens(bytes),
            _ => self.segment(bytes),
        };
        self.last.clone_from(&frame);
        frame
    }

    /// Any bytes; most likely with the right beginning.
    fn any(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let how = bytes.u8();
        let mut frame = Vec::new();
        if how & 4 == 0 {
            frame.extend_from_slice(&self.target.0);
            frame.extend_from_slice(&MAC.0);
        }
        let len = bytes.u8().into();
        frame.extend_from_slice(bytes.take(len));
        repair(&mut frame, what(how));
        frame
    }

    fn arp(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let how = bytes.u8();
        let packet = ArpPacket {
            op: if how & 1 == 0 {
                ArpOp::Request
            } else {
                ArpOp::Reply
            },
            sender_mac: if how & 2 == 0 {
                MAC
            } else {
                MacAddr([bytes.u8(); 6])
            },
            sender_ip: address(bytes),
            target_mac: self.target,
            target_ip: address(bytes),
        };
        let mut frame = vec![0; tas_wire::arp::FRAME_LEN];
        assert_eq!(packet.emit(&mut frame), Ok(frame.len()));
        frame
    }

    /// An echo request, or an error that quotes a segment of a connection.
    fn icmp(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let mut frame = vec![0; IP_PAYLOAD];
        frame[..6].copy_from_slice(&self.target.0);
        frame[6..12].copy_from_slice(&MAC.0);
        frame[12..15].copy_from_slice(&[8, 0, 0x45]);
        frame[22..24].copy_from_slice(&[64, 1]);
        frame[26..30].copy_from_slice(&address(bytes).octets());
        frame[30..34].copy_from_slice(&SERVER);
        let how = bytes.u8();
        match self.talk(how >> 4) {
            Some(talk) if how & 1 != 0 => {
                frame.extend_from_slice(&[3, bytes.u8() % 16, 0, 0, 0, 0]);
                frame.extend_from_slice(&bytes.u16().to_be_bytes());
                let of = talk.tuple.reversed();
                let mut quoted = [0; 28];
                quoted[..10].copy_from_slice(&[0x45, 0, 5, 220, 0, 0, 64, 0, 64, 6]);
                quoted[12..16].copy_from_slice(&of.local_ip.octets());
                quoted[16..20].copy_from_slice(&of.remote_ip.octets());
                quoted[20..22].copy_from_slice(&of.local_port.to_be_bytes());
                quoted[22..24].copy_from_slice(&of.remote_port.to_be_bytes());
                let seq = talk.theirs + near(bytes);
                quoted[24..].copy_from_slice(&seq.0.to_be_bytes());
                frame.extend_from_slice(&quoted);
            }
            _ => {
                frame.extend_from_slice(&[8u8.wrapping_sub(how % 16), 0, 0, 0, 1, 2, 3, 4]);
                let len = usize::from(bytes.u8()) << (how >> 4 & 3);
                frame.resize(frame.len() + len, how);
            }
        }
        repair(&mut frame, Repair::All);
        frame
    }

    /// What was sent last, with a few bytes changed, cut or longer.
    fn changed(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let how = bytes.u8();
        let mut frame = self.last.clone();
        for _ in 0..how >> 4 {
            let at = bytes.u8();
            if let Some(byte) = frame.get_mut(usize::from(at)) {
                *byte = bytes.u8();
            }
        }
        if how & 4 != 0 {
            frame.resize(usize::from(bytes.u16() % 1600), how);
        }
        repair(&mut frame, what(how));
        frame
    }

    fn opens(&self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let how = bytes.u8();
        let tuple = FlowTuple {
            local_ip: if how & 0x80 == 0 { IP } else { address(bytes) },
            local_port: bytes.u8().into(),
            remote_ip: SERVER.into(),
            remote_port: port(bytes),
        };
        let fields = SegmentFields {
            seq: SeqNum(bytes.u32()),
            flags: if how & 1 == 0 {
                TcpFlags::SYN
            } else {
                TcpFlags::SYN | TcpFlags(bytes.u8())
            },
            window: bytes.u16(),
            timestamps: (how & 2 == 0).then(|| Timestamps {
                val: bytes.u32(),
                ecr: 0,
            }),
            mss: (how & 4 == 0).then(|| bytes.u16()),
            window_scale: (how & 8 == 0).then(|| WindowScale::new(bytes.u8())),
            sack_permitted: how & 0x10 == 0,
            ..SegmentFields::default()
        };
        let len = if how & 0x20 == 0 { 0 } else { bytes.u8() };
        self.build(&tuple, &fields, len.into())
    }

    fn talk(&self, which: u8) -> Option<Talk> {
        let which = usize::from(which).checked_rem(self.talks.len())?;
        self.talks.get(which).copied()
    }

    /// A segment of a connection, at most a little wrong.
    fn segment(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let Some(talk) = self.talk(bytes.u8()) else {
            return self.opens(bytes);
        };
        let how = bytes.u8();
        let sacks: Vec<SackBlock> = (0..how & 3)
            .map(|_| {
                let left = talk.theirs + near(bytes);
                let right = left + near(bytes);
                SackBlock { left, right }
            })
            .collect();
        let flags = match bytes.u8() {
            0..=190 => TcpFlags::ACK,
            191..=220 => TcpFlags::ACK | TcpFlags::FIN,
            _ => TcpFlags(bytes.u8()),
        };
        let len = match how >> 2 & 3 {
            0 => 0,
            1 => bytes.u8().into(),
            _ => bytes.u16() % 1440,
        };
        let fields = SegmentFields {
            seq: talk.ours + near(bytes),
            ack: talk.theirs + near(bytes),
            flags,
            window: if how & 0x10 == 0 { 65_535 } else { bytes.u16() },
            ecn: if how & 0x20 == 0 {
                Ecn::NotEct
            } else {
                Ecn::Ce
            },
            timestamps: talk
                .clocks
                .filter(|_| how & 0x40 == 0)
                .map(|clocks| Timestamps {
                    val: clocks.ecr.wrapping_add(near(bytes)),
                    ecr: clocks.val.wrapping_add(near(bytes)),
                }),
            sack: &sacks,
            ..SegmentFields::default()
        };
        // What arrives in order is taken.
        if let Some(known) = self
            .talks
            .iter_mut()
            .find(|known| known.tuple == talk.tuple)
            && fields.seq == talk.ours
        {
            known.ours = talk.ours + u32::from(len);
        }
        self.build(&talk.tuple, &fields, len.into())
    }

    fn build(&self, tuple: &FlowTuple, fields: &SegmentFields<'_>, len: usize) -> Vec<u8> {
        let at = fields.header_len();
        let mut frame = vec![0x61; at + len];
        let template = TcpTemplate::new(MAC, self.target, tuple);
        let built = template.emit(&mut frame, fields, len, 1, ChecksumMode::Full);
        assert_eq!(built, Ok(at));
        frame
    }
}

fn what(how: u8) -> Repair {
    match how % 4 {
        0 => Repair::Nothing,
        1 => Repair::Checksums,
        _ => Repair::All,
    }
}

/// The frame is not one with which anybody could disturb the good connections, of these ports of
/// the client.
pub fn is_fair(frame: &[u8], clients: &[u16]) -> bool {
    let good = [Ipv4Addr::from(SERVER), Ipv4Addr::from(CLIENT)];
    let touches = |tuple: FlowTuple| {
        let ends = [
            (tuple.local_ip, tuple.local_port),
            (tuple.remote_ip, tuple.remote_port),
        ];
        let client = |(ip, port)| ip == Ipv4Addr::from(CLIENT) && clients.contains(&port);
        ends.into_iter().any(client)
    };
    match parse_with(frame, Verify::NONE) {
        // Whoever claims another's address gets what is for it.
        Ok(Packet::Arp(packet)) => !good.contains(&packet.sender_ip),
        Ok(Packet::Tcp(packet)) => !touches(packet.tuple()),
        Ok(Packet::Icmp(packet)) => match packet.message {
            IcmpMessage::Unreachable(message) => {
                message.quoted.is_none_or(|quoted| !touches(quoted.tuple))
            }
            _ => true,
        },
        _ => true,
    }
}
