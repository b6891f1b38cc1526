use zerocopy::{FromZeros, IntoBytes};

use super::*;

fn text(kind: u16, body: &[u8]) -> String {
    let record = Record {
        ts: 123_456,
        seq: 7,
        kind,
        body: body.to_vec(),
    };
    let start = format!("ts=              123456  seq=7  type={kind}:");
    let text = record.to_string();
    text.strip_prefix(&start).expect(&text).to_owned()
}

/// An IP packet of 54 bytes and data in an Ethernet frame.
fn frame(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 2, 3, 4, 5, 6, 0xa, 0xb, 0xc, 0xd, 0xe, 0xf, 8, 0];
    frame.extend([0x45, 0, 0, 44 + data.len() as u8, 0, 1, 0, 0, 64, 6, 0, 0]);
    frame.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([
        0, 80, 0x12, 0x34, 0, 0, 0, 9, 0, 0, 1, 0, 0x60, 0x18, 0x20, 0, 0, 0, 0, 0,
    ]);
    frame.extend([1, 1, 1, 1]);
    frame.extend(data);
    frame
}

const ETH: &str = "eth={src=f0e0d0c0b0a dst=60504030201 type=800}";
const IP: &str = " ip={src=a000001 dst=a000002 proto=6}";

#[test]
fn frames_show_their_headers_and_what_follows() {
    let tcp = |len| format!(" tcp={{src=80 dst=4660 flags=18 seq=9 ack=256 wnd=8192 len={len}}}");
    assert_eq!(
        text(1, &frame(&[0xab, 1])),
        format!("FLEXNIC_EV_RXPKT  {ETH}{IP}{} payload={{ab 01}}", tcp(2))
    );
    assert_eq!(
        text(2, &frame(&[])),
        format!("FLEXNIC_EV_TXPKT  {ETH}{IP}{}", tcp(0))
    );
    // Padded to the shortest frame: no data.
    let padded = [frame(&[]), vec![0; 2]].concat();
    assert_eq!(
        text(2, &padded),
        format!("FLEXNIC_EV_TXPKT  {ETH}{IP}{}", tcp(0))
    );
}

#[test]
fn a_frame_may_be_cut_anywhere() {
    let whole = frame(&[1, 2, 3]);
    for len in 0..=whole.len() {
        let text = text(1, &whole[..len]);
        assert_eq!(text.contains("eth={"), len >= 14, "{len}: {text}");
        assert_eq!(text.contains("ip={"), len >= 34, "{len}: {text}");
        assert_eq!(text.contains("tcp={"), len >= 54, "{len}: {text}");
        assert_eq!(text.matches('{').count(), text.matches('}').count());
        assert!(!text.contains('\n'));
    }
    // Lengths that cannot be.
    for (at, value) in [
        (14, 0x40),
        (14, 0x4f),
        (16, 0xff),
        (17, 1),
        (46, 0),
        (46, 0xf0),
    ] {
        let mut wrong = whole.clone();
        wrong[at] = value;
        text(1, &wrong);
    }
}

#[test]
fn arp_is_shown() {
    let mut arp = vec![0xff; 6];
    arp.extend([
        1, 2, 3, 4, 5, 6, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 1, 2, 3, 4, 5, 6,
    ]);
    arp.extend([10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
    arp.extend([0; 18]);
    assert_eq!(
        text(1, &arp),
        "FLEXNIC_EV_RXPKT  eth={src=60504030201 dst=ffffffffffff type=806} \
         arp={oper=1 spa=a000001 tpa=a000002 sha=60504030201 tha=0}"
    );
}

#[test]
fn records_show_their_fields_in_order() {
    let mut ack = TrevTxack::new_zeroed();
    ack.local_ip = 0x0a00_0001;
    ack.remote_port = 80;
    ack.flow_flags = 0x10;
    assert_eq!(
        text(0x104, ack.as_bytes()),
        "FLEXTCP_EV_TXACK local_ip=a000001 remote_ip=0 local_port=0 remote_port=80 flow_seq=0 \
         flow_ack=0 flow_flags=10"
    );
    let mut rexmit = TrevRexmit::new_zeroed();
    rexmit.flow_id = 20;
    assert_eq!(
        text(0x108, rexmit.as_bytes()),
        "FLEXTCP_EV_REXMIT flow_id=20 tx_avail=0 tx_sent=0 tx_next_pos=0 tx_next_seq=0 \
         rx_remote_avail=0"
    );
    let set = TraceEntryQmanSet {
        id: 1,
        rate: 2,
        avail: 3,
        max_chunk: 4,
        opaque: 0x1f,
        flags: 0x10,
    };
    assert_eq!(
        text(6, set.as_bytes()),
        "FLEXNIC_EV_QMSET   cfg={id=1 rate=2 avail=3 max_chunk=4 opaque=1f flags=10}"
    );
    assert_eq!(
        text(7, &[1, 0, 0, 0, 2, 0, 0xff, 0]),
        "FLEXNIC_EV_QMEVT   cfg={id=1 bytes=2 opaque=ff}"
    );
    let dma = TraceEntryDma {
        addr: 0x100,
        len: 2,
        data: [],
    };
    assert_eq!(
        text(3, &[dma.as_bytes(), &[1, 2]].concat()),
        "FLEXNIC_EV_DMARD   dma={addr=100 len=2} payload={01 02}"
    );
}

#[test]
fn records_of_any_type_and_length_are_shown() {
    let lens = [0, 1, 7, 15, 16, 21, 22, 24, 32, 44, 56, 76, 100];
    for kind in (0..20).chain(0xff..0x110).chain([0xffff]) {
        for len in lens {
            let body = vec![0x5a; len];
            assert!(!text(kind, &body).is_empty());
        }
    }
    for (kind, name, len) in [
        (0x101, "ATX", size_of::<TrevAtx>()),
        (0x102, "ARX", size_of::<TrevArx>()),
        (0x103, "RXFS", size_of::<TrevRxfs>()),
        (0x104, "TXACK", size_of::<TrevTxack>()),
        (0x105, "TXSEG", size_of::<TrevTxseg>()),
        (0x107, "AFLOQMAN", size_of::<TrevAfloqman>()),
        (0x108, "REXMIT", size_of::<TrevRexmit>()),
    ] {
        let whole = text(kind, &vec![0; len]);
        assert!(whole.starts_with(&format!("FLEXTCP_EV_{name} ")) && whole.contains('='));
        assert!(!text(kind, &vec![0; len - 1]).contains('='));
    }
}
