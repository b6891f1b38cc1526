use std::cell::Cell;

use super::*;

/// A service at 10.0.0.1/24 with 10.1.0.0/16 behind a gateway.
struct World {
    running: bool,
    kernel: Option<u32>,
    attached: Cell<bool>,
}

impl World {
    fn new() -> World {
        World {
            running: true,
            kernel: None,
            attached: Cell::new(false),
        }
    }

    fn kernel(prefix: u32) -> World {
        World {
            kernel: Some(prefix),
            ..World::new()
        }
    }

    fn connect(&self, peer: &str) -> Result<(), Reason> {
        connecting(peer.parse().unwrap(), false, &Rules::default(), self)
    }

    fn listen(&self, local: &str) -> Result<(), Reason> {
        listening(local.parse().unwrap(), false, &Rules::default(), self)
    }

    fn bind(&self, local: &str) -> Result<(), Reason> {
        bound(local.parse().unwrap(), false, self)
    }
}

impl Surroundings for World {
    fn attached(&self) -> bool {
        self.attached.set(true);
        self.running
    }

    fn is_local(&self, address: Ipv4Addr) -> bool {
        address == Ipv4Addr::new(10, 0, 0, 1)
    }

    fn prefix(&self, address: Ipv4Addr) -> Option<u32> {
        match address.octets() {
            [10, 0, 0, 1] => Some(32),
            [10, 0, 0, _] => Some(24),
            [10, 1, _, _] => Some(16),
            _ => None,
        }
    }

    fn kernel_prefix(&self, _address: Ipv4Addr) -> Option<u32> {
        self.kernel
    }
}

#[test]
fn peers_that_the_service_reaches_are_its() {
    let world = World::new();
    for peer in [
        "10.0.0.2:80",
        "10.1.2.3:80",
        "[::ffff:10.0.0.2]:80",
        "10.0.0.1:80",
    ] {
        assert_eq!(world.connect(peer), Ok(()), "{peer}");
    }
    assert_eq!(world.connect("10.2.0.1:80"), Err(Reason::NoRoute));
    assert_eq!(world.connect("[2001:db8::1]:80"), Err(Reason::Ipv6));
    assert_eq!(world.connect("224.0.0.1:80"), Err(Reason::Multicast));
}

#[test]
fn this_host_is_reached_without_the_service() {
    let world = World::new();
    for peer in [
        "127.0.0.1:80",
        "127.1.2.3:80",
        "0.0.0.0:80",
        "[::]:80",
        "[::1]:80",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_eq!(world.connect(peer), Err(Reason::Loopback), "{peer}");
    }
    assert_eq!(world.listen("127.0.0.1:80"), Err(Reason::Loopback));
    assert_eq!(world.listen("[::1]:80"), Err(Reason::Loopback));
    assert_eq!(world.bind("[::ffff:127.0.0.1]:80"), Err(Reason::Loopback));
    assert!(!world.attached.get());
}

#[test]
fn the_longer_prefix_wins_and_the_service_among_equals() {
    assert_eq!(World::kernel(0).connect("10.1.2.3:80"), Ok(()));
    assert_eq!(World::kernel(16).connect("10.1.2.3:80"), Ok(()));
    assert_eq!(
        World::kernel(17).connect("10.1.2.3:80"),
        Err(Reason::KernelRoute)
    );
    assert_eq!(
        World::kernel(32).connect("10.0.0.2:80"),
        Err(Reason::KernelRoute)
    );
    // Its own address is nobody else's.
    assert_eq!(World::kernel(32).connect("10.0.0.1:80"), Ok(()));
}

#[test]
fn an_allowing_rule_beats_the_kernels_routes_but_makes_none() {
    let rules = "+10.0.0.0/8:80".parse().unwrap();
    let connect = |peer: &str| connecting(peer.parse().unwrap(), false, &rules, &World::kernel(32));
    assert_eq!(connect("10.0.0.2:80"), Ok(()));
    assert_eq!(connect("10.0.0.2:81"), Err(Reason::Rules));
    assert_eq!(connect("10.9.0.2:80"), Err(Reason::NoRoute));
}

#[test]
fn denied_connections_need_no_service() {
    let world = World::new();
    let rules = "-10.0.0.0/8".parse().unwrap();
    let peer = "10.0.0.2:80".parse().unwrap();
    assert_eq!(connecting(peer, false, &rules, &world), Err(Reason::Rules));
    assert!(!world.attached.get());
}

#[test]
fn listeners_on_all_addresses_or_the_services_are_its() {
    let world = World::new();
    for local in [
        "0.0.0.0:80",
        "[::]:80",
        "10.0.0.1:80",
        "[::ffff:10.0.0.1]:80",
        "0.0.0.0:0",
    ] {
        assert_eq!(world.bind(local), Ok(()), "{local}");
        assert_eq!(world.listen(local), Ok(()), "{local}");
    }
    for local in ["10.0.0.2:80", "192.168.0.1:80"] {
        assert_eq!(world.bind(local), Err(Reason::NotOurs), "{local}");
    }
    assert_eq!(world.bind("[2001:db8::1]:80"), Err(Reason::Ipv6));
}

#[test]
fn sockets_for_ipv6_only_are_the_kernels() {
    let world = World::new();
    for local in ["[::]:80", "[::ffff:10.0.0.1]:80"] {
        let local = local.parse().unwrap();
        assert_eq!(bound(local, true, &world), Err(Reason::Ipv6));
        assert_eq!(
            listening(local, true, &Rules::default(), &world),
            Err(Reason::Ipv6)
        );
        assert_eq!(
            connecting(local, true, &Rules::default(), &world),
            Err(Reason::Ipv6)
        );
    }
    assert!(!world.attached.get());
}

#[test]
fn rules_choose_listeners_by_port() {
    let world = World::new();
    let rules = "-:22".parse().unwrap();
    let listen = |local: &str| listening(local.parse().unwrap(), false, &rules, &world);
    assert_eq!(listen("0.0.0.0:22"), Err(Reason::Rules));
    assert_eq!(listen("0.0.0.0:80"), Ok(()));
}

#[test]
fn without_a_service_all_is_the_kernels() {
    let world = World {
        running: false,
        ..World::new()
    };
    assert_eq!(world.connect("10.0.0.2:80"), Err(Reason::NoService));
    assert_eq!(world.listen("0.0.0.0:80"), Err(Reason::NoService));
    assert_eq!(world.bind("10.0.0.1:80"), Err(Reason::NoService));
    // Nothing has to be decided yet.
    assert_eq!(world.bind("0.0.0.0:80"), Ok(()));
}
