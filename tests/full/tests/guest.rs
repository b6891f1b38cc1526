//! The service on PCI NICs, as QEMU emulates them: `make check-guest`.

use std::thread;
use std::time::Duration;

use tas_full_tests::{Binding, Guest, Hardware, Net, PORT, Side, bench};

const TIME: Duration = Duration::from_secs(100);
const WITHOUT_INTERRUPTS: &str = "receive interrupts do not come";

const VIRTIO: Hardware = Hardware {
    device: "virtio-net-pci,disable-legacy=on,iommu_platform=on",
    queues: 1,
    binding: Binding::Vfio,
};
const VIRTIO_RSS: Hardware = Hardware {
    device: "virtio-net-pci,disable-legacy=on,iommu_platform=on,mq=on,vectors=8,rss=on",
    queues: 2,
    binding: Binding::Vfio,
};
const VIRTIO_SPREADS: Hardware = Hardware {
    device: "virtio-net-pci,disable-legacy=on,iommu_platform=on,mq=on,vectors=8",
    ..VIRTIO_RSS
};
const VIRTIO_WITHOUT_IOMMU: Hardware = Hardware {
    device: "virtio-net-pci,disable-legacy=on",
    queues: 1,
    binding: Binding::Uio,
};
const E1000E: Hardware = Hardware {
    device: "e1000e",
    queues: 1,
    binding: Binding::Vfio,
};
const E1000: Hardware = Hardware {
    device: "e1000",
    ..E1000E
};
const E1000E_WITHOUT_IOMMU: Hardware = Hardware {
    binding: Binding::Uio,
    ..E1000E
};
const VMXNET3: Hardware = Hardware {
    device: "vmxnet3",
    ..E1000E
};

/// Echo requests so far apart that the core sleeps in between; every one is answered.
fn ping(net: &Net, count: usize) {
    let count = count.to_string();
    let args = ["-q", "-i", "0.3", "-W", "5", "-c", &count, Side::Near.ip()];
    let pinged = net.start(Side::Far, "ping", args).finish(TIME).success();
    pinged.says(" 0% packet loss");
}

/// Connections one after the other, and so far apart that the cores sleep in between; each has
/// its message echoed.
fn knock(net: &Net, guest: &mut Guest<'_>, times: usize) {
    guest.serve("echoserver_ll", &format!("{PORT} 1 - 1024 64"));
    let script = format!(
        "for i in $(seq {times}); do
             exec 3<>/dev/tcp/{}/{PORT}; printf %064d $i >&3
             [ $(head -c 64 <&3) = $(printf %064d $i) ]
             exec 3>&-; sleep 0.15
         done",
        Side::Near.ip()
    );
    let knocking = net.start(Side::Far, "bash", ["-ec", &script]);
    knocking.finish(TIME).success();
    guest.kill();
}

fn says(guest: &mut Guest<'_>, text: &str) {
    let log = guest.log();
    assert!(log.contains(text), "does not say '{text}':\n{log}");
}

fn says_nothing_of(guest: &mut Guest<'_>, text: &str) {
    let log = guest.log();
    assert!(!log.contains(text), "says '{text}':\n{log}");
}

/// Sleeps are ended by interrupts: a core that found frames in vain would say so.
fn wakes_by_interrupts(net: &Net, guest: &mut Guest<'_>) {
    sleeps_between_pings(net, guest);
    says_nothing_of(guest, WITHOUT_INTERRUPTS);
}

fn sleeps_between_pings(net: &Net, guest: &mut Guest<'_>) {
    let before: u64 = guest.counters("sleeps").iter().sum();
    ping(net, 12);
    let after: u64 = guest.counters("sleeps").iter().sum();
    let sleeps = after - before;
    // More would be interrupts that nobody takes away.
    assert!((10..4000).contains(&sleeps), "{sleeps} sleeps");
}

#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn virtio() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &VIRTIO);
    guest.start_tas(1, Binding::Vfio, "");
    says(&mut guest, "driver net_virtio, MTU 1500, queues 1");
    says(
        &mut guest,
        "sent by the port, of what is received by the port",
    );
    wakes_by_interrupts(&net, &mut guest);
    guest.transfer(60, 6, TIME, |_| ());
    guest.transfer_to_linux(30, 6, TIME);
    guest.stop_tas();

    guest.start_tas(1, Binding::Vfio, "--fp-no-xsumoffload --fp-no-ints");
    says(
        &mut guest,
        "sent by software, of what is received by software",
    );
    guest.transfer(30, 6, TIME, |_| ());
    guest.stop_tas();
}

/// A NIC that a service has left behind in the middle of its work serves the next one.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn services_are_killed() {
    let net = Net::new();
    for (hardware, cores) in [(VIRTIO_RSS, 2), (E1000E, 1)] {
        let mut guest = Guest::boot(&net, &hardware);
        for _ in 0..2 {
            guest.start_tas(cores, Binding::Vfio, "");
            guest.serve("echoserver_ll", &format!("{PORT} 1 - 1024 1024"));
            let args = [Side::Near.ip(), PORT, "1", "-", "1024", "4", "8"];
            let mut load = net.start(Side::Far, bench("testclient_linux"), args);
            thread::sleep(Duration::from_secs(1));
            assert!(load.ended().is_none(), "{}{}", load.out(), load.err());
            guest.kill_tas();
            guest.kill();
        }
        guest.start_tas(cores, Binding::Vfio, "");
        guest.transfer(20, 6, TIME, |_| ());
        guest.stop_tas();
    }
}

#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn virtio_link_goes_and_comes() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &VIRTIO);
    guest.set_link(false);
    guest.start_tas(1, Binding::Vfio, "");
    says(&mut guest, "has no link yet");
    guest.set_link(true);
    let mut calls = 0;
    guest.transfer(120, 4, TIME, |guest| {
        calls += 1;
        if calls == 10 {
            guest.set_link(false);
            let lost = net.start(Side::Far, "ping", ["-qc2", "-W1", Side::Near.ip()]);
            assert!(!lost.finish(TIME).status.success(), "the link is not down");
            guest.set_link(true);
        }
    });
    assert!(calls > 10, "the link stayed up");
    guest.stop_tas();
}

/// The port spreads connections by its redirection table, which moves them from core to core.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn virtio_with_two_queues() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &VIRTIO_RSS);
    guest.start_tas(2, Binding::Vfio, "--fp-no-autoscale");
    says(&mut guest, "queues 2, buckets of RSS 128");
    says(&mut guest, "receive interrupts 2");

    // The service knows where the port puts a connection: no core gets frames of the other.
    let before = guest.counters("rx_frames");
    guest.transfer(20, 16, TIME, |_| ());
    knock(&net, &mut guest, 40);
    let after = guest.counters("rx_frames");
    for (before, after) in before.iter().zip(&after) {
        assert!(after - before > 100, "{before} then {after} frames");
    }
    assert_eq!(guest.counters("steered"), [0, 0]);
    says_nothing_of(&mut guest, WITHOUT_INTERRUPTS);
    wakes_by_interrupts(&net, &mut guest);

    let mut moves = 0;
    guest.transfer(60, 8, TIME, |guest| {
        moves += 1;
        guest.scale(moves % 2 + 1);
    });
    assert!(moves > 4, "moved {moves} times only");
    guest.stop_tas();

    // The third core has no queue.
    guest.start_tas(3, Binding::Vfio, "--fp-no-autoscale");
    says(&mut guest, "queues 2, buckets of RSS 128");
    let mut moves = 0;
    guest.transfer(30, 12, TIME, |guest| {
        moves += 1;
        guest.scale([1, 3, 2][moves % 3]);
    });
    assert!(moves > 2, "moved {moves} times only");
    guest.stop_tas();
}

/// A port that has no table, and spreads frames as it likes.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn virtio_with_two_queues_but_without_rss() {
    // Frames come to the queue that the answers to them left by.
    two_cores(&VIRTIO_SPREADS, 2);
}

/// The cores pass on to each other what the port gives to the wrong one, or to the only one with a
/// queue. Returns how many frames that were while no connection moved.
fn two_cores(hardware: &Hardware, queues: usize) -> u64 {
    let net = Net::new();
    let mut guest = Guest::boot(&net, hardware);
    guest.start_tas(2, Binding::Vfio, "--fp-no-autoscale");
    says(&mut guest, &format!("queues {queues}, "));
    ping(&net, 3);
    guest.transfer(10, 8, TIME, |_| ());
    let steered = guest.counters("steered").iter().sum();
    let mut moves = 0;
    guest.transfer(30, 8, TIME, |guest| {
        moves += 1;
        guest.scale(moves % 2 + 1);
    });
    assert!(moves > 2, "moved {moves} times only");
    guest.stop_tas();
    steered
}

#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn vmxnet3() {
    let steered = two_cores(&VMXNET3, 2);
    assert!(steered > 100, "{steered} frames were passed on");
}

#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn e1000() {
    let steered = two_cores(&E1000, 1);
    assert!(steered > 100, "{steered} frames were passed on");
}

/// Its driver arms an interrupt of MSI-X that the NIC does not send.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn e1000e() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &E1000E);
    guest.start_tas(1, Binding::Vfio, "");
    ping(&net, 8);
    says(&mut guest, WITHOUT_INTERRUPTS);
    guest.transfer(20, 6, TIME, |_| ());
    guest.transfer_to_linux(20, 6, TIME);
    guest.stop_tas();

    guest.start_tas(1, Binding::Vfio, "--dpdk-extra=--vfio-intr=legacy");
    wakes_by_interrupts(&net, &mut guest);
    guest.transfer(20, 6, TIME, |_| ());
    guest.stop_tas();
}

/// Without an IOMMU DPDK needs huge pages. What UIO has is the old interrupt line, which QEMU's NIC
/// may hold until the kernel takes it for broken.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn e1000e_without_iommu() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &E1000E_WITHOUT_IOMMU);
    guest.start_tas(1, Binding::Uio, "");
    says(&mut guest, "receive interrupts 1");
    sleeps_between_pings(&net, &mut guest);
    guest.transfer(20, 6, TIME, |_| ());
    sleeps_between_pings(&net, &mut guest);
    guest.stop_tas();
}

/// Virtio's driver has no interrupts there.
#[test]
#[ignore = "boots a virtual machine: make check-guest"]
fn virtio_without_iommu() {
    let net = Net::new();
    let mut guest = Guest::boot(&net, &VIRTIO_WITHOUT_IOMMU);
    guest.start_tas(1, Binding::Uio, "");
    says(&mut guest, "receive interrupts 0");
    ping(&net, 3);
    guest.transfer(30, 6, TIME, |_| ());
    guest.stop_tas();
}
