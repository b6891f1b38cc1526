//! The options as clap sees them: names, help, defaults, and the bounds of
//! each value by itself.

use std::net::SocketAddr;
use std::os::fd::RawFd;

use clap::{Parser, ValueEnum};

use super::values::{
    descriptor, eal_argument, f64_in, file_mode, group, interface_name, local_addr, queue_bytes,
    route, socket_addr, trace_events, u32_in, u64_in, user,
};
use super::{DEFAULT_REXMIT_INTS, LocalAddr, MAX_CORES, Route};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Bytes of a queue entry between application and slow path.
const APP_ENTRY: u32 = 64;
const BUF_MIN: u32 = 2048;
const BUF_MAX: u32 = 64 << 20;
const KBPS_MAX: u32 = u32::MAX;
/// A minute: no timing parameter of a datacenter is longer.
const MINUTE_US: u32 = 60_000_000;

/// Congestion control algorithms by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Algorithm {
    DctcpRate,
    DctcpWin,
    Timely,
    ConstRate,
}

/// TCP acceleration as a service: takes TCP out of the kernel and serves it to
/// applications over shared memory.
#[derive(Debug, Parser)]
#[command(
    name = "tas",
    version,
    override_usage = "tas [OPTION]... --ip-addr=IP[/PREFIXLEN]",
    // getopt's habits: the last of a repeated option wins, and an unambiguous
    // beginning of a name stands for it.
    args_override_self = true,
    infer_long_args = true,
    disable_help_flag = true,
    disable_version_flag = true,
    max_term_width = 100,
    after_help = "The options take their value as --name=value or --name value. \
                  Lengths are in bytes, US stands for microseconds, KBPS for kbit/s."
)]
pub(super) struct Args {
    /// Local address, required; may be repeated, up to 16. LEN is the length of the
    /// on-link prefix; it defaults to 0: everything is on-link
    #[arg(long, value_name = "ADDR[/LEN]", value_parser = local_addr, help_heading = "Network")]
    pub ip_addr: Vec<LocalAddr>,

    /// Route: packets for DEST/LEN go to NEXTHOP; may be repeated, up to 64;
    /// the longest prefix wins. LEN defaults to 32, and DEST has no bits set
    /// beyond it
    #[arg(long, value_name = "DEST[/LEN],NEXTHOP", value_parser = route, help_heading = "Network")]
    pub ip_route: Vec<Route>,

    /// First ARP retry after this time; doubles with each
    #[arg(long, alias = "arp-timout", value_name = "US", default_value_t = 500,
          value_parser = u32_in(1..=MINUTE_US), help_heading = "Network")]
    pub arp_timeout: u32,

    /// Give up on a neighbour when the ARP retry interval exceeds this
    #[arg(long, value_name = "US", default_value_t = 10_000_000,
          value_parser = u32_in(1..=u32::MAX), help_heading = "Network")]
    pub arp_timeout_max: u32,

    /// Kernel network interface of this name beside the service (no effect yet)
    /// [default: off]
    #[arg(long, value_name = "NAME", value_parser = interface_name, help_heading = "Network")]
    pub kni_name: Option<String>,

    /// Fast-path threads, up to 16. The EAL needs one lcore more than that
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = u32_in(1..=MAX_CORES),
          help_heading = "Fast path")]
    pub fp_cores_max: u32,

    /// Only poll: service threads never block and are not woken by eventfd
    #[arg(long, help_heading = "Fast path")]
    pub fp_no_ints: bool,

    /// Compute checksums in software even where the NIC can
    #[arg(long, help_heading = "Fast path")]
    pub fp_no_xsumoffload: bool,

    /// Keep all --fp-cores-max threads always on; otherwise the first is, and the load and requests decide about the others
    #[arg(long, help_heading = "Fast path")]
    pub fp_no_autoscale: bool,

    /// Put the shared regions in /dev/shm instead of huge pages
    #[arg(long, help_heading = "Fast path")]
    pub fp_no_hugepages: bool,

    /// Let the NIC strip VLAN tags
    #[arg(long, help_heading = "Fast path")]
    pub fp_vlan_strip: bool,

    /// Idle time before a service thread blocks; 4294967295 = never
    #[arg(long, value_name = "US", default_value_t = 10_000, value_parser = u32_in(0..=u32::MAX),
          help_heading = "Fast path")]
    pub fp_poll_interval_tas: u32,

    /// Idle time before an application blocks; 4294967295 = never
    #[arg(long, value_name = "US", default_value_t = 10_000, value_parser = u32_in(0..=u32::MAX),
          help_heading = "Fast path")]
    pub fp_poll_interval_app: u32,

    /// One argument more for DPDK's EAL, for instance --dpdk-extra=--lcores=0@0,1@0;
    /// may be repeated
    #[arg(long, value_name = "ARG", value_parser = eal_argument, help_heading = "Fast path")]
    pub dpdk_extra: Vec<String>,

    /// Size of the region that applications of the original handshake share;
    /// rounded up to a multiple of 2 MiB
    #[arg(long, value_name = "BYTES", default_value_t = GIB, value_parser = u64_in(2 * MIB..=TIB),
          help_heading = "Memory and queues")]
    pub shm_len: u64,

    /// Size of the region of each isolated application; rounded up to a
    /// multiple of 2 MiB. Memory is taken on first use
    #[arg(long, value_name = "BYTES", default_value_t = GIB, value_parser = u64_in(2 * MIB..=TIB),
          help_heading = "Memory and queues")]
    pub app_shm_len: u64,

    /// Bound on the regions of all isolated applications together
    #[arg(long, value_name = "BYTES", default_value_t = TIB,
          value_parser = u64_in(2 * MIB..=32 * TIB), help_heading = "Memory and queues")]
    pub app_shm_total: u64,

    /// Entries of each core's queue of frames to the slow path
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = u32_in(16..=1 << 20),
          help_heading = "Memory and queues")]
    pub nic_rx_len: u32,

    /// Entries of each core's queue of frames from the slow path
    #[arg(long, value_name = "N", default_value_t = 16384, value_parser = u32_in(16..=1 << 20),
          help_heading = "Memory and queues")]
    pub nic_tx_len: u32,

    /// Size of a context's queue from the slow path to the application; a
    /// multiple of 64, at least 4096
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20,
          value_parser = queue_bytes(4096..=64 << 20, APP_ENTRY),
          help_heading = "Memory and queues")]
    pub app_kin_len: u32,

    /// Size of a context's queue from the application to the slow path; a
    /// multiple of 64, at least 4096
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20,
          value_parser = queue_bytes(4096..=64 << 20, APP_ENTRY),
          help_heading = "Memory and queues")]
    pub app_kout_len: u32,

    /// Round-trip time assumed before one is measured
    #[arg(long, value_name = "US", default_value_t = 50, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "TCP")]
    pub tcp_rtt_init: u32,

    /// Link bandwidth in Gbit/s; dctcp-win turns a window into a rate with it
    #[arg(long, value_name = "GBPS", default_value_t = 10, value_parser = u32_in(1..=1000),
          help_heading = "TCP")]
    pub tcp_link_bw: u32,

    /// Receive buffer of a connection, 2048 to 67108864; rounded up to a
    /// multiple of 64. Programs on sockets have 8192, too, once half of their
    /// memory is in use [default: 8192; 65536 on sockets]
    #[arg(long, value_name = "BYTES",
          value_parser = u32_in(BUF_MIN..=BUF_MAX), help_heading = "TCP")]
    pub tcp_rxbuf_len: Option<u32>,

    /// Transmit buffer of a connection, as --tcp-rxbuf-len
    /// [default: 8192; 65536 on sockets]
    #[arg(long, value_name = "BYTES",
          value_parser = u32_in(BUF_MIN..=BUF_MAX), help_heading = "TCP")]
    pub tcp_txbuf_len: Option<u32>,

    /// First SYN timeout; doubles with each retry, with 50 % of randomness
    /// either way
    #[arg(long, value_name = "US", default_value_t = 10_000, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "TCP")]
    pub tcp_handshake_timeout: u32,

    /// Handshake retries before giving up, up to 30
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = u32_in(0..=30),
          help_heading = "TCP")]
    pub tcp_handshake_retries: u32,

    /// Duration of TIME-WAIT
    #[arg(long, value_name = "US", default_value_t = 1_000_000,
          value_parser = u32_in(0..=10 * MINUTE_US), help_heading = "TCP")]
    pub tcp_time_wait: u32,

    /// Lower bound of the retransmission timeout
    #[arg(long, value_name = "US", default_value_t = 1000, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "TCP")]
    pub tcp_rto_min: u32,

    /// Least path MTU that is believed when routers say that packets are too large for the links
    /// behind them
    #[arg(long, value_name = "BYTES", default_value_t = 552, value_parser = u32_in(128..=65535),
          help_heading = "TCP")]
    pub tcp_path_mtu_min: u32,

    /// Congestion control algorithm
    #[arg(long, value_name = "ALG", value_enum, default_value_t = Algorithm::DctcpRate,
          help_heading = "Congestion control")]
    pub cc: Algorithm,

    /// Shortest time between two control steps of a connection
    #[arg(long, value_name = "US", default_value_t = 50, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "Congestion control")]
    pub cc_control_granularity: u32,

    /// Control interval in round-trip times
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = u32_in(1..=10_000),
          help_heading = "Congestion control")]
    pub cc_control_interval: u32,

    /// Control intervals without progress before a retransmission timeout (no
    /// effect: the timeout follows RFC 6298 and --tcp-rto-min)
    #[arg(long, value_name = "N", default_value_t = DEFAULT_REXMIT_INTS, value_parser = u32_in(1..=10_000),
          help_heading = "Congestion control")]
    pub cc_rexmit_ints: u32,

    /// DCTCP: EWMA weight of the marked fraction, 0 to 1
    #[arg(long, value_name = "W", default_value_t = 0.0625, value_parser = f64_in(0.0..=1.0),
          help_heading = "Congestion control")]
    pub cc_dctcp_weight: f64,

    /// DCTCP: initial rate
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(1..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_dctcp_init: u32,

    /// DCTCP: additive increase
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(1..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_dctcp_step: u32,

    /// DCTCP: multiplicative increase factor, 1 to 2 [default: off]
    #[arg(long, value_name = "F", value_parser = f64_in(1.0..=2.0),
          help_heading = "Congestion control")]
    pub cc_dctcp_mimd: Option<f64>,

    /// DCTCP: lowest rate, down to 1 Mbit/s if lasting marks or losses tell that it is too much
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(0..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_dctcp_min: u32,

    /// DCTCP: packets acknowledged before the rate is adapted
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = u32_in(0..=1_000_000),
          help_heading = "Congestion control")]
    pub cc_dctcp_minpkts: u32,

    /// const-rate: the rate of each connection; 0 = unlimited
    #[arg(long, value_name = "KBPS", default_value_t = 0, value_parser = u32_in(0..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_const_rate: u32,

    /// TIMELY: below this round-trip time the rate always rises
    #[arg(long, value_name = "US", default_value_t = 30, value_parser = u32_in(0..=MINUTE_US),
          help_heading = "Congestion control")]
    pub cc_timely_tlow: u32,

    /// TIMELY: above this round-trip time the rate always falls
    #[arg(long, value_name = "US", default_value_t = 150, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "Congestion control")]
    pub cc_timely_thigh: u32,

    /// TIMELY: additive increase
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(1..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_timely_step: u32,

    /// TIMELY: initial rate
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(1..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_timely_init: u32,

    /// TIMELY: EWMA weight of the round-trip time difference, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.02, value_parser = f64_in(0.0..=1.0),
          help_heading = "Congestion control")]
    pub cc_timely_alpha: f64,

    /// TIMELY: multiplicative decrease factor, 0 to 1
    #[arg(long, value_name = "F", default_value_t = 0.8, value_parser = f64_in(0.0..=1.0),
          help_heading = "Congestion control")]
    pub cc_timely_beta: f64,

    /// TIMELY: smallest round-trip time of the network
    #[arg(long, value_name = "US", default_value_t = 11, value_parser = u32_in(1..=MINUTE_US),
          help_heading = "Congestion control")]
    pub cc_timely_minrtt: u32,

    /// TIMELY: lowest rate, down to 1 Mbit/s if losses or a queue of twice T_high ask for it
    #[arg(long, value_name = "KBPS", default_value_t = 10_000, value_parser = u32_in(0..=KBPS_MAX),
          help_heading = "Congestion control")]
    pub cc_timely_minrate: u32,

    /// Octal mode of the files and the socket that applications open
    #[arg(long, value_name = "MODE", default_value = "660", value_parser = file_mode,
          help_heading = "Access")]
    pub shm_mode: u32,

    /// Group of the files and the socket that applications open, name or number
    /// [default: tas if there is such a group, otherwise the service's own]
    #[arg(long, value_name = "GROUP", value_parser = group, help_heading = "Access")]
    pub shm_group: Option<u32>,

    /// Do not serve the original's handshake and shared region: every
    /// application gets a region of its own
    #[arg(long, help_heading = "Access")]
    pub no_legacy: bool,

    /// User, by name or number, that may attach; may be repeated
    /// [default: everybody whom mode and group let in]
    #[arg(long, value_name = "USER", value_parser = user, help_heading = "Access")]
    pub allow_uid: Vec<u32>,

    /// Group, by name or number, whose members may attach; may be repeated
    /// [default: everybody whom mode and group let in]
    #[arg(long, value_name = "GROUP", value_parser = group, help_heading = "Access")]
    pub allow_gid: Vec<u32>,

    /// Let applications without CAP_NET_BIND_SERVICE listen on ports below 1024
    #[arg(long, help_heading = "Access")]
    pub allow_low_ports: bool,

    /// Record these events from the start: all, or some of rxpkt, txpkt, atx, arx, rxfs, txack,
    /// txseg, afloqman, rexmit, qmset, qmevt, dmard, dmawr with commas between. tracetool switches
    /// recording at any time
    /// [default: none]
    #[arg(long, value_name = "EVENTS", value_parser = trace_events, help_heading = "Observation")]
    pub trace: Option<u16>,

    /// Bytes that each fast-path thread keeps of its records, 131072 to 1073741824. The memory is
    /// taken when recording is first switched on
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20,
          value_parser = u32_in(1 << 17..=1 << 30), help_heading = "Observation")]
    pub trace_len: u32,

    /// Bytes of a frame, or of data copied, that are recorded when --trace asks for them
    #[arg(long, value_name = "BYTES", default_value_t = 128, value_parser = u32_in(0..=65535),
          help_heading = "Observation")]
    pub trace_snap: u32,

    /// Serve all counters to Prometheus by HTTP on this address and port of the host, at /metrics
    /// [default: off]
    #[arg(long, value_name = "ADDR:PORT", value_parser = socket_addr, help_heading = "Observation")]
    pub metrics_addr: Option<SocketAddr>,

    /// When ready, write 8 bytes to this descriptor: the number 1 in host byte
    /// order (an eventfd works) [default: off]
    #[arg(long, value_name = "FD", value_parser = descriptor, help_heading = "Process")]
    pub ready_fd: Option<RawFd>,

    /// Print no periodic statistics
    #[arg(long, help_heading = "Process")]
    pub quiet: bool,

    /// Print this help
    #[arg(long, short = 'h', action = clap::ArgAction::HelpShort, help_heading = "Process")]
    help: Option<bool>,

    /// Print the version
    #[arg(long, short = 'V', action = clap::ArgAction::Version, help_heading = "Process")]
    version: Option<bool>,
}
