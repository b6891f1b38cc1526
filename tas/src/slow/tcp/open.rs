//! Active opens: from an application's request to an installed flow.

use tas_abi::appif::{AppinConnOpened, AppinMsg};
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr, TcpPacket};

use super::TcpControl;
use super::conn::{Conn, Named, Opening, Owner, Step};
use super::install::Install;
use super::routes::Via;
use super::world::{Client, Errno, Open, World};
use crate::proto::handshake::{Handshake, Outcome};
use crate::types::{CoreId, Micros};

impl TcpControl {
    /// Opens a connection; answered by `ConnOpened`, at once or later.
    pub fn open(&mut self, w: &mut impl World, client: Client, open: &Open) {
        let owner = Owner {
            client,
            opaque: open.opaque,
        };
        if let Err(errno) = self.begin_open(w, owner, open) {
            self.counts.open_failed += 1;
            answer_failure(w, owner, errno);
        }
    }

    fn begin_open(&mut self, w: &mut impl World, owner: Owner, open: &Open) -> Result<(), Errno> {
        let (remote_ip, remote_port) = open.remote;
        if remote_port == 0 {
            return Err(Errno::INVAL);
        }
        if open.local_ip.is_some_and(|ip| !self.cfg.is_local(ip)) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let hop = self.cfg.route(remote_ip).ok_or(Errno::NETUNREACH)?;
        let tuple = self.choose_tuple(open, open.local_ip.unwrap_or(hop.source), w.now());
        let tuple = tuple.ok_or(Errno::ADDRNOTAVAIL)?;
        let lens = self.cfg.lens(open.buffers);
        let (flow, buffers) = self
            .reserve(w, owner.client.tenant, lens)
            .ok_or(Errno::NOBUFS)?;
        let previous = self.reuse_time_wait(&tuple);
        let core = w.core(w.group(&tuple));
        let neighbour = match hop.via {
            Via::Ourselves => None,
            Via::Neighbour(ip) => Some(ip),
        };
        let opening = Opening {
            owner: Some(owner),
            heirs: Vec::new(),
            tenant: owner.client.tenant,
            flow,
            buffers,
            previous,
            core,
            neighbour,
            step: Step::Resolving,
        };
        self.conns.insert(tuple, Conn::Opening(Box::new(opening)));
        self.names
            .insert((owner.client.context, owner.opaque), Named::Opening(tuple));
        self.counts.opening += 1;

        match neighbour {
            None => self.send_syn(w, &tuple, self.cfg.mac),
            Some(ip) => {
                let lookup = self.arp.lookup(ip, tuple, w.now());
                if lookup.ask {
                    self.send_arp_request(w, ip);
                }
                if let Some(mac) = lookup.mac {
                    self.send_syn(w, &tuple, mac);
                }
            }
        }
        Ok(())
    }

    /// The four-tuple of a connection to open, if there is one that nothing else has. One in
    /// TIME-WAIT is the last choice.
    fn choose_tuple(&mut self, open: &Open, local_ip: Ipv4Addr, now: Micros) -> Option<FlowTuple> {
        let (remote_ip, remote_port) = open.remote;
        let (conns, random) = (&self.conns, &self.random);
        let unused = |tuple: &FlowTuple| !conns.contains_key(tuple);
        let usable = |tuple: &FlowTuple| match conns.get(tuple) {
            None => true,
            Some(Conn::TimeWait(wait)) => wait.is_reusable(now),
            Some(_) => false,
        };
        let Some(local_port) = open.local_port else {
            let ports = &mut self.ports;
            return ports
                .choose(random, local_ip, remote_ip, remote_port, |t| !unused(t))
                .or_else(|| {
                    ports.choose(random, local_ip, remote_ip, remote_port, |t| !usable(t))
                });
        };
        let tuple = FlowTuple {
            local_ip,
            local_port,
            remote_ip,
            remote_port,
        };
        usable(&tuple).then_some(tuple)
    }

    /// Whether `tuple` is still an open that waits for its neighbour: it may have been closed
    /// meanwhile, and the tuple given to another.
    pub(super) fn is_resolving(&self, tuple: &FlowTuple) -> bool {
        matches!(
            self.conns.get(tuple),
            Some(Conn::Opening(opening)) if matches!(opening.step, Step::Resolving)
        )
    }

    /// The neighbour's address is known: sends the SYN.
    pub(super) fn send_syn(&mut self, w: &mut impl World, tuple: &FlowTuple, mac: MacAddr) {
        let now = w.now();
        let Some(Conn::Opening(opening)) = self.conns.get(tuple) else {
            return;
        };
        let (rx_len, previous) = (opening.buffers.rx_len, opening.previous);
        let offer = self.offer_above(tuple, rx_len, previous, now);
        let Some(Conn::Opening(opening)) = self.conns.get_mut(tuple) else {
            return;
        };
        let (handshake, syn) = Handshake::connect(offer, now);
        opening.step = Step::Shaking { handshake, mac };
        let core = opening.core;
        self.arm(tuple);
        self.transmit(w, core, mac, tuple, &syn);
    }

    /// A segment for a connection that is being opened.
    pub(super) fn on_opening_segment(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
        frame: &[u8],
    ) {
        let tuple = packet.tuple();
        let now = w.now();
        let Some(Conn::Opening(opening)) = self.conns.get_mut(&tuple) else {
            return;
        };
        let Step::Shaking { handshake, mac } = &mut opening.step else {
            // Nothing was sent, so nothing can be an answer. A SYN of a simultaneous open is
            // repeated by the peer.
            return;
        };
        let mac = *mac;
        match handshake.on_segment(packet, now) {
            Outcome::Ignore => {}
            Outcome::Reply(segment) => self.transmit(w, core, mac, &tuple, &segment),
            Outcome::Refused | Outcome::Abandoned => {
                self.fail_open(w, &tuple, Errno::CONNREFUSED);
            }
            Outcome::Established {
                agreed,
                ack,
                reinject,
            } => {
                let Some(Conn::Opening(opening)) = self.conns.remove(&tuple) else {
                    return;
                };
                self.counts.opening -= 1;
                let install = Install {
                    tuple,
                    flow: opening.flow,
                    buffers: opening.buffers,
                    tenant: opening.tenant,
                    group: w.group(&tuple),
                    mac,
                    neighbour: opening.neighbour,
                    agreed,
                };
                if !self.install_active(w, &install, &opening, ack.as_ref()) {
                    return;
                }
                if reinject {
                    let core = w.core(install.group);
                    w.send(core, crate::link::ToFast::Reinject(frame.into()));
                }
            }
        }
    }

    /// Ends an active open and tells the application.
    pub(super) fn fail_open(&mut self, w: &mut impl World, tuple: &FlowTuple, errno: Errno) {
        if let Some(opening) = self.abandon_open(w, tuple) {
            self.opening_failed(w, &opening, errno);
        }
    }

    /// Tells all that have part in an active open that it has failed.
    pub(super) fn opening_failed(&mut self, w: &mut impl World, opening: &Opening, errno: Errno) {
        self.counts.open_failed += 1;
        if let Some(owner) = opening.owner {
            answer_failure(w, owner, errno);
        }
        self.fail_heirs(w, &opening.heirs, errno);
    }

    /// Ends an active open without a word to the application.
    pub(super) fn abandon_open(
        &mut self,
        w: &mut impl World,
        tuple: &FlowTuple,
    ) -> Option<Box<Opening>> {
        let opening = match self.conns.remove(tuple)? {
            Conn::Opening(opening) => opening,
            other => {
                self.conns.insert(*tuple, other);
                return None;
            }
        };
        self.counts.opening -= 1;
        if let Step::Shaking { handshake, mac } = &opening.step
            && let Some(reset) = handshake.reset()
        {
            self.transmit(w, opening.core, *mac, tuple, &reset);
        }
        self.release(w, opening.tenant, opening.flow, &opening.buffers);
        if let Some(owner) = opening.owner {
            self.forget_name(owner, Named::Opening(*tuple));
        }
        Some(opening)
    }
}

pub(super) fn answer_failure(w: &mut impl World, owner: Owner, errno: Errno) {
    w.answer(
        owner.client.context,
        AppinMsg::ConnOpened(AppinConnOpened {
            opaque: owner.opaque,
            status: errno.status(),
            ..AppinConnOpened::default()
        }),
    );
}
