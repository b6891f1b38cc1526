//! Ethernet, ARP, IPv4 and TCP headers as C programs see them.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::be::{BeU16, BeU32};

/// Bytes of an Ethernet address.
pub const ETH_ADDR_LEN: usize = 6;
/// Ethertype of IPv4.
pub const ETH_TYPE_IP: u16 = 0x0800;
/// Ethertype of ARP.
pub const ETH_TYPE_ARP: u16 = 0x0806;

/// Bytes of an IPv4 header without options.
pub const IP_HLEN: usize = 20;
/// Dummy protocol number for IP.
pub const IP_PROTO_IP: u8 = 0;
/// Protocol number of ICMP.
pub const IP_PROTO_ICMP: u8 = 1;
/// Protocol number of IGMP.
pub const IP_PROTO_IGMP: u8 = 2;
/// Protocol number of IP in IP.
pub const IP_PROTO_IPENCAP: u8 = 4;
/// Protocol number of TCP.
pub const IP_PROTO_TCP: u8 = 6;
/// Protocol number of UDP.
pub const IP_PROTO_UDP: u8 = 17;
/// Protocol number of DCCP.
pub const IP_PROTO_DCCP: u8 = 33;
/// Protocol number of UDP-Lite.
pub const IP_PROTO_UDPLITE: u8 = 136;
/// ECN field: not ECN-capable (RFC 3168 section 5).
pub const IP_ECN_NONE: u8 = 0x0;
/// ECN field: ECN-capable, ECT(1).
pub const IP_ECN_ECT1: u8 = 0x1;
/// ECN field: ECN-capable, ECT(0).
pub const IP_ECN_ECT0: u8 = 0x2;
/// ECN field: congestion experienced.
pub const IP_ECN_CE: u8 = 0x3;

/// ARP hardware type of Ethernet.
pub const ARP_HTYPE_ETHERNET: u16 = 1;
/// ARP protocol type of IPv4.
pub const ARP_PTYPE_IPV4: u16 = 0x0800;
/// ARP request.
pub const ARP_OPER_REQUEST: u16 = 1;
/// ARP reply.
pub const ARP_OPER_REPLY: u16 = 2;

/// Bytes of a TCP header without options.
pub const TCP_HLEN: usize = 20;
/// The sender has finished sending.
pub const TCP_FIN: u32 = 0x01u32;
/// Synchronize sequence numbers.
pub const TCP_SYN: u32 = 0x02u32;
/// Reset the connection.
pub const TCP_RST: u32 = 0x04u32;
/// Push.
pub const TCP_PSH: u32 = 0x08u32;
/// The acknowledgement number is valid.
pub const TCP_ACK: u32 = 0x10u32;
/// The urgent pointer is valid.
pub const TCP_URG: u32 = 0x20u32;
/// Congestion experienced (RFC 3168 section 6.1).
pub const TCP_ECE: u32 = 0x40u32;
/// Congestion window reduced (RFC 3168 section 6.1).
pub const TCP_CWR: u32 = 0x80u32;
/// ECN nonce (RFC 3540, historic).
pub const TCP_NS: u32 = 0x100u32;
/// All flags.
pub const TCP_FLAGS: u32 = 0x1ffu32;
/// Option kind: end of the list.
pub const TCP_OPT_END_OF_OPTIONS: u8 = 0;
/// Option kind: padding.
pub const TCP_OPT_NO_OP: u8 = 1;
/// Option kind: maximum segment size.
pub const TCP_OPT_MSS: u8 = 2;
/// Option kind: timestamps.
pub const TCP_OPT_TIMESTAMP: u8 = 8;

/// Marks the start of an object header.
pub const OBJ_MAGIC: u16 = 0xb805;

/// Ethernet address.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct EthAddr {
    /// The six bytes, in wire order.
    pub addr: [u8; 6],
}

assert_layout!(EthAddr, size 6, align 1, {
    addr: 0
});

/// Ethernet II header.
///
/// cbindgen:field-names=[dest, src, type]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct EthHdr {
    /// Destination.
    pub dest: EthAddr,
    /// Source.
    pub src: EthAddr,
    /// Ethertype, [`ETH_TYPE_IP`] and the like.
    pub type_: BeU16,
}

assert_layout!(EthHdr, size 14, align 1, {
    dest: 0, src: 6, type_: 12
});

/// IPv4 header without options (RFC 791 section 3.1).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct IpHdr {
    /// Version in the high four bits, header length in words in the low four.
    pub _v_hl: u8,
    /// DSCP in the high six bits, ECN in the low two.
    pub _tos: u8,
    /// Length in bytes, header included.
    pub len: BeU16,
    /// Identification of the datagram's fragments.
    pub id: BeU16,
    /// Fragment flags and offset in units of 8 bytes.
    pub offset: BeU16,
    /// Time to live.
    pub ttl: u8,
    /// Protocol of the payload, [`IP_PROTO_TCP`] and the like.
    pub proto: u8,
    /// Internet checksum, as it lies on the wire.
    pub chksum: u16,
    /// Source address.
    pub src: BeU32,
    /// Destination address.
    pub dest: BeU32,
}

assert_layout!(IpHdr, size 20, align 1, {
    _v_hl: 0, _tos: 1, len: 2, id: 4, offset: 6, ttl: 8, proto: 9, chksum: 10, src: 12, dest: 16
});

/// ARP packet for IPv4 over Ethernet (RFC 826).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct ArpHdr {
    /// Hardware type, [`ARP_HTYPE_ETHERNET`].
    pub htype: BeU16,
    /// Protocol type, [`ARP_PTYPE_IPV4`].
    pub ptype: BeU16,
    /// Length of a hardware address in bytes.
    pub hlen: u8,
    /// Length of a protocol address in bytes.
    pub plen: u8,
    /// [`ARP_OPER_REQUEST`] or [`ARP_OPER_REPLY`].
    pub oper: BeU16,
    /// Sender's hardware address.
    pub sha: EthAddr,
    /// Sender's protocol address.
    pub spa: BeU32,
    /// Target's hardware address.
    pub tha: EthAddr,
    /// Target's protocol address.
    pub tpa: BeU32,
}

assert_layout!(ArpHdr, size 28, align 1, {
    htype: 0, ptype: 2, hlen: 4, plen: 5, oper: 6, sha: 8, spa: 14, tha: 18, tpa: 24
});

/// TCP header without options (RFC 9293 section 3.1).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct TcpHdr {
    /// Source port.
    pub src: BeU16,
    /// Destination port.
    pub dest: BeU16,
    /// Sequence number.
    pub seqno: BeU32,
    /// Acknowledgement number.
    pub ackno: BeU32,
    /// Header length in words, reserved bits and flags, as they lie on the wire.
    pub _hdrlen_rsvd_flags: u16,
    /// Receive window, unscaled.
    pub wnd: BeU16,
    /// Internet checksum, as it lies on the wire.
    pub chksum: u16,
    /// Urgent pointer.
    pub urgp: BeU16,
}

assert_layout!(TcpHdr, size 20, align 1, {
    src: 0, dest: 2, seqno: 4, ackno: 8, _hdrlen_rsvd_flags: 12, wnd: 14, chksum: 16, urgp: 18
});

/// TCP maximum segment size option (RFC 9293 section 3.7.1).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct TcpMssOpt {
    /// Option kind.
    pub kind: u8,
    /// Length of the option in bytes.
    pub length: u8,
    /// Largest segment accepted, in bytes.
    pub mss: BeU16,
}

assert_layout!(TcpMssOpt, size 4, align 1, {
    kind: 0, length: 1, mss: 2
});

/// TCP timestamps option (RFC 7323 section 3.2).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct TcpTimestampOpt {
    /// Option kind.
    pub kind: u8,
    /// Length of the option in bytes.
    pub length: u8,
    /// Sender's clock, TSval.
    pub ts_val: BeU32,
    /// Echoed clock, TSecr.
    pub ts_ecr: BeU32,
}

assert_layout!(TcpTimestampOpt, size 10, align 1, {
    kind: 0, length: 1, ts_val: 2, ts_ecr: 6
});

/// Header of an object in an object stream.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct ObjHdr {
    /// Length of the object in bytes.
    pub len: BeU32,
    /// [`OBJ_MAGIC`].
    pub magic: BeU16,
    /// Source.
    pub src: u8,
    /// Length of `dst` in bytes.
    pub dstlen: u8,
    /// Destination, `dstlen` bytes.
    pub dst: [u8; 0],
}

assert_layout!(ObjHdr, size 8, align 1, {
    len: 0, magic: 4, src: 6, dstlen: 7, dst: 8
});

/// ARP frame.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct PktArp {
    /// Ethernet header.
    pub eth: EthHdr,
    /// ARP packet.
    pub arp: ArpHdr,
}

assert_layout!(PktArp, size 42, align 1, {
    eth: 0, arp: 14
});

/// IPv4 frame.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct PktIp {
    /// Ethernet header.
    pub eth: EthHdr,
    /// IPv4 header.
    pub ip: IpHdr,
}

assert_layout!(PktIp, size 34, align 1, {
    eth: 0, ip: 14
});

/// TCP frame.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(C, packed)]
pub struct PktTcp {
    /// Ethernet header.
    pub eth: EthHdr,
    /// IPv4 header.
    pub ip: IpHdr,
    /// TCP header.
    pub tcp: TcpHdr,
}

assert_layout!(PktTcp, size 54, align 1, {
    eth: 0, ip: 14, tcp: 34
});
