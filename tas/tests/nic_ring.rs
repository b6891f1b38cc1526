//! The DPDK backend on a ring port, where what is sent is received. The EAL
//! exists once in a process, so this is one test in a process of its own.

use std::sync::mpsc;

use tas::nic::dpdk::{Eal, EalOptions, Port, PortConf};
use tas::nic::{BURST, Frame, Frames, NicQueue, RxChecksum};

const CONF: PortConf = PortConf {
    mtu: None,
    rx_csum: true,
    tx_csum: true,
    vlan_strip: false,
    interrupts: true,
};

fn start(cores: usize) -> Eal {
    let lcores: Vec<String> = (0..=cores).map(|n| format!("{n}@0")).collect();
    Eal::init(&EalOptions {
        program: "nic_ring".into(),
        extra: vec![
            "--no-huge".into(),
            "--no-pci".into(),
            "--no-telemetry".into(),
            "--log-level=warning".into(),
            format!("--lcores={}", lcores.join(",")),
            "--vdev=net_ring0".into(),
        ],
        cores,
    })
    .unwrap()
}

/// Sends `num` frames that differ, and receives them in order.
fn send_and_receive<Q: NicQueue>(queue: &mut Q, num: u8) {
    let mut frames: Frames<Q::Frame> = Frames::new();
    for n in 0..num {
        let mut frame = queue.alloc().unwrap();
        assert_eq!(frame.data(), b"");
        assert!(frame.capacity() >= 1514);
        assert!(frame.set_len(60 + usize::from(n)));
        frame.data_mut().fill(n);
        frames.push(frame);
    }
    assert_eq!(queue.tx_burst(&mut frames), usize::from(num));
    assert!(frames.is_empty());

    assert_eq!(queue.rx_burst(&mut frames), usize::from(num));
    for (n, frame) in (0..num).zip(&frames) {
        assert_eq!(frame.data(), vec![n; 60 + usize::from(n)]);
        assert_eq!(frame.rx_checksum(), RxChecksum::Unknown);
        assert_eq!(frame.rss_hash(), None);
    }
    frames.clear();
    assert_eq!(queue.rx_burst(&mut frames), 0);
}

/// A length beyond the buffer changes nothing.
fn refuses_long_frames<Q: NicQueue>(queue: &mut Q) {
    let mut frame = queue.alloc().unwrap();
    let capacity = frame.capacity();
    assert!(frame.set_len(capacity));
    assert!(!frame.set_len(capacity + 1));
    assert!(!frame.set_len(usize::MAX));
    assert_eq!(frame.data().len(), capacity);
}

/// Received frames are added to those that are there, up to the capacity.
fn appends<Q: NicQueue>(queue: &mut Q) {
    let mut frames: Frames<Q::Frame> = Frames::new();
    for _ in 0..8 {
        frames.push(queue.alloc().unwrap());
    }
    assert_eq!(queue.tx_burst(&mut frames), 8);
    for _ in 0..BURST - 5 {
        frames.push(queue.alloc().unwrap());
    }
    assert_eq!(queue.rx_burst(&mut frames), 5);
    assert_eq!(queue.rx_burst(&mut frames), 0);
    frames.clear();
    assert_eq!(queue.rx_burst(&mut frames), 3);
}

/// What a full ring does not take stays with the caller, in order.
fn keeps_what_is_not_sent<Q: NicQueue>(queue: &mut Q) {
    let mut frames: Frames<Q::Frame> = Frames::new();
    let mut number = 0u32;
    let mut sent = 0u32;
    loop {
        while !frames.is_full() {
            let Some(mut frame) = queue.alloc() else {
                break;
            };
            assert!(frame.set_len(4));
            frame.data_mut().copy_from_slice(&number.to_ne_bytes());
            number += 1;
            frames.push(frame);
        }
        let before = frames.len();
        let now = queue.tx_burst(&mut frames);
        assert_eq!(frames.len(), before - now);
        sent += now as u32;
        if now < before {
            break;
        }
    }
    let first = frames.first().unwrap().data().to_vec();
    assert_eq!(first, sent.to_ne_bytes());

    let mut received: Frames<Q::Frame> = Frames::new();
    let mut expected = 0u32;
    while queue.rx_burst(&mut received) > 0 {
        for frame in received.drain(..) {
            assert_eq!(frame.data(), expected.to_ne_bytes());
            expected += 1;
        }
    }
    assert_eq!(expected, sent);
}

/// When buffers run out, `alloc` says so, and works again afterwards.
fn survives_running_dry<Q: NicQueue>(queue: &mut Q) {
    let mut held = Vec::new();
    while let Some(frame) = queue.alloc() {
        held.push(frame);
    }
    assert!(held.len() > 1024);
    assert!(queue.alloc().is_none());
    held.clear();
    assert!(queue.alloc().is_some());
}

#[test]
fn ring_port_carries_frames_between_lcores() {
    let mut eal = start(2);
    assert_eq!(eal.cores(), 2);
    let (port, mut queues) = Port::open(&eal, 1, CONF).unwrap();
    assert_eq!(port.info().driver, "net_ring");
    assert_eq!(port.info().mtu, 1500);
    assert_eq!(port.info().queues, 1);
    assert!(!port.info().tx_checksum_offload);
    assert!(port.reta().is_none(), "a ring has no redirection table");

    let mut queue = queues.pop().unwrap();
    assert!(queues.is_empty());
    // Nothing can wake the owner of a ring.
    assert!(queue.wait_fds().is_empty());
    assert!(!queue.arm());

    send_and_receive(&mut queue, 1);
    send_and_receive(&mut queue, BURST as u8);
    refuses_long_frames(&mut queue);
    appends(&mut queue);
    keeps_what_is_not_sent(&mut queue);
    survives_running_dry(&mut queue);

    // The same on the fast-path cores, one after the other.
    let (give_back, returned) = mpsc::channel();
    for core in 0..2 {
        let give_back = give_back.clone();
        let work = Box::new(move || {
            send_and_receive(&mut queue, 16);
            give_back.send(queue).unwrap();
        });
        eal.launch(core, work).unwrap();
        eal.join(core).unwrap();
        queue = returned.recv().unwrap();
    }
    assert!(eal.launch(2, Box::new(|| ())).is_err());

    // A core that panics is reported, and can be launched again.
    eal.launch(0, Box::new(|| panic!("on purpose"))).unwrap();
    assert!(eal.join(0).is_err());
    eal.launch(0, Box::new(|| ())).unwrap();
    eal.join(0).unwrap();

    let stats = port.stats();
    assert!(stats.rx_packets > 0);
    assert_eq!(stats.rx_packets, stats.tx_packets);
    assert_eq!(stats.rx_errors, 0);

    // A frame may outlive everything else.
    let frame = queue.alloc().unwrap();
    drop((queue, port, eal));
    assert_eq!(frame.data(), b"");
}
