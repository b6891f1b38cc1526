//! Which addresses are the service's, and which it reaches.

pub(crate) mod kernel;

use std::net::Ipv4Addr;

use crate::rules::Network;

/// Bits of a whole address.
const HOST: u32 = 32;

/// What the service says of itself when a process attaches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routes {
    addresses: Vec<Ipv4Addr>,
    networks: Vec<Network>,
}

impl Routes {
    /// The service's addresses with the lengths of their networks' prefixes,
    /// and its routes' destinations with their masks; numbers in host order.
    pub(crate) fn new(
        addresses: impl IntoIterator<Item = (u32, u32)>,
        routes: impl IntoIterator<Item = (u32, u32)>,
    ) -> Routes {
        let mut known = Routes::default();
        for (address, prefix_len) in addresses {
            let address = Ipv4Addr::from_bits(address);
            known.addresses.push(address);
            known.networks.extend(Network::new(address, HOST));
            known.networks.extend(Network::new(address, prefix_len));
        }
        for (destination, mask) in routes {
            let destination = Ipv4Addr::from_bits(destination);
            known
                .networks
                .extend(Network::new(destination, mask.leading_ones()));
        }
        known
    }

    /// Whether an address is one of the service's own.
    pub(crate) fn is_local(&self, address: Ipv4Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// The prefix length of the service's best route to an address.
    pub(crate) fn prefix_to(&self, address: Ipv4Addr) -> Option<u32> {
        let there = self
            .networks
            .iter()
            .filter(|network| network.contains(address));
        there.map(|network| network.prefix_len()).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn bits(text: &str) -> u32 {
        ip(text).to_bits()
    }

    #[test]
    fn the_longest_prefix_counts() {
        let routes = Routes::new(
            [(bits("10.0.0.1"), 24)],
            [(bits("10.1.0.0"), 0xffff_0000), (bits("0.0.0.0"), 0)],
        );
        assert_eq!(routes.prefix_to(ip("10.0.0.1")), Some(32));
        assert_eq!(routes.prefix_to(ip("10.0.0.2")), Some(24));
        assert_eq!(routes.prefix_to(ip("10.1.2.3")), Some(16));
        assert_eq!(routes.prefix_to(ip("8.8.8.8")), Some(0));
        assert!(routes.is_local(ip("10.0.0.1")));
        assert!(!routes.is_local(ip("10.0.0.2")));
    }

    #[test]
    fn without_a_route_there_is_none() {
        let routes = Routes::new([(bits("10.0.0.1"), 24)], []);
        assert_eq!(routes.prefix_to(ip("10.0.1.1")), None);
        assert_eq!(Routes::default().prefix_to(ip("10.0.1.1")), None);
    }
}
