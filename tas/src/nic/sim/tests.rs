use super::*;
use crate::nic::Frame;

const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

fn frame(port: &mut SimPort, to: MacAddr, mark: u8) -> SimFrame {
    let mut frame = port.queues[0].alloc().unwrap();
    assert!(frame.set_len(60));
    let data = frame.data_mut();
    data.fill(mark);
    data[..6].copy_from_slice(&to.0);
    data[6..12].copy_from_slice(&port.info.mac.0);
    data[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

fn send(port: &mut SimPort, to: MacAddr, marks: std::ops::Range<u8>) -> usize {
    let mut frames = Frames::new();
    for mark in marks {
        frames.push(frame(port, to, mark));
    }
    port.queues[0].tx_burst(&mut frames)
}

fn received(port: &mut SimPort) -> Vec<u8> {
    let mut marks = Vec::new();
    loop {
        let mut frames = Frames::new();
        if port.queues[0].rx_burst(&mut frames) == 0 {
            return marks;
        }
        marks.extend(frames.iter().map(|frame| frame.data()[59]));
    }
}

fn pair(seed: u64) -> (Network, SimPort, SimPort) {
    let network = Network::new(seed);
    let a = network.add(PortConf::new(A));
    let b = network.add(PortConf::new(B));
    (network, a, b)
}

#[test]
fn frames_take_their_time_and_keep_their_order() {
    let (network, mut a, mut b) = pair(1);
    let path = Path {
        delay: Micros(10),
        jitter: Micros(5),
        ..Path::default()
    };
    network.set_path(a.id, path);
    assert_eq!(send(&mut a, B, 0..20), 20);
    network.advance(Micros(9));
    assert!(received(&mut b).is_empty());
    assert!(network.next().unwrap() >= Micros(10));
    network.advance(Micros(15));
    assert_eq!(received(&mut b), (0..20).collect::<Vec<u8>>());
    assert!(received(&mut a).is_empty());
}

#[test]
fn a_frame_to_oneself_comes_back() {
    let (network, mut a, mut b) = pair(1);
    send(&mut a, A, 7..8);
    network.advance(Micros(0));
    assert_eq!(received(&mut a), [7]);
    assert!(received(&mut b).is_empty());
}

#[test]
fn broadcasts_reach_all_others() {
    let (network, mut a, mut b) = pair(1);
    send(&mut a, MacAddr([0xff; 6]), 7..8);
    network.advance(Micros(0));
    assert_eq!((received(&mut a), received(&mut b)), (vec![], vec![7]));
}

#[test]
fn loss_repetition_and_order_follow_the_seed() {
    let run = |seed| {
        let (network, mut a, mut b) = pair(seed);
        let path = Path {
            loss: 200,
            duplicate: 200,
            reorder: 200,
            reorder_by: Micros(100),
            ..Path::default()
        };
        network.set_path(a.id, path);
        for time in 0..50 {
            network.advance(Micros(time));
            send(&mut a, B, time as u8..time as u8 + 1);
        }
        network.advance(Micros(1000));
        received(&mut b)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    let got = run(3);
    let mut distinct = got.clone();
    distinct.sort_unstable();
    assert_ne!(got, distinct, "reordered");
    distinct.dedup();
    assert!(distinct.len() < got.len(), "repeated");
    assert!(distinct.len() < 50, "lost");
}

#[test]
fn a_port_can_refuse_frames_and_buffers() {
    let network = Network::new(1);
    let conf = PortConf {
        buffers: 4,
        ..PortConf::new(A)
    };
    let mut a = network.add(conf);
    network.set_takes(a.id, Some(1));
    assert_eq!(send(&mut a, B, 0..3), 1);
    assert_eq!(network.buffers(a.id), 4, "dropped frames come back");
    let held: Vec<_> = (0..4).map(|_| a.queues[0].alloc().unwrap()).collect();
    assert!(a.queues[0].alloc().is_none());
    drop(held);
    network.set_alloc_failures(a.id, 1000);
    assert!(a.queues[0].alloc().is_none());
}

#[test]
fn a_slow_wire_paces_and_drops() {
    let (network, mut a, mut b) = pair(1);
    let path = Path {
        rate_kbps: 84 * 8, // A frame of 60 bytes takes a millisecond.
        queue: 500,
        ..Path::default()
    };
    network.set_path(a.id, path);
    send(&mut a, B, 0..20);
    network.advance(Micros(1999));
    assert_eq!(received(&mut b), [0]);
    network.advance(Micros(1_000_000));
    let rest = received(&mut b).len();
    assert!((5..9).contains(&rest), "{rest}");
}

#[test]
fn the_wire_to_a_port_is_where_senders_meet() {
    let (network, mut a, mut b) = pair(1);
    let mut c = network.add(PortConf::new(MacAddr([2, 0, 0, 0, 0, 3])));
    let path = Path {
        delay: Micros(5),
        // A byte in a microsecond; a frame takes 84 bytes' time.
        rate_kbps: 8000,
        queue: 250,
        ..Path::default()
    };
    network.set_downlink(b.id, path);
    assert_eq!(send(&mut a, B, 0..2), 2);
    assert_eq!(send(&mut c, B, 2..5), 3);
    network.advance(Micros(0));
    let state = network.downlink(b.id);
    assert_eq!((state.waiting, state.overflows), (3 * 84, 2));
    network.advance(Micros(88));
    assert!(received(&mut b).is_empty());
    network.advance(Micros(84 + 5));
    assert_eq!(received(&mut b), [0]);
    network.advance(Micros(3 * 84 + 5));
    assert_eq!(received(&mut b), [1, 2]);
    assert_eq!(network.downlink(b.id).waiting, 0);
    // The other directions are free.
    send(&mut b, A, 0..9);
    network.advance(Micros(3 * 84 + 5));
    assert_eq!(received(&mut a).len(), 9);
}
