//! A bad network between two interfaces: hands each frame that comes from one to the other, late,
//! out of order or not at all, as a seed decides.
//!
//!     impair INTERFACE INTERFACE PATH
//!
//! `PATH` is `tas_full_tests::Path` for either direction.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrLike, bind, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};
use rustix::thread::set_current_timer_slack;
use tas_full_tests::{Line, Path};

/// Larger than any frame of these interfaces.
const FRAME_MAX: usize = 65_536;
/// Frames taken from one interface before the other's turn.
const BURST: usize = 32;
/// Bytes that may wait for this program.
const BUFFER: usize = 16 << 20;
const ETHERTYPE: std::ops::Range<usize> = 12..14;
const IPV4: [u8; 2] = [0x08, 0x00];

fn main() -> Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [near, far, path] = args.as_slice() else {
        bail!("usage: impair INTERFACE INTERFACE PATH");
    };
    let path: Path = path.parse().map_err(anyhow::Error::msg)?;
    set_current_timer_slack(NonZeroU64::new(1))?;
    let mut cable = Cable::new([open(near)?, open(far)?], path);
    println!("forwarding");
    loop {
        cable.turn()?;
    }
}

/// A socket that receives all that arrives on an interface, and sends there.
fn open(interface: &str) -> Result<OwnedFd> {
    let address = getifaddrs()?
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| entry.address)
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .with_context(|| format!("no interface {interface}"))?;
    let address = *address.as_link_addr().context("not an Ethernet address")?;
    // It takes nothing until it is bound to its interface.
    let fd = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )?;
    sockopt::set_socket_recv_buffer_size_force(&fd, BUFFER)?;
    bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address)?;
    Ok(fd)
}

/// A frame on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    /// When it arrives, in nanoseconds.
    at: u64,
    /// Frames that arrive at the same time do so in order.
    serial: u64,
    to: usize,
    frame: Vec<u8>,
}

/// Two ends, and what is between them.
struct Cable {
    ends: [OwnedFd; 2],
    lines: [Line; 2],
    flights: BinaryHeap<Reverse<Flight>>,
    serial: u64,
    begin: Instant,
    buffer: Vec<u8>,
}

impl Cable {
    fn new(ends: [OwnedFd; 2], path: Path) -> Cable {
        let back = Path {
            seed: !path.seed,
            ..path
        };
        Cable {
            ends,
            lines: [Line::new(path), Line::new(back)],
            flights: BinaryHeap::new(),
            serial: 0,
            begin: Instant::now(),
            buffer: vec![0; FRAME_MAX],
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn turn(&mut self) -> Result<()> {
        self.deliver()?;
        let taken = self.take(0)? + self.take(1)?;
        if taken == 0 {
            self.wait()?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<()> {
        let now = self.now();
        while self.flights.peek().is_some_and(|next| next.0.at <= now) {
            let Some(Reverse(flight)) = self.flights.pop() else {
                break;
            };
            match send(&self.ends[flight.to], &flight.frame, SendFlags::empty()) {
                // A full queue, or an interface that is down, loses it.
                Ok(_) | Err(Errno::AGAIN | Errno::NOBUFS | Errno::NETDOWN) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn take(&mut self, from: usize) -> Result<usize> {
        for taken in 0..BURST {
            let len = match recv(&self.ends[from], &mut self.buffer[..], RecvFlags::empty()) {
                Ok((len, _)) => len,
                Err(Errno::AGAIN | Errno::NETDOWN) => return Ok(taken),
                Err(error) => return Err(error.into()),
            };
            let now = self.now();
            let frame = &self.buffer[..len.min(FRAME_MAX)];
            let at = match frame.get(ETHERTYPE) == Some(&IPV4) {
                true => self.lines[from].send(now, len as u64),
                false => Some(now),
            };
            if let Some(at) = at {
                self.serial += 1;
                self.flights.push(Reverse(Flight {
                    at,
                    serial: self.serial,
                    to: 1 - from,
                    frame: frame.to_vec(),
                }));
            }
        }
        Ok(BURST)
    }

    /// Until a frame comes or is due.
    fn wait(&self) -> Result<()> {
        let due = self.flights.peek().map(|next| {
            let ns = next.0.at.saturating_sub(self.now());
            Timespec {
                tv_sec: i64::try_from(ns / 1_000_000_000).unwrap_or(i64::MAX),
                tv_nsec: (ns % 1_000_000_000).cast_signed(),
            }
        });
        let mut fds = self
            .ends
            .each_ref()
            .map(|end| PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN));
        match poll(&mut fds, due.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
