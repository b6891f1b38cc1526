//! The checker finds what it is there to find.

use std::net::Ipv4Addr;

use tas_wire::{
    ChecksumMode, Ecn, FlowTuple, MacAddr, SackBlock, SegmentFields, SeqNum, TcpFlags, TcpTemplate,
    Timestamps, WindowScale,
};

use crate::checker::{Checker, Station};

const OURS: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 1), 1000);
const PEER: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 0, 2), 2000);
/// First numbers: of ours, of the peer.
const ISS: SeqNum = SeqNum(u32::MAX - 10);
const IRS: SeqNum = SeqNum(5000);
const ACK: TcpFlags = TcpFlags::ACK;

/// A connection that we have opened, with timestamps, SACK and ECN.
struct Trace(Checker);

fn frame(to_peer: bool, fields: &SegmentFields<'_>, data: &[u8]) -> Vec<u8> {
    let (from, to) = if to_peer { (OURS, PEER) } else { (PEER, OURS) };
    let tuple = FlowTuple {
        local_ip: from.0,
        local_port: from.1,
        remote_ip: to.0,
        remote_port: to.1,
    };
    let template = TcpTemplate::new(MacAddr([2; 6]), MacAddr([4; 6]), &tuple);
    let headers = fields.header_len();
    let mut frame = vec![0; headers + data.len()];
    frame[headers..].copy_from_slice(data);
    template
        .emit(&mut frame, fields, data.len(), 0, ChecksumMode::Full)
        .unwrap();
    frame
}

fn syn(seq: SeqNum, ack: SeqNum, flags: TcpFlags) -> SegmentFields<'static> {
    SegmentFields {
        seq,
        ack,
        flags: TcpFlags::SYN | flags,
        window: 2000,
        timestamps: Some(Timestamps { val: 110, ecr: 0 }),
        mss: Some(1460),
        window_scale: Some(WindowScale::new(0)),
        sack_permitted: true,
        ..SegmentFields::default()
    }
}

fn ours(seq: u32, ack: u32) -> SegmentFields<'static> {
    SegmentFields {
        seq: ISS + 1 + seq,
        ack: IRS + 1 + ack,
        flags: ACK,
        window: 8000,
        timestamps: Some(Timestamps { val: 110, ecr: 110 }),
        ..SegmentFields::default()
    }
}

fn theirs(seq: u32, ack: u32) -> SegmentFields<'static> {
    SegmentFields {
        seq: IRS + 1 + seq,
        ack: ISS + 1 + ack,
        flags: ACK,
        window: 2000,
        timestamps: Some(Timestamps { val: 110, ecr: 110 }),
        ..SegmentFields::default()
    }
}

impl Trace {
    fn new() -> Trace {
        let mut checker = Checker::new();
        for (ip, ours) in [(OURS.0, true), (PEER.0, false)] {
            let station = Station {
                mtu: 1500,
                rx_len: 8192,
                ours,
            };
            checker.add(ip, station);
        }
        let mut trace = Trace(checker);
        let ecn = TcpFlags::ECE | TcpFlags::CWR;
        trace.send(&syn(ISS, SeqNum(0), ecn), &[]).unwrap();
        trace.recv(&syn(IRS, ISS + 1, ACK | TcpFlags::ECE), &[]);
        trace.send(&ours(0, 0), &[]).unwrap();
        trace.recv(&theirs(0, 0), &[]);
        trace
    }

    fn send(&mut self, fields: &SegmentFields<'_>, data: &[u8]) -> Result<(), String> {
        let frame = frame(true, fields, data);
        self.0.observe(&frame)?;
        self.0.arrive(&frame);
        Ok(())
    }

    fn recv(&mut self, fields: &SegmentFields<'_>, data: &[u8]) {
        let frame = frame(false, fields, data);
        self.0.observe(&frame).unwrap();
        self.0.arrive(&frame);
    }

    /// The peer sends something that is lost.
    fn lose(&mut self, fields: &SegmentFields<'_>, data: &[u8]) {
        self.0.observe(&frame(false, fields, data)).unwrap();
    }

    fn wrong(&mut self, fields: &SegmentFields<'_>, data: &[u8], what: &str) {
        let error = self.send(fields, data).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn ordinary_segments_are_right() {
    let mut t = Trace::new();
    t.send(&ours(0, 0), &[1; 1000]).unwrap();
    t.send(&ours(1000, 0), &[2; 1000]).unwrap();
    t.send(&ours(0, 0), &[1; 1000]).unwrap();
    assert_eq!(t.0.repeated, 1);
    // A probe, a keepalive.
    t.send(&ours(2000, 0), &[3]).unwrap();
    t.send(&ours(2000, 0), &[]).unwrap();
    t.recv(&theirs(0, 2000), &[7; 100]);
    let fin = SegmentFields {
        flags: ACK | TcpFlags::FIN,
        ..ours(2001, 100)
    };
    t.send(&fin, &[4; 100]).unwrap();
    t.send(&ours(2102, 100), &[]).unwrap();
}

#[test]
fn what_lies_wrong_is_found() {
    let t = Trace::new;
    t().wrong(&ours(1, 0), &[1], "a gap");
    t().wrong(&ours(u32::MAX - 1, 0), &[], "before the first");
    t().wrong(&ours(0, 0), &[0; 1461 - 12], "MSS");
    let mut t = Trace::new();
    t.send(&ours(0, 0), &[1; 1000]).unwrap();
    t.wrong(&ours(0, 0), &[2; 1000], "other data");
    t.send(&ours(1000, 0), &[1; 999]).unwrap();
    t.wrong(&ours(1999, 0), &[1; 2], "beyond the peer's window");
}

#[test]
fn what_follows_the_end_is_found() {
    let fin = SegmentFields {
        flags: ACK | TcpFlags::FIN,
        ..ours(0, 0)
    };
    let mut t = Trace::new();
    t.send(&fin, &[]).unwrap();
    t.wrong(&ours(1, 0), &[1], "data after FIN");
    let mut t = Trace::new();
    let reset = SegmentFields {
        flags: TcpFlags::RST,
        ..ours(0, 0)
    };
    t.send(&reset, &[]).unwrap();
    t.send(&reset, &[]).unwrap();
    t.wrong(&ours(0, 0), &[], "after RST");
    let ahead = SegmentFields {
        flags: TcpFlags::RST,
        ..ours(1, 0)
    };
    Trace::new().wrong(&ahead, &[], "ahead of all sent");
}

#[test]
fn wrong_acks_and_windows_are_found() {
    Trace::new().wrong(&ours(0, 1), &[], "never sent");
    let mut t = Trace::new();
    t.recv(&theirs(0, 0), &[1; 100]);
    t.lose(&theirs(100, 0), &[1; 100]);
    t.wrong(&ours(0, 200), &[], "not arrived");
    let mut t = Trace::new();
    t.recv(&theirs(0, 0), &[1; 100]);
    t.send(&ours(0, 100), &[]).unwrap();
    t.wrong(&ours(0, 99), &[], "goes back");
    let less = SegmentFields {
        window: 7999,
        ..ours(0, 0)
    };
    Trace::new().wrong(&less, &[], "right edge");
    let more = SegmentFields {
        window: 8193,
        ..ours(0, 0)
    };
    Trace::new().wrong(&more, &[], "beyond the buffer");
}

#[test]
fn wrong_times_are_found() {
    let with = |timestamps| SegmentFields {
        timestamps,
        ..ours(0, 0)
    };
    Trace::new().wrong(&with(None), &[], "no timestamps");
    for (val, ecr, what) in [
        (109, 110, "goes back"),
        (110, 111, "never sent"),
        (110, 109, "never sent"),
    ] {
        Trace::new().wrong(&with(Some(Timestamps { val, ecr })), &[], what);
    }
}

#[test]
fn wrong_sack_blocks_are_found() {
    let block = |left: u32, right: u32| SackBlock {
        left: IRS + 1 + left,
        right: IRS + 1 + right,
    };
    let trace = || {
        let mut t = Trace::new();
        t.lose(&theirs(0, 0), &[1; 100]);
        t.recv(&theirs(100, 0), &[1; 100]);
        t.lose(&theirs(200, 0), &[1; 100]);
        t.recv(&theirs(300, 0), &[1; 100]);
        t
    };
    let good: [&[SackBlock]; 3] = [
        &[block(300, 400), block(100, 200)],
        &[block(120, 150), block(100, 200)],
        &[block(100, 200), block(100, 200), block(300, 400)],
    ];
    for sack in good {
        let fields = SegmentFields { sack, ..ours(0, 0) };
        trace().send(&fields, &[]).unwrap();
    }
    let bad: [(&[SackBlock], &str); 5] = [
        (&[block(100, 100)], "empty"),
        (&[block(300, 401)], "never sent"),
        (&[block(200, 300)], "not arrived"),
        (
            &[block(300, 400), block(100, 200), block(150, 200)],
            "overlap",
        ),
        (
            &[block(120, 150), block(300, 400), block(100, 200)],
            "overlap",
        ),
    ];
    for (sack, what) in bad {
        let fields = SegmentFields { sack, ..ours(0, 0) };
        trace().wrong(&fields, &[], what);
    }
}

#[test]
fn wrong_marks_are_found() {
    let ect = |seq| SegmentFields {
        ecn: Ecn::Ect0,
        ..ours(seq, 0)
    };
    let mut t = Trace::new();
    t.send(&ect(0), &[1; 10]).unwrap();
    t.wrong(&ect(0), &[1; 10], "retransmission");
    t.wrong(&ect(10), &[], "without data");
}

#[test]
fn damaged_frames_are_found() {
    let mut t = Trace::new();
    let mut frame = frame(true, &ours(0, 0), &[1; 10]);
    *frame.last_mut().unwrap() ^= 1;
    assert!(t.0.observe(&frame).unwrap_err().contains("does not parse"));
}
