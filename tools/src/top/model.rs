//! Rates and tables from two looks at the service.

use std::cmp::Ordering;
use std::net::{Ipv4Addr, SocketAddrV4};

use tas_abi::memif::FlowSt;

use super::source::Sample;
use crate::stats::Group;

const SECOND: f64 = 1e9;

/// What is shown of the service as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// Cores that are on, and all.
    pub cores: (u64, usize),
    /// Installed connections.
    pub connections: u64,
    /// Connections being opened.
    pub opening: u64,
    /// Connections in TIME-WAIT.
    pub time_wait: u64,
    /// Listeners.
    pub listeners: u64,
    /// Connections opened and accepted, per second.
    pub opens: f64,
}

/// What is shown of a core; rates are per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CoreRow {
    /// Its number.
    pub core: usize,
    /// Share of the time in which there was something to do, percent.
    pub busy: f64,
    /// Frames received.
    pub rx_frames: f64,
    /// Frames sent.
    pub tx_frames: f64,
    /// Payload bytes received.
    pub rx_bytes: f64,
    /// Payload bytes sent.
    pub tx_bytes: f64,
    /// Retransmission timeouts.
    pub timeouts: f64,
    /// Frames dropped, for whatever reason.
    pub drops: f64,
    /// Times it blocked.
    pub sleeps: f64,
}

/// What is shown of an application.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppRow {
    /// Its process.
    pub pid: u64,
    /// Its process's name.
    pub name: String,
    /// Its user.
    pub uid: u64,
    /// Its contexts.
    pub contexts: u64,
    /// Its connections.
    pub connections: u64,
    /// Its listeners.
    pub listeners: u64,
    /// Bytes of its region in use.
    pub memory_used: u64,
    /// Bytes of its region.
    pub memory_size: u64,
    /// Times it broke the rules.
    pub offences: u64,
}

/// What is shown of a connection; rates are per second.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnRow {
    /// Flow id.
    pub id: u32,
    /// Our end.
    pub local: SocketAddrV4,
    /// The peer's end.
    pub remote: SocketAddrV4,
    /// Bytes received in order.
    pub rx: f64,
    /// Bytes acknowledged by the peer.
    pub tx: f64,
    /// Bytes that wait for the application to read them.
    pub rx_queue: u32,
    /// Bytes that wait for the peer to acknowledge them.
    pub tx_queue: u32,
    /// Round-trip time, µs.
    pub rtt: u32,
    /// Rate limit in kbit/s; 0 is none.
    pub limit: u32,
}

/// Counters of a core that count frames that came to nothing.
const DROPS: [&str; 6] = [
    "to_slow_dropped",
    "steered_dropped",
    "foreign_address",
    "unknown_protocol",
    "control_dropped",
    "no_buffers",
];

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The service.
    pub summary: Summary,
    /// Its cores.
    pub cores: Vec<CoreRow>,
    /// Its applications.
    pub apps: Vec<AppRow>,
    /// Its connections, in the order asked for.
    pub conns: Vec<ConnRow>,
}

/// What connections are ordered by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// Bytes per second, both ways; the largest first.
    #[default]
    Rate,
    /// Bytes that wait, both ways; the largest first.
    Queue,
    /// Round-trip time; the largest first.
    Rtt,
    /// Flow id.
    Id,
}

impl Sort {
    /// The next one, round and round.
    #[must_use]
    pub fn next(self) -> Sort {
        match self {
            Sort::Rate => Sort::Queue,
            Sort::Queue => Sort::Rtt,
            Sort::Rtt => Sort::Id,
            Sort::Id => Sort::Rate,
        }
    }

    /// For display.
    pub fn name(self) -> &'static str {
        match self {
            Sort::Rate => "rate",
            Sort::Queue => "queue",
            Sort::Rtt => "rtt",
            Sort::Id => "id",
        }
    }

    fn compare(self, a: &ConnRow, b: &ConnRow) -> Ordering {
        let queue = |row: &ConnRow| u64::from(row.rx_queue) + u64::from(row.tx_queue);
        match self {
            Sort::Rate => (b.rx + b.tx).total_cmp(&(a.rx + a.tx)),
            Sort::Queue => queue(b).cmp(&queue(a)),
            Sort::Rtt => b.rtt.cmp(&a.rtt),
            Sort::Id => Ordering::Equal,
        }
        .then(a.id.cmp(&b.id))
    }
}

impl Picture {
    /// What happened between two looks. After a service started anew, or at the first look, there
    /// are no rates yet.
    pub fn new(before: Option<&Sample>, now: &Sample, sort: Sort) -> Picture {
        let before = before.filter(|before| before.stats.started == now.stats.started);
        let rates = Rates { before, now };
        let mut conns: Vec<ConnRow> = now
            .flows
            .iter()
            .map(|(id, st)| rates.connection(*id, st))
            .collect();
        conns.sort_by(|a, b| sort.compare(a, b));
        Picture {
            summary: rates.summary(),
            cores: rates.cores(),
            apps: apps(now),
            conns,
        }
    }
}

struct Rates<'a> {
    before: Option<&'a Sample>,
    now: &'a Sample,
}

impl Rates<'_> {
    /// Seconds between the looks; 0 when there was none before.
    fn seconds(&self) -> f64 {
        self.before.map_or(0.0, |before| {
            self.now.at.saturating_sub(before.at) as f64 / SECOND
        })
    }

    fn per_second(&self, change: u64) -> f64 {
        match self.seconds() {
            0.0 => 0.0,
            seconds => change as f64 / seconds,
        }
    }

    /// How fast a counter of a row grows.
    fn rate(&self, group: &Group, row: usize, name: &str) -> f64 {
        let Some(before) = self.before else {
            return 0.0;
        };
        let old = before.stats.group(&group.name).value(row, name);
        self.per_second(group.value(row, name).saturating_sub(old))
    }

    fn summary(&self) -> Summary {
        let stats = &self.now.stats;
        let slow = stats.group("slow");
        Summary {
            pid: stats.pid,
            uptime: self.now.at.saturating_sub(stats.started) / SECOND as u64,
            cores: (
                slow.value(0, "active_cores"),
                stats.group("core").rows.len(),
            ),
            connections: slow.value(0, "connections"),
            opening: slow.value(0, "opening"),
            time_wait: slow.value(0, "time_wait"),
            listeners: slow.value(0, "listeners"),
            opens: self.rate(&slow, 0, "opened") + self.rate(&slow, 0, "accepted"),
        }
    }

    fn cores(&self) -> Vec<CoreRow> {
        let cores = self.now.stats.group("core");
        let hz = self.now.stats.cycles_per_second.max(1) as f64;
        let malformed: Vec<&str> = cores
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .filter(|name| name.starts_with("malformed_"))
            .collect();
        let row = |core| {
            let rate = |name| self.rate(&cores, core, name);
            CoreRow {
                core,
                busy: (100.0 * rate("busy_cycles") / hz).min(100.0),
                rx_frames: rate("rx_frames"),
                tx_frames: rate("tx_frames"),
                rx_bytes: rate("rx_bytes"),
                tx_bytes: rate("tx_bytes"),
                timeouts: rate("timeouts"),
                drops: DROPS.into_iter().chain(malformed.clone()).map(rate).sum(),
                sleeps: rate("sleeps"),
            }
        };
        (0..cores.rows.len()).map(row).collect()
    }

    fn connection(&self, id: u32, st: &FlowSt) -> ConnRow {
        let same = |old: &&FlowSt| {
            old.remote_ip == st.remote_ip
                && old.remote_port == st.remote_port
                && old.local_port == st.local_port
                && old.local_ip == st.local_ip
        };
        let old = self.before.and_then(|before| before.flows.get(&id));
        let old = old.filter(same).unwrap_or(st);
        // Sequence numbers go round; an acknowledged one never goes back.
        let acked = |st: &FlowSt| st.tx_next_seq.wrapping_sub(st.tx_sent);
        ConnRow {
            id,
            local: address(st.local_ip.get(), st.local_port.get()),
            remote: address(st.remote_ip.get(), st.remote_port.get()),
            rx: self.per_second(st.rx_next_seq.wrapping_sub(old.rx_next_seq).into()),
            tx: self.per_second(acked(st).wrapping_sub(acked(old)).into()),
            rx_queue: st.rx_len.saturating_sub(st.rx_avail),
            tx_queue: st.tx_avail.saturating_add(st.tx_sent),
            rtt: st.rtt_est,
            limit: st.tx_rate,
        }
    }
}

fn address(ip: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from_bits(ip), port)
}

fn apps(now: &Sample) -> Vec<AppRow> {
    let apps = now.stats.group("app");
    let row = |row| {
        let value = |name| apps.value(row, name);
        let pid = value("pid");
        AppRow {
            pid,
            name: now.names.get(&pid).cloned().unwrap_or_default(),
            uid: value("uid"),
            contexts: value("contexts"),
            connections: value("connections"),
            listeners: value("listeners"),
            memory_used: value("memory_used"),
            memory_size: value("memory_size"),
            offences: value("offences"),
        }
    };
    (0..apps.rows.len()).map(row).collect()
}

#[cfg(test)]
#[path = "model_tests.rs"]
pub(crate) mod tests;
