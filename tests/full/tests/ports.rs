//! Kinds of ports on a kernel interface, and MTUs other than Ethernet's.

use std::time::Duration;

use tas_full_tests::{Net, PORT, Side, Stack, TasOptions, World, scaled};

const BOTH_ROLES: [(Stack, Stack); 2] = [(Stack::Tas, Stack::Linux), (Stack::Linux, Stack::Tas)];
const AF_XDP: &str = "net_af_xdp0,iface=veth0";
const TIME: Duration = Duration::from_secs(60);

fn large_buffers() -> TasOptions {
    TasOptions::new().buffers(262_144)
}

/// Transfers messages of each size both ways at once; every byte is checked.
fn transfer(world: &World<'_>, sizes: &[usize]) {
    for &size in sizes {
        let messages = scaled(((2 << 20) / size).clamp(8, 1000)).to_string();
        let size = size.to_string();
        let server = world.server("verify", &["server", PORT, "2", &size]);
        let client = world.client(
            "verify",
            &["client", world.server_ip(), PORT, &size, &messages, "2"],
        );
        client.finish(TIME).success().says("verify: ok");
        server.finish(TIME).success().says("verify: ok");
    }
}

/// Both ends of the cable with MTUs of their own, the near one where the server is, in both roles.
/// Returns the bytes in an average frame that TAS received in a bulk transfer in each.
fn with_mtus(near: u16, far: u16, options: &TasOptions) -> Vec<u64> {
    let mut frames = Vec::new();
    for (server, client) in BOTH_ROLES {
        let net = Net::new();
        net.set_mtu(Side::Near, near);
        net.set_mtu(Side::Far, far);
        let world = World::new(&net, server, client, options);
        transfer(&world, &[1, near.into(), 8192]);
        let tas = match server {
            Stack::Tas => Side::Near,
            Stack::Linux => Side::Far,
        };
        let before = net.received(tas);
        transfer(&world, &[1 << 20]);
        let after = net.received(tas);
        frames.push((after.1 - before.1) / (after.0 - before.0));
        world.end();
    }
    frames
}

#[test]
fn jumbo_frames() {
    for average in with_mtus(9000, 9000, &large_buffers()) {
        // Acknowledgements are among them.
        assert!(average > 1514, "{average} bytes in a frame");
    }
}

#[test]
fn jumbo_frames_between_two_services() {
    let net = Net::new();
    for side in [Side::Near, Side::Far] {
        net.set_mtu(side, 9000);
    }
    let world = World::new(&net, Stack::Tas, Stack::Tas, &large_buffers());
    transfer(&world, &[1, 9000, 262_144]);
    world.end();
}

/// RFC 6691: each side sends no more than the other's MSS, which follows from its MTU.
#[test]
fn jumbo_frames_at_one_end_only() {
    for (near, far) in [(9000, 1500), (1500, 9000), (9000, 576)] {
        with_mtus(near, far, &large_buffers());
    }
}

/// The rings cannot hold frames of that MTU: the service offers an MSS that they can.
#[test]
fn an_mtu_that_no_ring_can_hold() {
    with_mtus(65535, 65535, &large_buffers());
}

#[test]
fn af_xdp() {
    with_mtus(1500, 1500, &large_buffers().vdev(AF_XDP));
}

/// A frame must fit a page there, with headers, so of the second MTU not all is used. The kernel
/// refuses XDP on a veth pair with MTUs above 3506.
#[test]
fn af_xdp_with_large_mtus() {
    for mtu in [3000, 3500] {
        with_mtus(mtu, mtu, &large_buffers().vdev(AF_XDP));
    }
}

#[test]
fn af_xdp_between_two_services() {
    let net = Net::new();
    let options = TasOptions::new().buffers(65_536).vdev(AF_XDP);
    let world = World::new(&net, Stack::Tas, Stack::Tas, &options);
    transfer(&world, &[1, 8192, 262_144]);
    world.end();
}

/// The kernel's own stack, which has no use for them, does not see packets to the service's
/// address, though it receives them first. Before Linux 6.6 it cannot be helped.
#[test]
fn the_kernel_is_spared_packets_for_the_service() {
    let net = Net::new();
    let world = World::new(&net, Stack::Tas, Stack::Linux, &TasOptions::new());
    transfer(&world, &[8192]);
    let seen = net.ip_received(Side::Near);
    let release = net.run(Side::Near, "uname", ["-r"]).out;
    if at_least(&release, (6, 6)) {
        assert_eq!(seen, 0);
    } else {
        assert!(seen > 0, "Linux {release} is expected to see them");
    }
    world.end();
    // Others' packets are the kernel's again at the latest once the service has ended.
    net.give_linux(Side::Near);
    net.run(Side::Far, "ping", ["-c", "1", "-W", "5", Side::Near.ip()]);
}

fn at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split('.').map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= wanted
}
