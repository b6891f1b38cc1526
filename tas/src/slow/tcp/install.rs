//! Flows: their resources, their installation on a core, and the answers that announce them.

use tas_abi::appif::{AppinAcceptConn, AppinConnOpened, AppinMsg};
use tas_abi::memif::TAS_RX_TAIL_LEN;
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr, SegmentFields, TcpFlags};

use super::TcpControl;
use super::conn::{Buffers, Conn, FlowRecord, Named, Opening, Owner, Phase};
use super::world::{BufferLens, Errno, World};
use crate::link::{AppLink, FlowSetup, ToFast};
use crate::proto::FlowInit;
use crate::proto::handshake::Agreed;
use crate::types::{FlowGroup, FlowId, TenantId};

/// A synchronized connection with all that a flow needs.
pub(super) struct Install {
    pub tuple: FlowTuple,
    pub flow: FlowId,
    pub buffers: Buffers,
    pub tenant: TenantId,
    pub group: FlowGroup,
    pub mac: MacAddr,
    pub neighbour: Option<Ipv4Addr>,
    pub agreed: Agreed,
}

impl Owner {
    /// As a core knows it.
    pub(super) fn link(&self) -> AppLink {
        AppLink {
            context: self.client.context,
            opaque: self.opaque,
        }
    }
}

impl TcpControl {
    /// The buffers of a connection for which a program on sockets asks for these; 0: as long as
    /// usual with sockets.
    pub(in crate::slow) fn sockets_buffers(&self, rx: u32, tx: u32) -> BufferLens {
        let usual = self.cfg.sockets;
        BufferLens {
            rx: if rx == 0 { usual.rx } else { rx },
            tx: if tx == 0 { usual.tx } else { tx },
        }
    }

    /// Takes a flow id and buffers; `None` when either is used up. Buffers are not longer than
    /// usual once half of the tenant's memory is in use: the rest is for many connections.
    pub(super) fn reserve(
        &mut self,
        w: &mut impl World,
        tenant: TenantId,
        lens: BufferLens,
    ) -> Option<(FlowId, Buffers)> {
        let BufferLens {
            rx: rx_len,
            tx: tx_len,
        } = if w.has_plenty(tenant) {
            lens
        } else {
            self.cfg.at_most_usual(lens)
        };
        let flow = self.ids.take()?;
        // Nothing is told of a new flow.
        let Some(rx) = w.alloc(tenant, rx_len + TAS_RX_TAIL_LEN, TAS_RX_TAIL_LEN) else {
            self.ids.give_back(flow);
            return None;
        };
        let Some(tx) = w.alloc(tenant, tx_len, 0) else {
            w.free(tenant, rx, rx_len + TAS_RX_TAIL_LEN);
            self.ids.give_back(flow);
            return None;
        };
        self.count_buffers(tenant);
        Some((
            flow,
            Buffers {
                rx,
                rx_len,
                tx,
                tx_len,
            },
        ))
    }

    /// Gives back what [`TcpControl::reserve`] took.
    pub(super) fn release(
        &mut self,
        w: &mut impl World,
        tenant: TenantId,
        flow: FlowId,
        buffers: &Buffers,
    ) {
        w.free(tenant, buffers.rx, buffers.rx_len + TAS_RX_TAIL_LEN);
        w.free(tenant, buffers.tx, buffers.tx_len);
        self.ids.give_back(flow);
        self.discount_buffers(tenant);
    }

    pub(super) fn count_buffers(&mut self, tenant: TenantId) {
        *self.tenants.entry(tenant).or_default() += 1;
    }

    pub(super) fn discount_buffers(&mut self, tenant: TenantId) {
        if let Some(used) = self.tenants.get_mut(&tenant) {
            *used = used.saturating_sub(1);
            if *used == 0 {
                self.tenants.remove(&tenant);
            }
        }
    }

    /// Hands a flow to its core; false when the lookup table has no room, in which case the
    /// flow's resources are still the caller's.
    pub(super) fn install(
        &mut self,
        w: &mut impl World,
        install: &Install,
        phase: Phase,
        app: Option<Owner>,
    ) -> bool {
        let Install {
            tuple,
            flow,
            buffers,
            agreed,
            group,
            ..
        } = install;
        let core = w.core(*group);
        if !w.table_insert(tuple, *flow) {
            self.counts.no_buffers += 1;
            return false;
        }
        let init = FlowInit {
            tuple: *tuple,
            remote_mac: install.mac,
            flow_group: group.0,
            db_id: app.map_or(0, |owner| owner.client.context.0),
            opaque: app.map_or(0, |owner| owner.opaque),
            mss: agreed.mss,
            snd_wscale: agreed.snd_wscale,
            rcv_wscale: agreed.rcv_wscale,
            timestamps: agreed.timestamps,
            sack: agreed.sack,
            ecn: agreed.ecn,
            iss: agreed.iss,
            irs: agreed.irs,
            snd_wnd: agreed.snd_wnd,
            rcv_wnd: agreed.rcv_wnd,
            rx_base: buffers.rx.0,
            rx_len: buffers.rx_len,
            tx_base: buffers.tx.0,
            tx_len: buffers.tx_len,
            rtt: agreed.rtt,
        };
        if let Some(ip) = install.neighbour {
            self.arp.note_use(ip);
        }
        w.pass_slot(*flow, core);
        w.send(
            core,
            ToFast::Install(Box::new(FlowSetup {
                flow: *flow,
                init,
                app: app.map(|owner| owner.link()),
            })),
        );
        self.conns.insert(*tuple, Conn::Flow(*flow));
        self.flows.insert(
            *flow,
            FlowRecord {
                tuple: *tuple,
                tenant: install.tenant,
                group: *group,
                buffers: *buffers,
                mac: install.mac,
                neighbour: install.neighbour,
                iss: agreed.iss,
                irs: agreed.irs,
                end: None,
                phase,
                former: None,
                listener: match phase {
                    Phase::Waiting(id) => Some(id),
                    _ => None,
                },
                holders: Vec::new(),
            },
        );
        self.tell_path(w, *flow, tuple.remote_ip);
        true
    }

    /// Installs a connection that was opened, after the ACK that ends its handshake.
    pub(super) fn install_active(
        &mut self,
        w: &mut impl World,
        install: &Install,
        opening: &Opening,
        ack: Option<&SegmentFields<'_>>,
    ) -> bool {
        let Install { tuple, flow, .. } = install;
        let core = w.core(install.group);
        if let Some(ack) = ack {
            self.transmit(w, core, install.mac, tuple, ack);
        }
        let phase = opening.owner.map_or(Phase::Parked, Phase::Attached);
        if let Some(owner) = opening.owner {
            self.forget_name(owner, Named::Opening(*tuple));
        }
        if !self.install(w, install, phase, opening.owner) {
            let reset = SegmentFields {
                seq: install.agreed.iss + 1,
                ack: install.agreed.irs + 1,
                flags: TcpFlags::RST | TcpFlags::ACK,
                ..SegmentFields::default()
            };
            self.transmit(w, core, install.mac, tuple, &reset);
            self.release(w, install.tenant, *flow, &install.buffers);
            self.opening_failed(w, opening, Errno::NOBUFS);
            return false;
        }
        self.counts.opened += 1;
        if let Some(owner) = opening.owner {
            self.names
                .insert((owner.client.context, owner.opaque), Named::Flow(*flow));
            self.tell_opened(w, *flow, owner);
        }
        self.settle_heirs(w, *flow, opening);
        true
    }

    /// Tells an application of the flow that it has opened, or inherited.
    pub(super) fn tell_opened(&mut self, w: &mut impl World, flow: FlowId, to: Owner) {
        if let Some(record) = self.flows.get(&flow) {
            let opened = opened(w, to.opaque, flow, record);
            w.answer(to.client.context, AppinMsg::ConnOpened(opened));
        }
    }

    /// Gives a flow to the application that accepts it.
    pub(super) fn announce_accepted(&mut self, w: &mut impl World, flow: FlowId, owner: Owner) {
        let Some(record) = self.flows.get(&flow) else {
            return;
        };
        let key = (owner.client.context, owner.opaque);
        self.names.insert(key, Named::Flow(flow));
        let accepted = accepted(w, owner.opaque, flow, record);
        w.answer(owner.client.context, AppinMsg::AcceptedConn(accepted));
    }

    /// Removes an application's word for a connection, unless it names another by now.
    pub(super) fn forget_name(&mut self, owner: Owner, named: Named) {
        let key = (owner.client.context, owner.opaque);
        if self.names.get(&key) == Some(&named) {
            self.names.remove(&key);
        }
    }
}

fn opened(w: &impl World, opaque: u64, flow: FlowId, record: &FlowRecord) -> AppinConnOpened {
    AppinConnOpened {
        opaque,
        rx_off: w.relative(record.tenant, record.buffers.rx),
        tx_off: w.relative(record.tenant, record.buffers.tx),
        rx_len: record.buffers.rx_len,
        tx_len: record.buffers.tx_len,
        status: 0,
        seq_rx: (record.irs + 1).0,
        seq_tx: (record.iss + 1).0,
        flow_id: flow.0,
        local_ip: record.tuple.local_ip.to_bits(),
        local_port: record.tuple.local_port,
        fn_core: w.core(record.group).0,
    }
}

fn accepted(w: &impl World, opaque: u64, flow: FlowId, record: &FlowRecord) -> AppinAcceptConn {
    AppinAcceptConn {
        opaque,
        rx_off: w.relative(record.tenant, record.buffers.rx),
        tx_off: w.relative(record.tenant, record.buffers.tx),
        rx_len: record.buffers.rx_len,
        tx_len: record.buffers.tx_len,
        status: 0,
        seq_rx: (record.irs + 1).0,
        seq_tx: (record.iss + 1).0,
        flow_id: flow.0,
        local_ip: record.tuple.local_ip.to_bits(),
        remote_ip: record.tuple.remote_ip.to_bits(),
        remote_port: record.tuple.remote_port,
        fn_core: w.core(record.group).0,
    }
}
