//! Rules by which users choose which sockets are TAS's:
//! `-10.0.0.0/8:22,+10.0.0.0/24:80-90`.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// What the rules say of an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// A rule with `+` names it.
    Allowed,
    /// A rule with `-` names it, or rules with `+` do not.
    Denied,
    /// No rule is about it.
    Open,
}

/// An ordered reading is not needed: what is denied is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    denied: Vec<Target>,
    allowed: Vec<Target>,
}

/// Addresses and ports.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    network: Network,
    ports: RangeInclusive<u16>,
}

/// Addresses of the same prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    bits: u32,
    mask: u32,
}

impl Network {
    /// Every address.
    const ALL: Network = Network { bits: 0, mask: 0 };

    /// The network of `address` with `prefix_len` bits, unless those are more than 32.
    fn new(address: Ipv4Addr, prefix_len: u32) -> Option<Network> {
        let host_bits = 32u32.checked_sub(prefix_len)?;
        let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
        Some(Network {
            bits: u32::from(address) & mask,
            mask,
        })
    }

    /// Whether an address is in it.
    fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask == self.bits
    }
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    rule: String,
    why: &'static str,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", self.rule, self.why)
    }
}

impl Rules {
    /// What the rules say of a port at an address, or at all of this machine's
    /// addresses: then a rule need only name one of them.
    pub(crate) fn verdict(&self, address: Option<Ipv4Addr>, port: u16) -> Verdict {
        let named = |targets: &[Target]| {
            targets.iter().any(|target| {
                target.ports.contains(&port)
                    && address.is_none_or(|address| target.network.contains(address))
            })
        };
        if named(&self.denied) {
            Verdict::Denied
        } else if named(&self.allowed) {
            Verdict::Allowed
        } else if self.allowed.is_empty() {
            Verdict::Open
        } else {
            Verdict::Denied
        }
    }
}

impl FromStr for Rules {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Rules, Malformed> {
        let mut rules = Rules::default();
        let separate = |c: char| c == ',' || c.is_whitespace();
        for rule in text.split(separate).filter(|rule| !rule.is_empty()) {
            let (list, target) = match rule.strip_prefix('-') {
                Some(target) => (&mut rules.denied, target),
                None => (&mut rules.allowed, rule.strip_prefix('+').unwrap_or(rule)),
            };
            list.push(target.parse().map_err(|why| Malformed {
                rule: rule.into(),
                why,
            })?);
        }
        Ok(rules)
    }
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Target, &'static str> {
        let (network, ports) = match text.split_once(':') {
            Some((network, ports)) => (network, Some(ports)),
            None => (text, None),
        };
        Ok(Target {
            network: match network {
                "*" => Network::ALL,
                "" if ports.is_some() => Network::ALL,
                network => parse_network(network)?,
            },
            ports: ports.map_or(Ok(0..=u16::MAX), parse_ports)?,
        })
    }
}

fn parse_network(text: &str) -> Result<Network, &'static str> {
    let (address, prefix_len) = match text.split_once('/') {
        Some((address, len)) => (address, len.parse().map_err(|_| "no prefix length")?),
        None => (text, 32),
    };
    let address = address.parse().map_err(|_| "no IPv4 address")?;
    Network::new(address, prefix_len).ok_or("the prefix is longer than 32 bits")
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, &'static str> {
    let port = |text: &str| text.parse::<u16>().map_err(|_| "no port number");
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None if text == "*" => (0, u16::MAX),
        None => (port(text)?, port(text)?),
    };
    if first > last {
        return Err("the first port is greater than the last");
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Rules {
        text.parse().unwrap()
    }

    fn at(a: u8, b: u8, c: u8, d: u8) -> Option<Ipv4Addr> {
        Some(Ipv4Addr::new(a, b, c, d))
    }

    #[test]
    fn no_rules_say_nothing() {
        for text in ["", " ", ",, "] {
            assert_eq!(rules(text).verdict(at(10, 0, 0, 1), 80), Verdict::Open);
        }
    }

    #[test]
    fn denials_come_first_wherever_they_stand() {
        for text in ["-:22,10.0.0.0/8", "10.0.0.0/8 -:22"] {
            let rules = rules(text);
            assert_eq!(rules.verdict(at(10, 1, 2, 3), 22), Verdict::Denied);
            assert_eq!(rules.verdict(at(10, 1, 2, 3), 23), Verdict::Allowed);
            assert_eq!(rules.verdict(at(11, 1, 2, 3), 23), Verdict::Denied);
        }
    }

    #[test]
    fn denials_alone_leave_the_rest_open() {
        let rules = rules("-10.0.0.7:80-90,-*:443");
        assert_eq!(rules.verdict(at(10, 0, 0, 7), 85), Verdict::Denied);
        assert_eq!(rules.verdict(at(10, 0, 0, 7), 91), Verdict::Open);
        assert_eq!(rules.verdict(at(10, 0, 0, 8), 85), Verdict::Open);
        assert_eq!(rules.verdict(at(10, 0, 0, 8), 443), Verdict::Denied);
    }

    #[test]
    fn all_addresses_are_named_by_naming_one() {
        let rules = rules("+10.0.0.1:80");
        assert_eq!(rules.verdict(None, 80), Verdict::Allowed);
        assert_eq!(rules.verdict(None, 81), Verdict::Denied);
    }

    #[test]
    fn everything_and_nothing() {
        assert_eq!(rules("-*").verdict(None, 0), Verdict::Denied);
        assert_eq!(rules("*").verdict(at(1, 2, 3, 4), 1), Verdict::Allowed);
        assert_eq!(
            rules("0.0.0.0/0:*").verdict(at(1, 2, 3, 4), 1),
            Verdict::Allowed
        );
    }

    #[test]
    fn malformed_rules_are_named() {
        for (text, line) in [
            (":80,10.0.0", "'10.0.0': no IPv4 address"),
            (
                "-10.0.0.0/33",
                "'-10.0.0.0/33': the prefix is longer than 32 bits",
            ),
            ("10.0.0.0/x:1", "'10.0.0.0/x:1': no prefix length"),
            (":http", "':http': no port number"),
            (":65536", "':65536': no port number"),
            (":9-8", "':9-8': the first port is greater than the last"),
            ("+", "'+': no IPv4 address"),
            ("deny", "'deny': no IPv4 address"),
        ] {
            assert_eq!(text.parse::<Rules>().unwrap_err().to_string(), line);
        }
    }

    #[test]
    fn networks_have_0_to_32_bits() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(Network::new(address, 0), Some(Network::ALL));
        assert!(Network::new(address, 32).unwrap().contains(address));
        assert!(
            Network::new(address, 16)
                .unwrap()
                .contains(Ipv4Addr::new(10, 1, 9, 9))
        );
        assert!(
            !Network::new(address, 16)
                .unwrap()
                .contains(Ipv4Addr::new(10, 2, 2, 3))
        );
        assert_eq!(Network::new(address, 33), None);
    }
}
