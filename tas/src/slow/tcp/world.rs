//! What TCP control needs from its surroundings, and what it is told by them.

use std::fmt;

use tas_abi::appif::{AppinMsg, TAS_CONN_BUFFER_MAX, TAS_CONN_BUFFER_MIN};
use tas_shm::ShmOffset;
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr};

use crate::config::{Config, LocalAddr, Route};
use crate::link::ToFast;
use crate::proto::cc::CcParams;
use crate::types::{ContextId, CoreId, FlowGroup, FlowId, Micros, TenantId};

/// Most half-open connections of a listener.
const MAX_HALF_OPEN: usize = 16_384;
/// Buffers begin and end on cache lines.
const BUFFER_UNIT: u32 = 64;

/// The surroundings that TCP control acts on: cores, applications, memory and the lookup table.
/// The service implements it with rings and shared memory, tests with vectors.
pub trait World {
    /// The time.
    fn now(&self) -> Micros;
    /// Sends a message to a core, in order. Only frames may be lost, as in the network.
    fn send(&mut self, core: CoreId, msg: ToFast);
    /// The group that a connection falls into.
    fn group(&self, tuple: &FlowTuple) -> FlowGroup;
    /// The core that has a group's flows, or is about to get them.
    fn core(&self, group: FlowGroup) -> CoreId;
    /// Passes a flow's slot from the slow path to a core. Called before the flow's installation
    /// is sent.
    fn pass_slot(&mut self, flow: FlowId, core: CoreId);
    /// Answers an application; never lost. A context that is gone gets nothing.
    fn answer(&mut self, ctx: ContextId, msg: AppinMsg);
    /// Tells an application something that it need not be told twice before it looks.
    fn tell_once(&mut self, ctx: ContextId, msg: AppinMsg) {
        self.answer(ctx, msg);
    }
    /// Whether so many answers wait for an application that it should get no further events:
    /// connections that nobody asked for are held back then.
    fn is_behind(&mut self, _ctx: ContextId) -> bool {
        false
    }
    /// Whether less than half of a tenant's memory is in use.
    fn has_plenty(&self, _tenant: TenantId) -> bool {
        true
    }
    /// Takes `len` bytes of a tenant's memory, 64-byte aligned, the last `zeroed` of which are zeros;
    /// `None` when it is used up.
    fn alloc(&mut self, tenant: TenantId, len: u32, zeroed: u32) -> Option<ShmOffset>;
    /// Gives memory back.
    fn free(&mut self, tenant: TenantId, at: ShmOffset, len: u32);
    /// A place as the tenant's applications know it.
    fn relative(&self, tenant: TenantId, at: ShmOffset) -> u64;
    /// Ends the turn of an application on a connection that several processes hold, whose tail of
    /// the receive buffer is there, if `gone` holds for that application.
    fn end_turn(&mut self, _tail: ShmOffset, _gone: &dyn Fn(Client) -> bool) {}
    /// Enters a flow into the cores' lookup table; false when there is no room.
    fn table_insert(&mut self, tuple: &FlowTuple, flow: FlowId) -> bool;
    /// Removes a flow from the cores' lookup table.
    fn table_remove(&mut self, tuple: &FlowTuple, flow: FlowId);
    /// Whether two tenants may listen on one port if both ask for it (REUSEPORT). On Linux, they
    /// may when they run as the same user.
    fn may_share_port(&self, a: TenantId, b: TenantId) -> bool {
        a == b
    }
}

/// Who asks: a context and the tenant that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// The tenant.
    pub tenant: TenantId,
    /// The context, whose queue gets the answer.
    pub context: ContextId,
}

/// Bytes of a connection's buffers, as asked for; 0: as long as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BufferLens {
    /// Receive buffer.
    pub rx: u32,
    /// Transmit buffer.
    pub tx: u32,
}

/// A connection to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The application's word for the connection.
    pub opaque: u64,
    /// The peer.
    pub remote: (Ipv4Addr, u16),
    /// Our address; `None`: the one towards the peer.
    pub local_ip: Option<Ipv4Addr>,
    /// Our port; `None`: any.
    pub local_port: Option<u16>,
    /// Its buffers.
    pub buffers: BufferLens,
}

impl Open {
    /// A connection to a peer, from wherever.
    #[must_use]
    pub fn to(opaque: u64, remote: (Ipv4Addr, u16)) -> Open {
        Open {
            opaque,
            remote,
            local_ip: None,
            local_port: None,
            buffers: BufferLens::default(),
        }
    }
}

/// A listener to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The application's word for the listener.
    pub opaque: u64,
    /// Our address; `None`: all.
    pub ip: Option<Ipv4Addr>,
    /// Our port.
    pub port: u16,
    /// Most connections that wait to be accepted.
    pub backlog: u32,
    /// Others that say so too may have the same address and port.
    pub reuseport: bool,
    /// Buffers of its connections.
    pub buffers: BufferLens,
}

impl Listen {
    /// A listener on all addresses that shares its port with none.
    #[must_use]
    pub fn on(opaque: u64, port: u16, backlog: u32) -> Listen {
        Listen {
            opaque,
            ip: None,
            port,
            backlog,
            reuseport: false,
            buffers: BufferLens::default(),
        }
    }
}

/// A negative errno, as answers carry it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(i32);

impl Errno {
    /// A reset answered our SYN, or the port was unreachable.
    pub const CONNREFUSED: Errno = Errno(-libc::ECONNREFUSED);
    /// The peer did not answer.
    pub const TIMEDOUT: Errno = Errno(-libc::ETIMEDOUT);
    /// The next hop did not answer ARP, or a router says that the host is unreachable.
    pub const HOSTUNREACH: Errno = Errno(-libc::EHOSTUNREACH);
    /// There is no route.
    pub const NETUNREACH: Errno = Errno(-libc::ENETUNREACH);
    /// The local address is none of ours, or the port, or all ports, towards this peer are taken.
    pub const ADDRNOTAVAIL: Errno = Errno(-libc::EADDRNOTAVAIL);
    /// Another listener has the port.
    pub const ADDRINUSE: Errno = Errno(-libc::EADDRINUSE);
    /// Out of flows, buffers or queue places.
    pub const NOBUFS: Errno = Errno(-libc::ENOBUFS);
    /// The request makes no sense, or names what the application does not own.
    pub const INVAL: Errno = Errno(-libc::EINVAL);
    /// There is no such connection.
    pub const NOTCONN: Errno = Errno(-libc::ENOTCONN);
    /// Nothing waits, or another was faster.
    pub const AGAIN: Errno = Errno(-libc::EAGAIN);
    /// It is so already.
    pub const ALREADY: Errno = Errno(-libc::EALREADY);
    /// The listener was closed under an accept request.
    pub const CONNABORTED: Errno = Errno(-libc::ECONNABORTED);

    /// The negative number.
    #[must_use]
    pub const fn status(self) -> i32 {
        self.0
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            std::io::Error::from_raw_os_error(self.0.wrapping_neg())
        )
    }
}

/// A connection as an application's message names it. All zero while it is not open yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnName {
    /// The application's word for the connection.
    pub opaque: u64,
    /// Its addresses and ports.
    pub tuple: FlowTuple,
}

/// What TCP control is configured with.
#[derive(Clone, Debug)]
pub struct TcpControlConfig {
    /// Local addresses; at least one.
    pub addresses: Vec<LocalAddr>,
    /// Routes beyond the on-link prefixes.
    pub routes: Vec<Route>,
    /// The port's Ethernet address.
    pub mac: MacAddr,
    /// Largest IP packet, bytes.
    pub mtu: u16,
    /// Flow slots.
    pub flows: u32,
    /// Receive buffer of a connection, bytes.
    pub rx_len: u32,
    /// Transmit buffer of a connection, bytes.
    pub tx_len: u32,
    /// Buffers of a connection of a program on sockets that has memory enough.
    pub sockets: BufferLens,
    /// First retransmission of a SYN.
    pub handshake_timeout: Micros,
    /// Retransmissions of a SYN.
    pub handshake_retries: u32,
    /// Duration of TIME-WAIT.
    pub time_wait: Micros,
    /// First repetition of an ARP request; doubles.
    pub arp_timeout: Micros,
    /// Give up when the time between ARP requests exceeds this.
    pub arp_timeout_max: Micros,
    /// Negotiate ECN.
    pub ecn: bool,
    /// Least path MTU that reports of routers are believed, bytes.
    pub path_mtu_min: u16,
    /// Most half-open connections of a listener; beyond it, SYNs are answered by cookies (RFC 4987
    /// §3.6).
    pub half_open: usize,
}

impl TcpControlConfig {
    /// Takes from the service's configuration what concerns TCP control, for a port with this
    /// address and MTU (largest IP packet, bytes) and this many flow slots.
    #[must_use]
    pub fn new(config: &Config, mac: MacAddr, mtu: u16, flows: u32) -> TcpControlConfig {
        let tcp = &config.tcp;
        TcpControlConfig {
            addresses: config.addresses.clone(),
            routes: config.routes.clone(),
            mac,
            mtu,
            flows,
            rx_len: tcp.rxbuf_len,
            tx_len: tcp.txbuf_len,
            sockets: BufferLens {
                rx: tcp.sockets_rxbuf_len,
                tx: tcp.sockets_txbuf_len,
            },
            handshake_timeout: Micros(tcp.handshake_timeout_us.into()),
            handshake_retries: tcp.handshake_retries,
            time_wait: Micros(tcp.time_wait_us.into()),
            arp_timeout: Micros(config.arp.timeout_us.into()),
            arp_timeout_max: Micros(config.arp.timeout_max_us.into()),
            ecn: CcParams::new(&config.cc, tcp).ecn(),
            path_mtu_min: tcp.path_mtu_min,
            half_open: MAX_HALF_OPEN,
        }
    }

    /// What a connection's buffers are like if it is asked for these.
    pub(super) fn lens(&self, asked: BufferLens) -> BufferLens {
        let len = |asked: u32, usual: u32| match asked {
            0 => usual,
            asked => asked
                .clamp(TAS_CONN_BUFFER_MIN, TAS_CONN_BUFFER_MAX)
                .next_multiple_of(BUFFER_UNIT),
        };
        BufferLens {
            rx: len(asked.rx, self.rx_len),
            tx: len(asked.tx, self.tx_len),
        }
    }

    /// The same buffers, but not longer than usual.
    pub(super) fn at_most_usual(&self, lens: BufferLens) -> BufferLens {
        BufferLens {
            rx: lens.rx.min(self.rx_len),
            tx: lens.tx.min(self.tx_len),
        }
    }

    /// Whether `ip` is one of ours.
    pub(super) fn is_local(&self, ip: Ipv4Addr) -> bool {
        self.addresses.iter().any(|addr| addr.ip == ip)
    }
}

/// What nobody outside may guess.
#[derive(Clone)]
pub struct Secrets {
    /// Key of initial sequence numbers and timestamp offsets.
    pub isn: [u8; 16],
    /// Seed of ports and retransmission times.
    pub random: [u8; 16],
}

impl Secrets {
    /// Fresh secrets from the kernel.
    ///
    /// # Errors
    /// The kernel gives no random numbers.
    pub fn generate() -> Result<Secrets, getrandom::Error> {
        let mut secrets = Secrets {
            isn: [0; 16],
            random: [0; 16],
        };
        getrandom::fill(&mut secrets.isn)?;
        getrandom::fill(&mut secrets.random)?;
        Ok(secrets)
    }
}
