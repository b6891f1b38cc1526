//! Packet headers of Ethernet, ARP, IPv4, ICMP and TCP: parsing, building,
//! checksums, and sequence number arithmetic.
//!
//! Nothing here allocates, keeps state or panics on any input. [`parse`] turns
//! a received frame into a [`Packet`]; [`TcpTemplate`], [`ArpPacket`] and
//! [`EchoReply`] write frames into a caller's buffer.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod tcp;

mod error;
mod flow;
mod packet;
mod seq;

#[cfg(test)]
mod strategies;

pub use core::net::Ipv4Addr;

pub use arp::{ArpOp, ArpPacket};
pub use error::{EmitError, ParseError};
pub use ethernet::{EtherType, MacAddr};
pub use flow::FlowTuple;
pub use icmp::{Echo, EchoReply, IcmpMessage, IcmpPacket, QuotedTcp, Unreachable, UnreachableCode};
pub use ipv4::{Ecn, Protocol};
pub use packet::{Packet, Verify, parse, parse_with};
pub use seq::SeqNum;
pub use tcp::{
    ChecksumMode, PlainChecksum, PlainFields, PlainSegment, SackBlock, SackBlocks, SegmentFields,
    TcpFlags, TcpHeader, TcpOptions, TcpPacket, TcpTemplate, Timestamps, WindowScale,
};
