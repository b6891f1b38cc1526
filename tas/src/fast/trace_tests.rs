use tas_abi::trace::{TraceEntryHead, TraceEntryTail};
use tas_abi::trace_control::TRACE_EVENTS;
use tas_shm::{LogReader, LogSnapshot};
use zerocopy::{FromBytes, FromZeros};

use super::*;

const LEN: u32 = 1 << 17;
const EVERYTHING: Wanted = Wanted {
    events: TRACE_ALL,
    snap: 64,
};

fn file() -> Backing {
    Backing::memfd("trace", trace_region_len(LEN), false).unwrap()
}

fn trace(wanted: Wanted) -> Trace {
    Trace::new(file(), LEN, wanted).unwrap()
}

fn reader(trace: &Trace) -> LogReader {
    trace.ring.as_ref().unwrap().log.reader()
}

/// The records, the newest first, walking backwards as tools do.
fn records(snapshot: &LogSnapshot) -> Vec<(TraceEntryHead, Vec<u8>)> {
    let mut records = Vec::new();
    let mut at = snapshot.end;
    while at > snapshot.start {
        let mut tail = TraceEntryTail::new_zeroed();
        assert!(snapshot.read(at - 2, zerocopy::IntoBytes::as_mut_bytes(&mut tail)));
        let len = usize::from(tail.length);
        let mut bytes = vec![0; 16 + len + 2];
        at -= bytes.len() as u64;
        if !snapshot.read(at, &mut bytes) {
            break;
        }
        let (head, rest) = TraceEntryHead::read_from_prefix(&bytes).unwrap();
        assert_eq!(usize::from(head.length), len);
        records.push((head, rest[..len].to_vec()));
    }
    records
}

fn kinds(trace: &Trace) -> Vec<u16> {
    let mut kinds: Vec<u16> = records(&reader(trace).snapshot())
        .iter()
        .map(|(head, _)| head.type_)
        .collect();
    kinds.reverse();
    kinds
}

fn flow() -> FlowSt {
    let mut st = FlowSt::new_zeroed();
    st.local_ip.set(0x0a00_0001);
    st.remote_ip.set(0x0a00_0002);
    st.local_port.set(80);
    st.remote_port.set(4321);
    st.tx_next_seq = 77;
    st.tx_len = 4096;
    st.rx_avail = 1000;
    st.bump_seq = 3;
    st.db_id = 5;
    st.tx_rate = 5000;
    st
}

const SEGMENT: Segment = Segment {
    seq: tas_wire::SeqNum(1),
    ack: tas_wire::SeqNum(2),
    flags: tas_wire::TcpFlags::ACK,
    window: 3,
    timestamps: None,
    ce: false,
    sack: false,
    len: 10,
};

/// A frame with `payload` bytes from 10.0.0.1:80 to 10.0.0.2:4321.
fn frame(payload: usize) -> Vec<u8> {
    let tuple = tas_wire::FlowTuple {
        local_ip: [10, 0, 0, 1].into(),
        remote_ip: [10, 0, 0, 2].into(),
        local_port: 80,
        remote_port: 4321,
    };
    let mac = tas_wire::MacAddr([2; 6]);
    let fields = tas_wire::SegmentFields {
        seq: tas_wire::SeqNum(100),
        ack: tas_wire::SeqNum(200),
        flags: tas_wire::TcpFlags::ACK,
        ..Default::default()
    };
    let mut frame = vec![0; fields.header_len() + payload];
    tas_wire::TcpTemplate::new(mac, mac, &tuple)
        .emit(
            &mut frame,
            &fields,
            payload,
            1,
            tas_wire::ChecksumMode::Full,
        )
        .unwrap();
    frame
}

fn do_all(trace: &mut Trace) {
    let (mut st, mut ext) = (flow(), crate::proto::FlowExt::default());
    let flow = Flow {
        st: &mut st,
        ext: &mut ext,
    };
    let (data, ack) = (frame(100), frame(0));
    // Its first 60 bytes are the last ones of their buffer.
    let (base, len, pos) = (ShmOffset(0x1000), 0x200, 0x200 - 60);
    trace.received(|| &data);
    trace.segment(FlowId(9), flow.st, &SEGMENT);
    trace.written(base, len, pos, &[7; 10]);
    trace.app_update(FlowId(9), ContextId(5), flow.st, &AppBump::default());
    let event = tas_abi::memif::ArxConnUpdate {
        opaque: 42,
        rx_bump: 10,
        rx_pos: 1,
        tx_bump: 2,
        flags: 0,
    };
    trace.queued(false, FlowId(9), &flow);
    trace.queued(true, FlowId(9), &flow);
    trace.app_event(FlowId(9), flow.st, &ArxMsg::ConnUpdate(event).into());
    trace.turn(FlowId(9), &flow);
    if trace.reads() {
        trace.record_read(TxRing { base, len }, pos, &data[data.len() - 100..]);
    }
    trace.sent(|| &data);
    trace.sent(|| &ack);
    trace.retransmit(FlowId(9), flow.st);
}

/// Records of [`do_all`].
const ALL: usize = 15;

#[test]
fn records_nothing_until_it_is_switched_on() {
    let mut trace = trace(Wanted::NOTHING);
    trace.poll();
    do_all(&mut trace);
    assert!(kinds(&trace).is_empty());
    do_all(&mut Trace::none());
}

#[test]
fn everything_wanted_is_recorded_in_order() {
    let mut trace = trace(EVERYTHING);
    trace.poll();
    do_all(&mut trace);
    assert_eq!(
        kinds(&trace),
        [
            1, 0x103, 4, 0x101, 6, 0x102, 7, 0x107, 3, 3, 2, 0x105, 2, 0x104, 0x108
        ]
    );
    let records = records(&reader(&trace).snapshot());
    let of = |kind: u16| {
        &records
            .iter()
            .find(|(head, _)| head.type_ == kind)
            .unwrap()
            .1
    };
    assert_eq!(of(1), &frame(100)[..64]);
    let rxfs = TrevRxfs::read_from_bytes(of(0x103)).unwrap();
    let (ip, port, len, id) = (rxfs.local_ip, rxfs.remote_port, rxfs.flow_len, rxfs.flow_id);
    assert_eq!((ip, port, len, id), (0x0a00_0001, 4321, 10, 9));
    let txseg = TrevTxseg::read_from_bytes(of(0x105)).unwrap();
    let (from, to, len) = (txseg.local_port, txseg.remote_port, txseg.flow_len);
    let (seq, ack, ip) = (txseg.flow_seq, txseg.flow_ack, txseg.local_ip);
    assert_eq!((from, to, len), (80, 4321, 100));
    assert_eq!((seq, ack, ip), (100, 200, 0x0a00_0001));
    let atx = TrevAtx::read_from_bytes(of(0x101)).unwrap();
    assert_eq!(({ atx.bump_seq_flow }, { atx.db_id }), (3, 5));
    let arx = TrevArx::read_from_bytes(of(0x102)).unwrap();
    assert_eq!(({ arx.opaque }, { arx.rx_bump }), (42, 10));
    let set = TraceEntryQmanSet::read_from_bytes(of(FLEXNIC_TRACE_EV_QMSET)).unwrap();
    assert_eq!(({ set.id }, { set.rate }, set.flags), (9, 5000, 0b1011));
    let event = TraceEntryQmanEvent::read_from_bytes(of(FLEXNIC_TRACE_EV_QMEVT)).unwrap();
    assert_eq!({ event.id }, 9);
    for (newer, older) in records.iter().zip(&records[1..]) {
        assert_eq!({ newer.0.seq }, older.0.seq + 1);
        assert!({ newer.0.ts } >= older.0.ts);
    }
}

/// The body of every record of a kind, the oldest first.
fn bodies(trace: &Trace, kind: u16) -> Vec<Vec<u8>> {
    let of_kind = records(&reader(trace).snapshot())
        .into_iter()
        .filter(|(head, _)| head.type_ == kind);
    let mut bodies: Vec<_> = of_kind.map(|(_, body)| body).collect();
    bodies.reverse();
    bodies
}

/// The place, the length, and what is recorded of the data.
fn dma(body: &[u8]) -> (u64, u64, &[u8]) {
    let (access, data) = TraceEntryDma::read_from_prefix(body).unwrap();
    (access.addr, access.len, data)
}

#[test]
fn data_copied_is_recorded_with_its_place_and_cut_like_frames() {
    let mut trace = trace(EVERYTHING);
    trace.poll();
    do_all(&mut trace);
    let frame = frame(100);
    let data = &frame[frame.len() - 100..];
    let read = bodies(&trace, FLEXNIC_TRACE_EV_DMARD);
    let read: Vec<_> = read.iter().map(|body| dma(body)).collect();
    assert_eq!(
        read,
        [(0x1200 - 60, 60, &data[..60]), (0x1000, 40, &data[60..])]
    );
    let written = bodies(&trace, FLEXNIC_TRACE_EV_DMAWR);
    assert_eq!(dma(&written[0]), (0x1200 - 60, 10, &[7; 10][..]));
    trace.written(ShmOffset(0x1000), 0x200, 0, &[8; 65]);
    let written = bodies(&trace, FLEXNIC_TRACE_EV_DMAWR);
    assert_eq!(dma(&written[1]), (0x1000, 65, &[8; 64][..]));
}

#[test]
fn the_longest_record_of_data_fits() {
    let mut trace = trace(Wanted {
        snap: u16::MAX,
        ..EVERYTHING
    });
    trace.poll();
    trace.written(ShmOffset(0), 1 << 20, 0, &vec![1; 1 << 17]);
    let written = bodies(&trace, FLEXNIC_TRACE_EV_DMAWR);
    let (at, len, data) = dma(&written[0]);
    assert_eq!((at, len, data.len()), (0, 1 << 17, 65535 - 16));
}

#[test]
fn each_event_can_be_had_alone() {
    for (index, (name, kind)) in TRACE_EVENTS.into_iter().enumerate() {
        let mut trace = trace(Wanted {
            events: 1 << index,
            ..EVERYTHING
        });
        trace.poll();
        do_all(&mut trace);
        let kinds = kinds(&trace);
        assert!(
            !kinds.is_empty() && kinds.iter().all(|k| *k == kind),
            "{name}"
        );
    }
}

#[test]
fn a_tool_switches_it_while_it_runs() {
    let file = file();
    let word = trace_control_off(LEN) + 24;
    // As another process would.
    let tool = Mapping::new(file.fd(), trace_region_len(LEN), true).unwrap();
    let mut trace = Trace::new(
        Backing::from_fd(file.fd().try_clone_to_owned().unwrap()).unwrap(),
        LEN,
        Wanted::NOTHING,
    )
    .unwrap();
    let switch = |trace: &mut Trace, wanted: Wanted| {
        // This process has claimed the word.
        trace.ring.as_ref().unwrap().wanted.store(0, wanted.word());
        trace.poll();
    };
    trace.poll();
    do_all(&mut trace);
    switch(&mut trace, EVERYTHING);
    do_all(&mut trace);
    assert_eq!(kinds(&trace).len(), ALL);
    switch(&mut trace, Wanted::NOTHING);
    do_all(&mut trace);
    assert_eq!(kinds(&trace).len(), ALL);
    drop(trace);
    assert_eq!(tool.load_u64(word), Ok(0));
    assert_eq!(tool.load_u64(8), Ok(u64::from(LEN)));
    assert_eq!(
        tool.load_u64(trace_control_off(LEN)),
        Ok(TRACE_CONTROL_MAGIC)
    );
}

#[test]
fn the_oldest_records_give_way() {
    let mut trace = trace(EVERYTHING);
    trace.poll();
    let rounds = 3 * u64::from(LEN) / 900;
    for _ in 0..rounds {
        do_all(&mut trace);
    }
    let snapshot = reader(&trace).snapshot();
    assert_eq!(snapshot.end - snapshot.start, u64::from(LEN));
    let records = records(&snapshot);
    assert_eq!(u64::from(records[0].0.seq), ALL as u64 * rounds - 1);
    for (newer, older) in records.iter().zip(&records[1..]) {
        assert_eq!({ newer.0.seq }, older.0.seq + 1);
    }
}

#[test]
fn words_of_tools_that_mean_nothing_do_no_harm() {
    assert_eq!(Wanted::from_word(u64::MAX).events, TRACE_ALL);
    assert_eq!(Wanted::from_word(EVERYTHING.word()), EVERYTHING);
    assert_eq!(Wanted::from_word(0), Wanted::NOTHING);
}
