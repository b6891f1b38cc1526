//! Parsers for single option values; each error completes the sentence
//! "'VALUE' for --OPTION: ...".

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::RawFd;

use super::{LocalAddr, Route, accounts};

/// Longest name of a kernel interface (IFNAMSIZ without the terminator).
const IFNAME_MAX: usize = 15;

/// A decimal number within bounds.
pub(super) fn integer(text: &str, min: u64, max: u64) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(format!("not a number from {min} to {max}"));
    }
    match text.parse() {
        Ok(n) if (min..=max).contains(&n) => Ok(n),
        _ => Err(format!("not in the range {min} to {max}")),
    }
}

/// Parser for a 32-bit number within bounds.
pub(super) fn u32_in(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    move |text| {
        let n = integer(text, u64::from(*range.start()), u64::from(*range.end()))?;
        u32::try_from(n).map_err(|e| e.to_string())
    }
}

/// An address of the host with a port.
pub(super) fn socket_addr(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(addr) if addr.port() != 0 => Ok(addr),
        Ok(_) => Err("port 0 is no port".to_owned()),
        Err(_) => Err("not an address with a port, such as 127.0.0.1:9464".to_owned()),
    }
}

/// Events to record, as bits.
pub(super) fn trace_events(text: &str) -> Result<u16, String> {
    tas_abi::trace_control::trace_events(text).map_err(|name| format!("no event is named '{name}'"))
}

/// Parser for a 64-bit number within bounds.
pub(super) fn u64_in(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| integer(text, *range.start(), *range.end())
}

/// Parser for a 32-bit number of bytes within bounds, in whole entries of
/// `entry` bytes.
pub(super) fn queue_bytes(
    range: RangeInclusive<u32>,
    entry: u32,
) -> impl Fn(&str) -> Result<u32, String> + Clone + Send + Sync + 'static {
    let in_range = u32_in(range);
    move |text| match in_range(text)? {
        n if n % entry == 0 => Ok(n),
        _ => Err(format!("not a multiple of {entry} bytes")),
    }
}

/// Parser for a fraction within bounds.
pub(super) fn f64_in(
    range: RangeInclusive<f64>,
) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync + 'static {
    move |text| {
        let (min, max) = (range.start(), range.end());
        match text.parse::<f64>() {
            Err(_) => Err(format!("not a number from {min} to {max}")),
            Ok(x) if range.contains(&x) => Ok(x),
            Ok(_) => Err(format!("not in the range {min} to {max}")),
        }
    }
}

/// `ADDR[/LEN]`.
fn prefix(text: &str, default_len: u8) -> Result<(Ipv4Addr, u8), String> {
    let (addr, len) = match text.split_once('/') {
        Some((addr, len)) => (addr, Some(len)),
        None => (text, None),
    };
    let ip = ipv4(addr)?;
    let len = match len {
        None => default_len,
        Some(len) => integer(len, 0, 32)
            .ok()
            .and_then(|n| u8::try_from(n).ok())
            .ok_or_else(|| format!("prefix length '{len}' is not a number from 0 to 32"))?,
    };
    Ok((ip, len))
}

fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    text.parse()
        .map_err(|_| format!("'{text}' is not an IPv4 address (four numbers 0 to 255 with dots)"))
}

/// Whether a host can have the address (RFC 1122 §3.2.1.3).
fn is_host_address(ip: Ipv4Addr) -> bool {
    let this_network = ip.octets()[0] == 0;
    !(this_network || ip.is_loopback() || ip.is_multicast() || ip.octets()[0] >= 240)
}

/// Value of `--ip-addr`. LEN defaults to 0: everything on-link.
pub(super) fn local_addr(text: &str) -> Result<LocalAddr, String> {
    let (ip, prefix_len) = prefix(text, 0)?;
    if !is_host_address(ip) {
        return Err(format!("{ip} cannot be the address of a host"));
    }
    not_of_the_network(ip, prefix_len)?;
    Ok(LocalAddr { ip, prefix_len })
}

/// The first and the last address of a network are not those of hosts (RFC 1122 §3.2.1.3), unless
/// it has no others (RFC 3021) or stands for everything.
fn not_of_the_network(ip: Ipv4Addr, prefix_len: u8) -> Result<(), String> {
    if !(1..=30).contains(&prefix_len) {
        return Ok(());
    }
    let mask = netmask(prefix_len);
    let (first, last) = (ip.to_bits() & mask, ip.to_bits() | !mask);
    let what = match ip.to_bits() {
        bits if bits == first => "address",
        bits if bits == last => "broadcast address",
        _ => return Ok(()),
    };
    let (low, high) = (
        Ipv4Addr::from_bits(first + 1),
        Ipv4Addr::from_bits(last - 1),
    );
    Err(format!(
        "{ip} is the {what} of the network {}/{prefix_len}, whose hosts have {low} to {high}",
        Ipv4Addr::from_bits(first)
    ))
}

/// Value of `--ip-route`.
pub(super) fn route(text: &str) -> Result<Route, String> {
    let (dest, next_hop) = text
        .split_once(',')
        .ok_or("not of the form DEST[/LEN],NEXTHOP")?;
    let (dest, prefix_len) = prefix(dest, 32)?;
    let next_hop = ipv4(next_hop)?;
    let network = Ipv4Addr::from_bits(dest.to_bits() & netmask(prefix_len));
    if network != dest {
        return Err(format!(
            "{dest} has bits set beyond the prefix of {prefix_len} (meant: {network}/{prefix_len}?)"
        ));
    }
    if !is_host_address(next_hop) {
        return Err(format!(
            "next hop {next_hop} cannot be the address of a host"
        ));
    }
    if prefix_len == 32 && next_hop == dest {
        return Err(format!("{dest} cannot be its own next hop"));
    }
    Ok(Route {
        dest,
        prefix_len,
        next_hop,
    })
}

/// Netmask of a prefix length, 0 to 32.
fn netmask(prefix_len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix_len.min(32)))
        .unwrap_or(0)
}

/// Value of `--kni-name`: what the kernel takes as an interface name.
pub(super) fn interface_name(text: &str) -> Result<String, String> {
    let bad_byte = |b: u8| b == b'/' || b == b':' || !b.is_ascii_graphic();
    if text.is_empty() || text.len() > IFNAME_MAX {
        return Err(format!("not 1 to {IFNAME_MAX} characters long"));
    }
    if text == "." || text == ".." || text.bytes().any(bad_byte) {
        return Err("not a name for a network interface".to_owned());
    }
    Ok(text.to_owned())
}

/// Value of `--dpdk-extra`: the EAL takes C strings.
pub(super) fn eal_argument(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("empty".to_owned());
    }
    Ok(text.to_owned())
}

/// Value of `--ready-fd`.
pub(super) fn descriptor(text: &str) -> Result<RawFd, String> {
    let n = integer(text, 0, i32::MAX as u64)?;
    RawFd::try_from(n).map_err(|e| e.to_string())
}

/// Value of `--shm-mode`: octal; the owner, the service, must read and write.
pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    let digits = !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b));
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 && mode & 0o600 == 0o600 => Ok(mode),
        Ok(mode) if digits && mode <= 0o777 => {
            Err("the owner must be able to read and write (6..)".to_owned())
        }
        _ => Err("not an octal file mode from 600 to 777".to_owned()),
    }
}

/// Value of `--allow-uid`.
pub(super) fn user(text: &str) -> Result<u32, String> {
    accounts::user_id(text)
}

/// Value of `--allow-gid` and `--shm-group`.
pub(super) fn group(text: &str) -> Result<u32, String> {
    accounts::group_id(text)
}
