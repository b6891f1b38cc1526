//! What the service serves: its addresses, and the destinations it has routes to.

use std::sync::OnceLock;

use tas_abi::memif::InfoExt;

/// What the service told when the process connected to it.
static NETWORK: OnceLock<Network> = OnceLock::new();

/// Addresses and routes, in host order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    addresses: Vec<(u32, u32)>,
    routes: Vec<(u32, u32)>,
}

impl Network {
    fn new(ext: &InfoExt) -> Network {
        let mut network = Network::default();
        let addrs = ext.addrs;
        for addr in addrs.iter().take(ext.addr_num as usize) {
            network.addresses.push((addr.ip, mask(addr.prefix_len)));
        }
        let routes = ext.routes;
        for route in routes.iter().take(ext.route_num as usize) {
            network.routes.push((route.dest, route.mask));
        }
        network
    }

    /// Whether `ip` is the service's own.
    #[must_use]
    pub fn is_local(&self, ip: u32) -> bool {
        self.addresses.iter().any(|(own, _)| *own == ip)
    }

    /// The service's first address.
    #[must_use]
    pub fn first_address(&self) -> Option<u32> {
        self.addresses.first().map(|(ip, _)| *ip)
    }

    /// The length of the longest prefix by which the service reaches `ip`:
    /// its own address, a neighbour, or by a route.
    #[must_use]
    pub fn prefix_to(&self, ip: u32) -> Option<u32> {
        let own = self.addresses.iter().filter(|(own, _)| *own == ip);
        let own = own.map(|_| u32::BITS);
        let nets = self.addresses.iter().chain(&self.routes);
        let nets = nets.filter(|(net, mask)| (net ^ ip) & mask == 0);
        own.chain(nets.map(|(_, mask)| mask.count_ones())).max()
    }
}

fn mask(prefix_len: u32) -> u32 {
    u32::MAX
        .checked_shl(u32::BITS - prefix_len.min(u32::BITS))
        .unwrap_or(0)
}

/// Keeps what the information page says.
pub(crate) fn set(ext: &InfoExt) {
    // A process connects once; a child that connects anew has the same service.
    let _ = NETWORK.set(Network::new(ext));
}

/// What the service serves, once the process is connected to one that tells.
#[must_use]
pub fn get() -> Option<&'static Network> {
    NETWORK.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let network = Network {
            addresses: vec![(0x0a00_0001, mask(24)), (0x0a01_0001, mask(0))],
            routes: vec![(0xc0a8_0000, mask(16)), (0xc0a8_0100, mask(24))],
        };
        assert_eq!(network.prefix_to(0x0a00_0001), Some(32));
        assert_eq!(network.prefix_to(0x0a00_0002), Some(24));
        assert_eq!(network.prefix_to(0xc0a8_0105), Some(24));
        assert_eq!(network.prefix_to(0xc0a8_0205), Some(16));
        assert_eq!(network.prefix_to(0x0808_0808), Some(0));
        assert!(network.is_local(0x0a01_0001) && !network.is_local(0x0a01_0002));
    }

    #[test]
    fn a_service_without_a_prefix_reaches_all() {
        assert_eq!(mask(0), 0);
        assert_eq!(mask(32), u32::MAX);
        assert_eq!(mask(24), 0xffff_ff00);
    }
}
