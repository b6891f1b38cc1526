//! Which neighbour takes a packet, and which of our addresses it is from.

use tas_wire::{Ipv4Addr, ipv4};

use super::world::TcpControlConfig;

/// Where packets for a destination go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// Our address to send from.
    pub source: Ipv4Addr,
    /// The neighbour that takes the packet.
    pub via: Via,
}

/// A neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// The destination is one of our own addresses.
    Ourselves,
    /// This address, to be resolved by ARP.
    Neighbour(Ipv4Addr),
}

/// The bits of a prefix of this length.
fn mask(len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(len.min(32)))
        .unwrap_or(0)
}

fn in_prefix(ip: Ipv4Addr, prefix: Ipv4Addr, len: u8) -> bool {
    (ip.to_bits() ^ prefix.to_bits()) & mask(len) == 0
}

impl TcpControlConfig {
    /// The way to `dest`; `None` when there is none, or `dest` is not one host.
    pub(super) fn route(&self, dest: Ipv4Addr) -> Option<Hop> {
        if self.is_local(dest) {
            return Some(Hop {
                source: dest,
                via: Via::Ourselves,
            });
        }
        if !self.is_host(dest) {
            return None;
        }
        let routes = self
            .routes
            .iter()
            .filter(|route| in_prefix(dest, route.dest, route.prefix_len))
            .map(|route| (route.prefix_len, 1, route.next_hop));
        let on_link = self
            .addresses
            .iter()
            .filter(|addr| in_prefix(dest, addr.ip, addr.prefix_len))
            .map(|addr| (addr.prefix_len, 0, dest));
        // The longest prefix wins, and a route is more to the point than a prefix as long.
        let (_, _, next) = routes.chain(on_link).max_by_key(|way| (way.0, way.1))?;
        Some(Hop {
            source: self.source_for(next),
            via: Via::Neighbour(next),
        })
    }

    /// Our address in the longest on-link prefix that has `neighbour` in it, or the first.
    pub(super) fn source_for(&self, neighbour: Ipv4Addr) -> Ipv4Addr {
        let near = self
            .addresses
            .iter()
            .filter(|addr| in_prefix(neighbour, addr.ip, addr.prefix_len))
            // The first of several as good, since `max_by_key` gives the last.
            .rev()
            .max_by_key(|addr| addr.prefix_len);
        near.or(self.addresses.first())
            .map_or(Ipv4Addr::UNSPECIFIED, |addr| addr.ip)
    }

    /// Whether `ip` can be one host's address: neither reserved nor the broadcast address of a
    /// network of ours (RFC 1122 §3.2.1.3).
    pub(super) fn is_host(&self, ip: Ipv4Addr) -> bool {
        ipv4::is_unicast(ip)
            && !self.addresses.iter().any(|addr| {
                let host = !mask(addr.prefix_len);
                // A /31 or /32 has no broadcast address (RFC 3021), and a /0 is no network.
                (1..=30).contains(&addr.prefix_len)
                    && in_prefix(ip, addr.ip, addr.prefix_len)
                    && (ip.to_bits() & host == host || ip.to_bits() & host == 0)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{IP, PEER, config};
    use super::*;
    use crate::config::{LocalAddr, Route};

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn route(dest: &str, prefix_len: u8, next_hop: &str) -> Route {
        Route {
            dest: ip(dest),
            prefix_len,
            next_hop: ip(next_hop),
        }
    }

    fn via(cfg: &TcpControlConfig, dest: &str) -> Option<Via> {
        cfg.route(ip(dest)).map(|hop| hop.via)
    }

    #[test]
    fn the_longest_prefix_wins() {
        let mut cfg = config();
        cfg.routes = vec![
            route("0.0.0.0", 0, "10.0.0.254"),
            route("192.168.0.0", 16, "10.0.0.253"),
            route("192.168.7.0", 24, "10.0.0.252"),
            route("10.0.0.9", 32, "10.0.0.251"),
        ];
        for (dest, next) in [
            ("10.0.0.2", "10.0.0.2"),
            ("10.0.0.9", "10.0.0.251"),
            ("8.8.8.8", "10.0.0.254"),
            ("192.168.3.4", "10.0.0.253"),
            ("192.168.7.4", "10.0.0.252"),
        ] {
            assert_eq!(via(&cfg, dest), Some(Via::Neighbour(ip(next))), "{dest}");
        }
        assert_eq!(via(&cfg, "10.0.0.1"), Some(Via::Ourselves));
    }

    #[test]
    fn prefix_length_0_puts_everything_on_link() {
        let mut cfg = config();
        cfg.addresses = vec![LocalAddr {
            ip: IP,
            prefix_len: 0,
        }];
        assert_eq!(via(&cfg, "8.8.8.8"), Some(Via::Neighbour(ip("8.8.8.8"))));
        // A default route is more to the point.
        cfg.routes = vec![route("0.0.0.0", 0, "10.0.0.254")];
        assert_eq!(via(&cfg, "8.8.8.8"), Some(Via::Neighbour(ip("10.0.0.254"))));
    }

    #[test]
    fn the_source_address_is_the_one_next_to_the_next_hop() {
        let mut cfg = config();
        let second = ip("172.16.0.1");
        cfg.addresses.push(LocalAddr {
            ip: second,
            prefix_len: 16,
        });
        cfg.routes = vec![route("0.0.0.0", 0, "172.16.0.254")];
        assert_eq!(cfg.route(PEER).unwrap().source, IP);
        assert_eq!(cfg.route(ip("172.16.3.3")).unwrap().source, second);
        assert_eq!(cfg.route(ip("8.8.8.8")).unwrap().source, second);
        assert_eq!(cfg.route(second).unwrap().source, second);
    }

    #[test]
    fn only_hosts_are_reached() {
        let mut cfg = config();
        cfg.addresses.push(LocalAddr {
            ip: ip("10.9.0.0"),
            prefix_len: 31,
        });
        cfg.routes = vec![route("0.0.0.0", 0, "10.0.0.254")];
        for dest in [
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.5",
            "255.255.255.255",
            "10.0.0.255",
            "10.0.0.0",
        ] {
            assert_eq!(via(&cfg, dest), None, "{dest}");
        }
        // Both addresses of a /31 are hosts (RFC 3021).
        assert!(via(&cfg, "10.9.0.1").is_some());
    }
}
