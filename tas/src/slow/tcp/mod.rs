//! TCP control: everything about connections that is not the data path.
//!
//! [`TcpControl`] holds the listeners, the connections that are being opened, a record of every
//! installed flow, TIME-WAIT, address resolution and routes. It is told of frames, messages from
//! the cores, requests of applications and the time, and acts through [`World`] alone.
//!
//! A four-tuple stands for at most one [`conn::Conn`]. A flow's record lives from installation
//! until its slot comes back, which can be after its tuple was given to another connection: an
//! application may hold on to a connection that the peer has long reset.
#![forbid(unsafe_code)]

mod arp;
mod close;
mod conn;
mod cookies;
mod counts;
mod family;
mod frames;
mod heirs;
mod ids;
mod install;
mod listeners;
mod neighbours;
mod open;
mod options;
mod passive;
mod pathmtu;
mod returning;
mod routes;
mod timewait;
mod world;

#[cfg(test)]
mod close_tests;
#[cfg(test)]
mod family_tests;
#[cfg(test)]
mod frames_tests;
#[cfg(test)]
mod open_tests;
#[cfg(test)]
mod passive_tests;
#[cfg(test)]
mod pathmtu_tests;
#[cfg(test)]
mod places_tests;
#[cfg(test)]
mod testing;

use std::collections::HashMap;

use tas_wire::{ChecksumMode, FlowTuple, MacAddr, SegmentFields, SeqNum, TcpTemplate};

pub use counts::Counts;
pub use family::Inheritance;
pub use frames::is_knock;
pub use world::{
    BufferLens, Client, ConnName, Errno, Listen, Open, Secrets, TcpControlConfig, World,
};

use crate::link::ToFast;
use crate::proto::handshake::{Expiry, Offer, jittered};
use crate::proto::isn::IsnSecret;
use crate::types::{ContextId, CoreId, FlowId, Micros, TenantId};

use arp::ArpCache;
use conn::{Conn, FlowRecord, Inherited, Named, Owner, Step};
use cookies::Cookies;
use ids::{FlowIds, Ports, Random, Timers};
use listeners::Listeners;
use pathmtu::PathMtus;

/// Longest control segment: headers and all options.
const CONTROL_FRAME: usize = 128;

/// TCP control.
pub struct TcpControl {
    cfg: TcpControlConfig,
    isn: IsnSecret,
    random: Random,
    ids: FlowIds,
    ports: Ports,
    conns: HashMap<FlowTuple, Conn>,
    flows: HashMap<FlowId, FlowRecord>,
    listeners: Listeners,
    names: HashMap<(ContextId, u64), Named>,
    /// Flows that several processes hold, by each one's word.
    held: HashMap<(TenantId, u64), FlowId>,
    /// Connections that were being opened when a process forked, by each heir's word.
    inherited: HashMap<(TenantId, u64), Inherited>,
    /// Buffers in use by tenant.
    tenants: HashMap<TenantId, u64>,
    arp: ArpCache,
    timers: Timers,
    /// The last time an address of ours was defended.
    defended: Option<Micros>,
    next_serial: u64,
    /// Who wants to know how flows are doing, in the order of asking.
    inspections: Vec<(FlowId, Owner)>,
    cookies: Cookies,
    path_mtus: PathMtus,
    counts: Counts,
}

impl TcpControl {
    /// TCP control without connections.
    #[must_use]
    pub fn new(cfg: TcpControlConfig, secrets: Secrets) -> TcpControl {
        TcpControl {
            isn: IsnSecret::new(secrets.isn),
            random: Random::new(secrets.random),
            ids: FlowIds::new(cfg.flows),
            ports: Ports::default(),
            conns: HashMap::new(),
            flows: HashMap::new(),
            listeners: Listeners::default(),
            names: HashMap::new(),
            held: HashMap::new(),
            inherited: HashMap::new(),
            tenants: HashMap::new(),
            arp: ArpCache::new(cfg.arp_timeout, cfg.arp_timeout_max),
            timers: Timers::default(),
            defended: None,
            next_serial: 0,
            inspections: Vec::new(),
            cookies: Cookies::default(),
            path_mtus: PathMtus::default(),
            counts: Counts::default(),
            cfg,
        }
    }

    /// Numbers for the statistics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            listeners: self.listeners.len() as u64,
            connections: self.flows.len() as u64,
            ..self.counts
        }
    }

    /// Nothing is left of a tenant: no connection uses its memory any more.
    #[must_use]
    pub fn tenant_idle(&self, tenant: TenantId) -> bool {
        !self.tenants.contains_key(&tenant)
    }

    /// Connections of a tenant, those being opened included.
    #[must_use]
    pub fn connections_of(&self, tenant: TenantId) -> u64 {
        self.tenants.get(&tenant).copied().unwrap_or(0)
    }

    /// Listeners of a tenant.
    #[must_use]
    pub fn listeners_of(&self, tenant: TenantId) -> u64 {
        self.listeners.of_tenant(tenant)
    }

    /// When [`TcpControl::poll_timers`] has something to do; may be early.
    #[must_use]
    pub fn next_deadline(&self) -> Micros {
        self.timers.next().min(self.arp.deadline())
    }

    /// Runs the timers that are due.
    pub fn poll_timers(&mut self, w: &mut impl World) {
        let now = w.now();
        self.poll_arp(w, now);
        while let Some(tuple) = self.timers.take_due(now) {
            let Some(conn) = self.conns.get(&tuple) else {
                continue;
            };
            match conn.deadline() {
                Micros::NEVER => continue,
                later if later > now => {}
                _ => self.on_timeout(w, tuple, now),
            }
            self.arm(&tuple);
        }
    }

    /// Sets the timer of a connection that has one.
    fn arm(&mut self, tuple: &FlowTuple) {
        if let Some(conn) = self.conns.get(tuple)
            && conn.deadline() != Micros::NEVER
        {
            self.timers.set(conn.deadline(), *tuple);
        }
    }

    fn on_timeout(&mut self, w: &mut impl World, tuple: FlowTuple, now: Micros) {
        let Some(conn) = self.conns.get_mut(&tuple) else {
            return;
        };
        let (expiry, core, mac) = match conn {
            Conn::Opening(opening) => {
                let Step::Shaking { handshake, mac } = &mut opening.step else {
                    return;
                };
                if let Some(new) = opening.neighbour.and_then(|ip| self.arp.peek(ip)) {
                    *mac = new;
                }
                (handshake.on_timer(now), opening.core, *mac)
            }
            Conn::HalfOpen(half) => (half.handshake.on_timer(now), half.core, half.mac),
            Conn::TimeWait(_) => return self.forget_time_wait(&tuple),
            Conn::Flow(_) => return,
        };
        match expiry {
            Expiry::Early => {}
            Expiry::Retransmit(segment) => {
                self.counts.syn_retransmits += 1;
                self.transmit(w, core, mac, &tuple, &segment);
            }
            Expiry::GiveUp => self.give_up(w, &tuple),
        }
    }

    /// The peer does not finish the handshake.
    fn give_up(&mut self, w: &mut impl World, tuple: &FlowTuple) {
        match self.conns.get(tuple) {
            Some(Conn::Opening(_)) => self.fail_open(w, tuple, Errno::TIMEDOUT),
            Some(Conn::HalfOpen(_)) => self.drop_half_open(tuple),
            _ => {}
        }
    }

    /// What we bring to a handshake on `tuple`, with a receive buffer of `rx_len` bytes.
    fn offer(&mut self, tuple: &FlowTuple, rx_len: u32, now: Micros) -> Offer {
        Offer {
            iss: self.isn.isn(tuple, now),
            ts_offset: self.isn.timestamp_offset(tuple.local_ip, tuple.remote_ip),
            mtu: self.cfg.mtu,
            rx_len,
            ecn: self.cfg.ecn,
            timeout: jittered(self.cfg.handshake_timeout, self.random.next_u32()),
            retries: self.cfg.handshake_retries,
        }
    }

    /// The same, for a connection that follows one whose numbers ended at `previous`.
    fn offer_above(
        &mut self,
        tuple: &FlowTuple,
        rx_len: u32,
        previous: Option<SeqNum>,
        now: Micros,
    ) -> Offer {
        let mut offer = self.offer(tuple, rx_len, now);
        if let Some(previous) = previous
            && offer.iss.le(previous + u32::from(u16::MAX))
        {
            // RFC 6191 §2: above everything that the previous connection can have sent.
            offer.iss = previous + (u32::from(u16::MAX) + 1);
        }
        offer
    }

    /// Sends a segment without data.
    fn transmit(
        &self,
        w: &mut impl World,
        core: CoreId,
        mac: MacAddr,
        tuple: &FlowTuple,
        segment: &SegmentFields<'_>,
    ) {
        let mut frame = [0; CONTROL_FRAME];
        let template = TcpTemplate::new(self.cfg.mac, mac, tuple);
        // Options take 40 bytes at most, so the frame always fits.
        if let Ok(len) = template.emit(&mut frame, segment, 0, 0, ChecksumMode::Full)
            && let Some(frame) = frame.get(..len)
        {
            w.send(core, ToFast::Transmit(frame.into()));
        }
    }
}
