//! Path MTUs that routers reported (RFC 1191), by destination.
//!
//! A report is believed only by a flow that has the segment it quotes in flight (RFC 5927 §4). What
//! it has learned is told all others to the same host, those that begin later too (RFC 1191 §6.2,
//! RFC 8201 §5.2).

use std::collections::HashMap;

use tas_wire::{Ipv4Addr, SeqNum, Unreachable};

use super::TcpControl;
use super::conn::{Conn, FlowRecord};
use super::world::World;
use crate::link::ToFast;
use crate::proto::PathLimit;
use crate::types::{FlowId, Micros};

/// Hosts whose path MTU is remembered.
const HOSTS_MAX: usize = 4096;
/// For how long (RFC 1191 §6.3).
const MEMORY: Micros = Micros::from_millis(600_000);
/// No link is narrower (RFC 791 §3.2).
const NARROWEST: u16 = 68;
/// MTUs that exist, to guess by where a router does not say its own (RFC 1191 §7.1).
const PLATEAUS: [u16; 8] = [32000, 17914, 8166, 4352, 2002, 1492, 1006, 508];

/// What is known of the paths to hosts that are not reached with the port's MTU.
#[derive(Default)]
pub(super) struct PathMtus(HashMap<Ipv4Addr, PathLimit>);

impl PathMtus {
    /// What is known of the path to a host.
    pub(super) fn get(&mut self, host: Ipv4Addr, now: Micros) -> Option<PathLimit> {
        let limit = *self.0.get(&host)?;
        if limit.until <= now {
            self.0.remove(&host);
            return None;
        }
        Some(limit)
    }

    /// Notes what a flow has learned. True when that is less than was known.
    pub(super) fn note(&mut self, host: Ipv4Addr, limit: PathLimit, now: Micros) -> bool {
        let known = self.get(host, now).map_or(u16::MAX, |known| known.mtu);
        if limit.mtu > known {
            return false;
        }
        if self.0.len() >= HOSTS_MAX && !self.0.contains_key(&host) {
            let oldest = self.0.iter().min_by_key(|(_, limit)| limit.until);
            if let Some(oldest) = oldest.map(|(host, _)| *host) {
                self.0.remove(&oldest);
            }
        }
        self.0.insert(host, limit);
        limit.mtu < known
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl TcpControl {
    /// A router could not pass a packet on: its core knows whether that can be so.
    pub(super) fn on_too_big(
        &mut self,
        w: &mut impl World,
        report: &Unreachable,
        next_hop_mtu: Option<u16>,
    ) {
        let Some((flow, seq, mtu)) = self.concerned(report, next_hop_mtu) else {
            self.counts.bad_path_mtus += 1;
            return;
        };
        let Some(record) = self.flows.get(&flow) else {
            return;
        };
        let limit = PathLimit {
            mtu: mtu.max(self.cfg.path_mtu_min),
            until: w.now() + MEMORY,
        };
        let core = w.core(record.group);
        w.send(core, ToFast::TooBig(flow, seq, limit));
    }

    /// The flow whose packet a report quotes, the number of its first byte, and the MTU that would
    /// have done.
    fn concerned(
        &self,
        report: &Unreachable,
        next_hop_mtu: Option<u16>,
    ) -> Option<(FlowId, SeqNum, u16)> {
        let quoted = report.quoted?;
        let Some(Conn::Flow(flow)) = self.conns.get(&quoted.tuple) else {
            // The segments of handshakes are smaller than any path's MTU.
            return None;
        };
        let mtu = match next_hop_mtu {
            Some(mtu) => mtu,
            None => plateau_below(quoted.total_len),
        };
        let plausible = mtu >= NARROWEST && mtu < quoted.total_len;
        (plausible && quoted.total_len <= self.cfg.mtu).then_some((*flow, quoted.seq, mtu))
    }

    /// A flow had the segment in flight that a report quoted.
    pub fn on_path_limited(&mut self, w: &mut impl World, flow: FlowId, limit: PathLimit) {
        let Some(record) = self.flows.get(&flow) else {
            return;
        };
        let host = record.tuple.remote_ip;
        let news = self.path_mtus.note(host, limit, w.now());
        self.counts.path_mtus = self.path_mtus.len() as u64;
        if news {
            let same_path = |(other, record): &(&FlowId, &FlowRecord)| {
                **other != flow && record.tuple.remote_ip == host && record.end.is_none()
            };
            for (other, record) in self.flows.iter().filter(same_path) {
                w.send(w.core(record.group), ToFast::LimitPath(*other, limit));
            }
        }
    }

    /// Tells a flow that begins what is known of its path.
    pub(super) fn tell_path(&mut self, w: &mut impl World, flow: FlowId, host: Ipv4Addr) {
        let limit = self.path_mtus.get(host, w.now());
        self.counts.path_mtus = self.path_mtus.len() as u64;
        if let Some(limit) = limit
            && let Some(record) = self.flows.get(&flow)
        {
            w.send(w.core(record.group), ToFast::LimitPath(flow, limit));
        }
    }
}

/// The next MTU that a network may have, below `len`.
fn plateau_below(len: u16) -> u16 {
    let below = PLATEAUS.into_iter().find(|mtu| *mtu < len);
    below.unwrap_or(NARROWEST)
}
