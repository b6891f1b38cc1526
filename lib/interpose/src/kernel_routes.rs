//! The kernel's routes, asked by rtnetlink(7). The calls are rustix's, which
//! go to the kernel directly.

use std::net::Ipv4Addr;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `struct nlmsghdr` and `struct rtmsg`.
const HEADER: usize = 16;
const ROUTE: usize = 12;
/// `struct rtattr` with an address.
const ATTRIBUTE: usize = 8;
const REQUEST: usize = HEADER + ROUTE + ATTRIBUTE;

/// The answer is the route itself, not what follows from it for the address.
const RTM_F_FIB_MATCH: u32 = 0x2000;

/// The prefix length of the kernel's route to an address; none if it has no
/// route, or does not say.
pub(crate) fn prefix_to(address: Ipv4Addr) -> Option<u32> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )
    .ok()?;
    rustix::net::send(&socket, &request(address), SendFlags::empty()).ok()?;
    let mut answer = [0u8; 512];
    let (len, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty()).ok()?;
    matched(answer.get(..len)?)
}

fn request(address: Ipv4Addr) -> [u8; REQUEST] {
    let mut message = [0u8; REQUEST];
    let parts: [&[u8]; 12] = [
        // nlmsghdr: length, type, flags, sequence number, sender.
        &(REQUEST as u32).to_ne_bytes(),
        &libc::RTM_GETROUTE.to_ne_bytes(),
        &(libc::NLM_F_REQUEST as u16).to_ne_bytes(),
        &0u32.to_ne_bytes(),
        &0u32.to_ne_bytes(),
        // rtmsg: family, lengths of the prefixes, others that do not matter here.
        &[libc::AF_INET as u8, 32, 0, 0],
        &[0; 4],
        &RTM_F_FIB_MATCH.to_ne_bytes(),
        // rtattr: length, type, value.
        &(ATTRIBUTE as u16).to_ne_bytes(),
        &libc::RTA_DST.to_ne_bytes(),
        &address.octets(),
        &[],
    ];
    for (place, byte) in message.iter_mut().zip(parts.concat()) {
        *place = byte;
    }
    message
}

/// The prefix length in an answer.
fn matched(answer: &[u8]) -> Option<u32> {
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    // struct rtmsg: family, length of the destination's prefix.
    (kind == libc::RTM_NEWROUTE).then(|| answer.get(HEADER + 1).copied().map(u32::from))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_its_loopback_addresses() {
        // Each address of the network is local: the table has 127.0.0.0/8 itself.
        assert_eq!(prefix_to(Ipv4Addr::new(127, 0, 0, 7)), Some(8));
        assert_eq!(prefix_to(Ipv4Addr::LOCALHOST), Some(32));
    }

    #[test]
    fn an_error_is_no_route() {
        let mut error = [0u8; 36];
        error[4..6].copy_from_slice(&(libc::NLMSG_ERROR as u16).to_ne_bytes());
        assert_eq!(matched(&error), None);
        assert_eq!(matched(&[]), None);
    }
}
