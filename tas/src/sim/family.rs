//! What applications do that fork: a child has what its parent has, and takes it over.

use tas_abi::appif::{
    AppinConnAdopted, AppoutAcceptConn, AppoutConnAdopt, AppoutListenWatch, AppoutMsg,
    TAS_ADOPTED_RESET, TAS_ADOPTED_RXDONE, TAS_ADOPTED_TXDONE,
};
use tas_wire::FlowTuple;

use std::net::Ipv4Addr;

use super::app::{App, Event, ListenerName};
use super::conn::{Adopted, ConnName};
use crate::slow::tcp::{self, Inheritance};
use crate::types::{FlowId, TenantId};

impl App {
    /// What a child inherits.
    pub(super) fn inheritance(&self) -> Inheritance {
        let open = self.conns().filter(|(_, conn)| conn.open || conn.parked);
        let name = |(name, conn): (ConnName, &super::Conn)| {
            let tuple = FlowTuple {
                local_ip: conn.local.0,
                local_port: conn.local.1,
                remote_ip: conn.remote.0,
                remote_port: conn.remote.1,
            };
            let opaque = name.0;
            (tcp::ConnName { opaque, tuple }, FlowId(conn.flow))
        };
        Inheritance {
            listeners: self
                .listeners
                .iter()
                .map(|(name, port)| (name.0, *port))
                .collect(),
            conns: open.map(name).collect(),
        }
    }

    /// A child, which has no contexts yet.
    pub(super) fn child(&self, tenant: TenantId) -> App {
        let mut child = App::new(tenant, &self.arena, self.base, self.len);
        child.listeners = self.listeners.clone();
        // It goes on with its parent's names: each has its own connections by them.
        child.next_name = self.next_name;
        for (name, conn) in self.conns().filter(|(_, conn)| conn.open || conn.parked) {
            child.conns.insert(name, conn.parked());
        }
        child
    }

    /// Asks to use a connection that this process holds.
    pub fn adopt(&mut self, name: ConnName, context: usize) {
        let Some(conn) = self.conns.get_mut(&name) else {
            return;
        };
        conn.parked = false;
        conn.context = context;
        let request = AppoutConnAdopt {
            opaque: name.0,
            remote_ip: conn.remote.0.to_bits(),
            local_ip: conn.local.0.to_bits(),
            remote_port: conn.remote.1,
            local_port: conn.local.1,
            flow_id: conn.flow,
        };
        self.request(context, AppoutMsg::ConnAdopt(request));
    }

    /// Has a context told of connections that wait, or no longer.
    pub fn watch(&mut self, context: usize, listener: ListenerName, on: bool) {
        let request = AppoutListenWatch {
            opaque: listener.0,
            local_port: self.listeners.get(&listener).copied().unwrap_or(0),
            on: on.into(),
        };
        self.request(context, AppoutMsg::ListenWatch(request));
    }

    /// Asks for a connection of a listener that waits already.
    pub fn accept_now(&mut self, context: usize, listener: ListenerName) -> ConnName {
        let local_port = self.listeners.get(&listener).copied().unwrap_or(0);
        let name = self.new_conn(context, local_port, (Ipv4Addr::UNSPECIFIED, 0));
        let request = AppoutAcceptConn {
            listen_opaque: listener.0,
            conn_opaque: name.0,
            local_port,
        };
        self.request(context, AppoutMsg::AcceptNow(request));
        name
    }

    pub(super) fn adopted(&mut self, m: &AppinConnAdopted) -> Option<Event> {
        let name = ConnName(m.opaque);
        let (rx, tx) = (self.place(m.rx_off), self.place(m.tx_off));
        let conn = self.conns.get_mut(&name)?;
        if m.status != 0 {
            conn.parked = true;
            return Some(Event::Adopted(name, m.status));
        }
        conn.take_over(&Adopted {
            flow: m.flow_id,
            core: m.fn_core,
            rx: (rx, m.rx_len),
            tx: (tx, m.tx_len),
            rx_pos: m.rx_pos,
            rx_used: m.rx_used,
            tx_pos: m.tx_pos,
            tx_used: m.tx_used,
            bump_seq: m.bump_seq,
            rx_closed: m.flags & TAS_ADOPTED_RXDONE != 0,
            tx_closed: m.flags & TAS_ADOPTED_TXDONE != 0,
            reset: m.flags & TAS_ADOPTED_RESET != 0,
        });
        Some(Event::Adopted(name, 0))
    }

    /// Another process uses a connection. What was told of it here is told there.
    pub(super) fn taken(&mut self, name: ConnName) -> Option<Event> {
        let context = self.conns.get(&name)?.context;
        self.poll_cores(context, &mut Vec::new());
        let conn = self.conns.get_mut(&name)?;
        if !conn.open {
            return None;
        }
        *conn = conn.parked();
        Some(Event::Taken(name))
    }
}
