//! Configuration of the service: the command line, checked and typed.
//!
//! [`Config::parse_from`] turns an argument vector into a [`Config`] or into
//! what the process has to print and exit with; it touches neither the process
//! nor the network, so tests call it directly.
#![forbid(unsafe_code)]

mod accounts;
mod args;
mod error;
mod validate;
mod values;

#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;

use clap::{CommandFactory, FromArgMatches};

pub use error::CliExit;

/// Most local addresses: what the information page has room for.
pub const MAX_ADDRESSES: usize = 16;
/// Most routes: what the information page has room for.
pub const MAX_ROUTES: usize = 64;
/// Default of `--cc-rexmit-ints`, the one value that needs no warning.
pub const DEFAULT_REXMIT_INTS: u32 = 4;
/// Most fast-path threads: what the shared layouts have room for.
pub const MAX_CORES: u32 = 16;
/// A poll interval that stands for "never block".
pub const POLL_FOREVER: u32 = u32::MAX;

/// Everything the command line decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Local addresses; at least one.
    pub addresses: Vec<LocalAddr>,
    /// Routes in the order given.
    pub routes: Vec<Route>,
    /// Fast path.
    pub fp: FastPathConfig,
    /// Arguments appended to the EAL argument vector.
    pub dpdk_extra: Vec<String>,
    /// Size of the region that applications of the original handshake share,
    /// bytes; a multiple of 2 MiB.
    pub shm_len: u64,
    /// Entries of each core's queue of frames for the slow path.
    pub nic_rx_len: u32,
    /// Entries of each core's queue of frames from the slow path.
    pub nic_tx_len: u32,
    /// Size of the queue slow path → application, bytes; a multiple of 64.
    pub app_kin_len: u32,
    /// Size of the queue application → slow path, bytes; a multiple of 64.
    pub app_kout_len: u32,
    /// TCP.
    pub tcp: TcpConfig,
    /// Congestion control.
    pub cc: CcConfig,
    /// Address resolution.
    pub arp: ArpConfig,
    /// Name of a kernel interface to create.
    pub kni_name: Option<String>,
    /// Descriptor that gets the 8-byte value 1 when the service is ready.
    pub ready_fd: Option<RawFd>,
    /// Print no periodic statistics.
    pub quiet: bool,
    /// Mode of the files and the socket that applications open.
    pub shm_mode: u32,
    /// Group of the files and the socket that applications open; `None`: see
    /// [`default_shm_group`].
    pub shm_group: Option<u32>,
    /// Serve the original's handshake and shared region.
    pub legacy: bool,
    /// Size of each isolated application's region, bytes; a multiple of 2 MiB.
    pub app_shm_len: u64,
    /// Bound on all isolated applications' regions together, bytes.
    pub app_shm_total: u64,
    /// Users that may attach.
    pub allow: AllowConfig,
    /// Recording of events.
    pub trace: TraceConfig,
    /// Where statistics are served over HTTP, if anywhere.
    pub metrics_addr: Option<SocketAddr>,
}

/// A local address, `--ip-addr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddr {
    /// The address.
    pub ip: Ipv4Addr,
    /// Length of the on-link prefix, bits; 0 puts every destination on-link.
    pub prefix_len: u8,
}

/// A route, `--ip-route`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Destination; no bits set outside the prefix.
    pub dest: Ipv4Addr,
    /// Prefix length, bits.
    pub prefix_len: u8,
    /// Where to send packets for it.
    pub next_hop: Ipv4Addr,
}

/// Fast path options.
#[derive(Debug, Clone, PartialEq)]
pub struct FastPathConfig {
    /// Fast-path threads, 1 to [`MAX_CORES`].
    pub cores_max: u32,
    /// Threads may block and are woken by eventfd; otherwise they only poll.
    pub interrupts: bool,
    /// The NIC computes checksums where it can.
    pub xsum_offload: bool,
    /// Threads are switched off and on by load.
    pub autoscale: bool,
    /// Shared regions are in huge pages.
    pub hugepages: bool,
    /// The NIC strips VLAN tags.
    pub vlan_strip: bool,
    /// Idle time before a service thread blocks, µs; [`POLL_FOREVER`] = never.
    pub poll_interval_tas_us: u32,
    /// Idle time before an application blocks, µs; [`POLL_FOREVER`] = never.
    pub poll_interval_app_us: u32,
}

/// TCP options.
#[derive(Debug, Clone, PartialEq)]
pub struct TcpConfig {
    /// Round-trip time assumed before one is measured, µs.
    pub rtt_init_us: u32,
    /// Link bandwidth, Gbit/s.
    pub link_bw_gbps: u32,
    /// Receive buffer of a connection, bytes; a multiple of 64.
    pub rxbuf_len: u32,
    /// Transmit buffer of a connection, bytes; a multiple of 64.
    pub txbuf_len: u32,
    /// Receive buffer of a connection of a program on sockets that has memory enough, bytes; a
    /// multiple of 64.
    pub sockets_rxbuf_len: u32,
    /// Transmit buffer of such a connection, likewise.
    pub sockets_txbuf_len: u32,
    /// First handshake timeout, µs; doubles with each retry.
    pub handshake_timeout_us: u32,
    /// Handshake retransmissions before giving up.
    pub handshake_retries: u32,
    /// Duration of TIME-WAIT, µs.
    pub time_wait_us: u32,
    /// Lower bound of the retransmission timeout, µs.
    pub rto_min_us: u32,
    /// Least path MTU that is believed, bytes.
    pub path_mtu_min: u16,
}

/// Congestion control options.
#[derive(Debug, Clone, PartialEq)]
pub struct CcConfig {
    /// The algorithm and its parameters.
    pub algorithm: CcAlgorithm,
    /// Shortest time between two control steps of a connection, µs.
    pub control_granularity_us: u32,
    /// Control interval, round-trip times.
    pub control_interval_rtts: u32,
    /// Control intervals without progress before a retransmission timeout.
    pub rexmit_ints: u32,
}

/// A congestion control algorithm with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum CcAlgorithm {
    /// DCTCP on a rate.
    DctcpRate(DctcpRateParams),
    /// DCTCP on a window.
    DctcpWin(DctcpWinParams),
    /// TIMELY (Mittal et al., SIGCOMM 2015).
    Timely(TimelyParams),
    /// A fixed rate.
    ConstRate(ConstRateParams),
}

/// Parameters of rate-based DCTCP.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DctcpRateParams {
    /// EWMA weight of the marked fraction (g of RFC 8257), 0..=1.
    pub weight: f64,
    /// Initial rate, kbit/s.
    pub init_kbps: u32,
    /// Additive increase, kbit/s.
    pub step_kbps: u32,
    /// Multiplicative increase factor, 1..=2; `None` = additive increase only.
    pub mimd: Option<f64>,
    /// Lowest rate, kbit/s.
    pub min_kbps: u32,
    /// Packets that must be acknowledged before the rate is adapted.
    pub min_pkts: u32,
}

/// Parameters of window-based DCTCP.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DctcpWinParams {
    /// EWMA weight of the marked fraction (g of RFC 8257), 0..=1.
    pub weight: f64,
    /// Link bandwidth that turns a window into a rate, Gbit/s.
    pub link_bw_gbps: u32,
}

/// Parameters of TIMELY.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimelyParams {
    /// Below this round-trip time the rate always rises, µs.
    pub t_low_us: u32,
    /// Above this round-trip time the rate always falls, µs.
    pub t_high_us: u32,
    /// Additive increase, kbit/s.
    pub step_kbps: u32,
    /// Initial rate, kbit/s.
    pub init_kbps: u32,
    /// EWMA weight of the round-trip time difference, 0..=1.
    pub alpha: f64,
    /// Multiplicative decrease factor, 0..=1.
    pub beta: f64,
    /// Smallest round-trip time, normalises the gradient, µs.
    pub min_rtt_us: u32,
    /// Lowest rate, kbit/s.
    pub min_rate_kbps: u32,
}

/// Parameters of the fixed rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConstRateParams {
    /// The rate, kbit/s; 0 = unlimited.
    pub rate_kbps: u32,
}

/// Address resolution options.
#[derive(Debug, Clone, PartialEq)]
pub struct ArpConfig {
    /// First retry, µs; doubles with each.
    pub timeout_us: u32,
    /// Give up when the retry interval exceeds this, µs.
    pub timeout_max_us: u32,
}

/// Who may attach, and to which ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowConfig {
    /// User ids that may attach; empty together with `gids` = everybody whom
    /// mode and group of the socket let in.
    pub uids: Vec<u32>,
    /// Group ids that may attach.
    pub gids: Vec<u32>,
    /// Ports below 1024 need no CAP_NET_BIND_SERVICE.
    pub low_ports: bool,
}

/// Recording of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceConfig {
    /// Events recorded from the start, a bit for each by its place in
    /// [`TRACE_EVENTS`](tas_abi::trace_control::TRACE_EVENTS).
    pub events: u16,
    /// Ring of each core, bytes.
    pub len: u32,
    /// Most bytes of a frame.
    pub snap: u16,
}

impl Config {
    /// Parses an argument vector, the program's name first.
    ///
    /// # Errors
    /// What to print and the exit status: 0 for `--help` and `--version`, 1
    /// for anything wrong with the arguments.
    pub fn parse_from<I, T>(args: I) -> Result<Config, CliExit>
    where
        I: IntoIterator<Item = T>,
        T: Into<OsString> + Clone,
    {
        let matches = command()
            .try_get_matches_from(args)
            .map_err(|e| CliExit::from_clap(&e))?;
        let args = args::Args::from_arg_matches(&matches).map_err(|e| CliExit::from_clap(&e))?;
        validate::validate(args).map_err(|message| CliExit::usage_error(&message))
    }

    /// One line for each option in use that has no effect yet, for the log.
    #[must_use]
    pub fn not_acting(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.kni_name.is_some() {
            lines.push("--kni-name has no effect yet: no kernel interface is created".to_owned());
        }
        if self.cc.rexmit_ints != DEFAULT_REXMIT_INTS {
            lines.push(
                "--cc-rexmit-ints has no effect: the retransmission timeout follows the \
                 round-trip time (RFC 6298) and --tcp-rto-min"
                    .to_owned(),
            );
        }
        lines
    }
}

/// The command line as clap knows it, for generated documentation.
#[must_use]
pub fn command() -> clap::Command {
    args::Args::command().mut_args(|arg| {
        // As getopt does: an option that needs a value takes the next
        // argument whatever it looks like (`--dpdk-extra --lcores=...`).
        let takes_value = arg.get_action().takes_values();
        arg.allow_hyphen_values(takes_value)
    })
}

/// Group of the files and the socket when `--shm-group` is absent: `tas` where
/// the machine has such a group, otherwise the service's own.
#[must_use]
pub fn default_shm_group() -> Option<u32> {
    accounts::group_id("tas").ok()
}
