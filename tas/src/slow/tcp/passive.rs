//! Passive opens: listeners, half-open connections, backlogs and accepting.

use tas_abi::appif::{AppinAcceptConn, AppinListenNewconn, AppinMsg, AppinStatus};
use tas_wire::{FlowTuple, SeqNum, TcpFlags, TcpPacket};

use super::TcpControl;
use super::conn::{Conn, HalfOpen, Named, Owner, Phase};
use super::install::Install;
use super::listeners::{Listener, ListenerId, Refusal};
use super::routes::Via;
use super::world::{Client, Errno, Listen, World};
use crate::link::{CloseHow, ToFast};
use crate::proto::handshake::{Agreed, Handshake, Outcome, is_opening};
use crate::types::{CoreId, FlowId};

/// Whether who asks to accept waits for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Waits,
    None,
}

impl TcpControl {
    /// Opens a listener; answered by `StatusListenOpen`. Whether the application may have the
    /// port is the caller's business.
    pub fn listen_open(&mut self, w: &mut impl World, client: Client, listen: &Listen) {
        let opened = self.open_listener(w, client, listen);
        let answer = AppinStatus {
            opaque: listen.opaque,
            status: opened.map_or_else(Errno::status, |()| 0),
        };
        w.answer(client.context, AppinMsg::StatusListenOpen(answer));
    }

    /// The same, but if the application has a listener of this name on the port, that changes its
    /// backlog, and the buffers that its connections get.
    pub fn listen_again(&mut self, w: &mut impl World, client: Client, listen: &Listen) {
        let named = self.listeners.named(client, listen.opaque, listen.port);
        let Some(open) = named.and_then(|id| self.listeners.get_mut(id)) else {
            return self.listen_open(w, client, listen);
        };
        open.set_backlog(listen.backlog);
        open.lens = self.cfg.lens(listen.buffers);
        let answer = AppinStatus {
            opaque: listen.opaque,
            status: 0,
        };
        w.answer(client.context, AppinMsg::StatusListenOpen(answer));
    }

    fn open_listener(
        &mut self,
        w: &impl World,
        client: Client,
        listen: &Listen,
    ) -> Result<(), Errno> {
        if listen.port == 0 {
            return Err(Errno::INVAL);
        }
        if listen.ip.is_some_and(|ip| !self.cfg.is_local(ip)) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let lens = self.cfg.lens(listen.buffers);
        let may_share = |other| w.may_share_port(client.tenant, other);
        match self.listeners.open(client, listen, lens, may_share) {
            Ok(_) => Ok(()),
            Err(Refusal::InUse) => Err(Errno::ADDRINUSE),
            Err(Refusal::TooMany) => Err(Errno::NOBUFS),
        }
    }

    /// Closes a listener; answered by `StatusListenClose`. Its backlog is reset, and accept
    /// requests that wait are answered with an error. If other processes hold it too, the
    /// application only lets go of it.
    pub fn listen_close(&mut self, w: &mut impl World, client: Client, opaque: u64, port: u16) {
        let status = match self.listeners.named(client, opaque, port) {
            Some(id) => {
                self.let_go_of_listener(w, id, client);
                0
            }
            None => Errno::INVAL.status(),
        };
        let answer = AppinStatus { opaque, status };
        w.answer(client.context, AppinMsg::StatusListenClose(answer));
    }

    fn let_go_of_listener(&mut self, w: &mut impl World, id: ListenerId, client: Client) {
        match self.listeners.get_mut(id) {
            Some(listener) if listener.is_shared() => {
                let withdrawn = listener.withdraw(client.tenant);
                self.listeners.drop_holder(id, client.tenant);
                for accept in withdrawn {
                    self.refuse_accept(w, id, accept, Errno::CONNABORTED);
                }
                self.account_backlog(id);
            }
            _ => self.close_listener(w, id),
        }
    }

    /// The memory of connections that wait counts as that of a process which holds the listener.
    fn account_backlog(&mut self, id: ListenerId) {
        let waiting: Vec<FlowId> = match self.listeners.get(id) {
            Some(listener) => listener.ready.iter().copied().collect(),
            None => return,
        };
        for flow in waiting {
            self.account_waiting(flow);
        }
    }

    /// Has a context told of connections that wait at a listener, or no longer; at once if some
    /// do.
    pub fn listen_watch(
        &mut self,
        w: &mut impl World,
        client: Client,
        opaque: u64,
        port: u16,
        on: bool,
    ) {
        let Some(id) = self.listeners.named(client, opaque, port) else {
            return;
        };
        let Some(listener) = self.listeners.get_mut(id) else {
            return;
        };
        listener.watch(client, opaque, on);
        if !on {
            return;
        }
        // Of each, as of those that come later: who watches counts them.
        for record in listener
            .ready
            .iter()
            .filter_map(|flow| self.flows.get(flow))
        {
            w.tell_once(client.context, newconn(opaque, &record.tuple));
        }
    }

    pub(super) fn close_listener(&mut self, w: &mut impl World, id: ListenerId) {
        let Some(listener) = self.listeners.close(id) else {
            return;
        };
        for tuple in listener.half_open.values() {
            // A peer whose handshake completes now is reset by the closed port.
            self.conns.remove(tuple);
            self.counts.opening -= 1;
        }
        for flow in listener.ready {
            self.close_unattached(w, flow);
        }
        for accept in listener.accepts {
            self.refuse_accept(w, id, accept, Errno::CONNABORTED);
        }
    }

    /// Asks for a connection of a listener; answered by `AcceptedConn` once there is one. The
    /// connection belongs to the context that asks.
    pub fn accept(
        &mut self,
        w: &mut impl World,
        client: Client,
        listen_opaque: u64,
        conn_opaque: u64,
        port: u16,
    ) {
        let owner = Owner {
            client,
            opaque: conn_opaque,
        };
        self.ask(w, owner, listen_opaque, port, Patience::Waits);
    }

    /// The same for a connection that waits already; fails with EAGAIN when none does.
    pub fn accept_now(
        &mut self,
        w: &mut impl World,
        client: Client,
        listen_opaque: u64,
        conn_opaque: u64,
        port: u16,
    ) {
        let owner = Owner {
            client,
            opaque: conn_opaque,
        };
        self.ask(w, owner, listen_opaque, port, Patience::None);
    }

    fn ask(
        &mut self,
        w: &mut impl World,
        owner: Owner,
        listener: u64,
        port: u16,
        patience: Patience,
    ) {
        let client = owner.client;
        let Some(id) = self.listeners.named(client, listener, port) else {
            return answer_refused(w, owner, Errno::INVAL);
        };
        let Some(listener) = self.listeners.get_mut(id) else {
            return;
        };
        match listener.ready.pop_front() {
            Some(flow) => self.attach(w, flow, owner),
            None if patience == Patience::None => answer_refused(w, owner, Errno::AGAIN),
            None if listener.ask(owner) => {
                let key = (client.context, owner.opaque);
                self.names.insert(key, Named::Accepting(id));
            }
            None => answer_refused(w, owner, Errno::NOBUFS),
        }
    }

    /// Gives a connection of the backlog to an application.
    pub(super) fn attach(&mut self, w: &mut impl World, flow: FlowId, owner: Owner) {
        let Some(record) = self.flows.get_mut(&flow) else {
            return;
        };
        record.phase = Phase::Attached(owner);
        w.send(w.core(record.group), ToFast::Attach(flow, owner.link()));
        self.account(flow, owner.client.tenant);
        self.announce_accepted(w, flow, owner);
    }

    fn refuse_accept(&mut self, w: &mut impl World, id: ListenerId, accept: Owner, errno: Errno) {
        self.forget_name(accept, Named::Accepting(id));
        answer_refused(w, accept, errno);
    }

    /// A segment for which there is no connection (RFC 9293 §3.10.7.1 and §3.10.7.2). With
    /// `previous`, the connection's last sequence number before, the new one begins above it.
    pub(super) fn on_new_segment(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
        previous: Option<SeqNum>,
    ) {
        let tuple = packet.tuple();
        let hash = self.random.hash(&tuple);
        let chosen = self
            .listeners
            .choose(tuple.local_ip, tuple.local_port, hash);
        let flags = packet.tcp.flags;
        let Some(id) = chosen.filter(|_| !flags.contains(TcpFlags::ACK)) else {
            return self.answer_with_reset(w, core, packet);
        };
        if !is_opening(flags) {
            return;
        }
        if !self.has_room(w, id) {
            self.counts.backlog_full += 1;
            return;
        }
        let Some(listener) = self.listeners.get(id) else {
            return;
        };
        let rx_len = listener.lens.rx;
        let flooded = listener.half_open.len() >= self.cfg.half_open;
        let now = w.now();
        let offer = self.offer_above(&tuple, rx_len, previous, now);
        if flooded {
            // A cookie cannot be above a previous connection's numbers; the peer tries again.
            if previous.is_none() {
                self.send_cookie(w, core, packet, offer);
            }
            return;
        }
        let (handshake, reply) = Handshake::accept(offer, packet, now);
        let mac = self.mac_towards(&tuple).unwrap_or(packet.eth.src);
        let half = HalfOpen {
            listener: id,
            serial: self.next_serial,
            handshake,
            mac,
            core,
        };
        self.insert_half_open(tuple, half);
        self.arm(&tuple);
        self.transmit(w, core, mac, &tuple, &reply);
    }

    /// Remembers a half-open connection, whose serial is the next one.
    pub(super) fn insert_half_open(&mut self, tuple: FlowTuple, half: HalfOpen) {
        self.next_serial += 1;
        if let Some(listener) = self.listeners.get_mut(half.listener) {
            listener.half_open.insert(half.serial, tuple);
        }
        self.conns.insert(tuple, Conn::HalfOpen(Box::new(half)));
        self.counts.opening += 1;
    }

    /// Whether a connection could be accepted: otherwise its SYN need not be answered.
    pub(super) fn has_room(&self, w: &mut impl World, id: ListenerId) -> bool {
        let listener = self.listeners.get(id);
        listener.is_some_and(|listener| listener.has_room() && !is_behind(w, listener))
    }

    /// A segment for a half-open connection.
    pub(super) fn on_half_open_segment(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
        frame: &[u8],
    ) {
        let tuple = packet.tuple();
        let now = w.now();
        let Some(Conn::HalfOpen(half)) = self.conns.get_mut(&tuple) else {
            return;
        };
        let mac = half.mac;
        match half.handshake.on_segment(packet, now) {
            Outcome::Ignore => {}
            Outcome::Reply(segment) => self.transmit(w, core, mac, &tuple, &segment),
            Outcome::Refused | Outcome::Abandoned => self.drop_half_open(&tuple),
            Outcome::Established {
                agreed, reinject, ..
            } => {
                if self.synchronize(w, &tuple, agreed) && reinject {
                    let core = w.core(w.group(&tuple));
                    w.send(core, ToFast::Reinject(frame.into()));
                }
            }
        }
    }

    /// Turns a half-open connection into a flow. When there is no room for it, the peer's ACK
    /// counts as lost: its data or our SYN-ACK will be repeated.
    fn synchronize(&mut self, w: &mut impl World, tuple: &FlowTuple, agreed: Agreed) -> bool {
        let Some(Conn::HalfOpen(half)) = self.conns.get(tuple) else {
            return false;
        };
        let (id, serial, mac) = (half.listener, half.serial, half.mac);
        let Some(listener) = self.listeners.get(id) else {
            return false;
        };
        if !listener.has_room() || is_behind(w, listener) {
            self.counts.backlog_full += 1;
            return false;
        }
        let (accept, lens) = (listener.accepts.front().copied(), listener.lens);
        let accepting = accept.map(|accept| accept.client.tenant);
        let Some(tenant) = accepting.or_else(|| listener.tenant()) else {
            return false;
        };
        let Some((flow, buffers)) = self.reserve(w, tenant, lens) else {
            self.counts.no_buffers += 1;
            return false;
        };
        let install = Install {
            tuple: *tuple,
            flow,
            buffers,
            tenant,
            group: w.group(tuple),
            mac,
            neighbour: self.neighbour_towards(tuple),
            agreed,
        };
        let phase = accept.map_or(Phase::Waiting(id), Phase::Attached);
        if !self.install(w, &install, phase, accept) {
            self.release(w, tenant, flow, &buffers);
            return false;
        }
        self.counts.opening -= 1;
        self.counts.accepted += 1;
        if let Some(listener) = self.listeners.get_mut(id) {
            listener.half_open.remove(&serial);
            match accept {
                Some(_) => {
                    listener.accepts.pop_front();
                }
                None => {
                    listener.ready.push_back(flow);
                    self.tell_of_waiting(w, flow, id);
                }
            }
        }
        if let Some(record) = self.flows.get_mut(&flow) {
            record.listener = Some(id);
        }
        if let Some(owner) = accept {
            self.announce_accepted(w, flow, owner);
        }
        true
    }

    /// Tells a listener's applications of a connection that waits.
    pub(super) fn tell_of_waiting(&self, w: &mut impl World, flow: FlowId, id: ListenerId) {
        let (Some(record), Some(listener)) = (self.flows.get(&flow), self.listeners.get(id)) else {
            return;
        };
        for watcher in listener.watchers() {
            let news = newconn(watcher.opaque, &record.tuple);
            if watcher.counts {
                w.answer(watcher.context, news);
            } else {
                w.tell_once(watcher.context, news);
            }
        }
    }

    /// Forgets a half-open connection.
    pub(super) fn drop_half_open(&mut self, tuple: &FlowTuple) {
        if let Some(Conn::HalfOpen(half)) = self.conns.get(tuple) {
            if let Some(listener) = self.listeners.get_mut(half.listener) {
                listener.half_open.remove(&half.serial);
            }
            self.conns.remove(tuple);
            self.counts.opening -= 1;
        }
    }

    /// Resets a connection that no application has accepted.
    pub(super) fn close_unattached(&mut self, w: &mut impl World, flow: FlowId) {
        if let Some(record) = self.flows.get_mut(&flow) {
            record.phase = Phase::Closing(None);
            w.send(w.core(record.group), ToFast::Close(flow, CloseHow::Reset));
        }
    }

    /// The neighbour on the way to a peer; `None` for ourselves or when there is no route back.
    fn neighbour_towards(&self, tuple: &FlowTuple) -> Option<tas_wire::Ipv4Addr> {
        match self.cfg.route(tuple.remote_ip)?.via {
            Via::Ourselves => None,
            Via::Neighbour(ip) => Some(ip),
        }
    }

    /// The Ethernet address on the way to a peer, if it is known without asking.
    pub(super) fn mac_towards(&self, tuple: &FlowTuple) -> Option<tas_wire::MacAddr> {
        self.neighbour_towards(tuple)
            .and_then(|ip| self.arp.peek(ip))
    }
}

/// Whether so much waits for an application that counts the connections of a listener that there
/// should be no more of them. Who only wants to know that some wait holds nobody up.
fn is_behind(w: &mut impl World, listener: &Listener) -> bool {
    let watchers = listener.watchers();
    let mut counting = watchers.iter().filter(|watcher| watcher.counts);
    counting.any(|watcher| w.is_behind(watcher.context))
}

fn newconn(opaque: u64, tuple: &FlowTuple) -> AppinMsg {
    AppinMsg::ListenNewconn(AppinListenNewconn {
        opaque,
        remote_ip: tuple.remote_ip.to_bits(),
        remote_port: tuple.remote_port,
    })
}

fn answer_refused(w: &mut impl World, accept: Owner, errno: Errno) {
    w.answer(
        accept.client.context,
        AppinMsg::AcceptedConn(AppinAcceptConn {
            opaque: accept.opaque,
            status: errno.status(),
            ..AppinAcceptConn::default()
        }),
    );
}
