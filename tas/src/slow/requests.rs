//! What applications ask for over their queues, and how tools see their contexts.

use tas_abi::appif::{
    AppinConnOpened, AppinMsg, AppinStatus, AppoutConnOpenFrom, AppoutConnOptions,
    AppoutListenOpenAt, AppoutMsg, KERNEL_APPOUT_CLOSE_RESET, KERNEL_APPOUT_LISTEN_REUSEPORT,
    TAS_CONN_KEEPALIVE,
};
use tas_abi::memif::{AppCtx, FLEXNIC_PL_APPCTX_NUM, PlMem};
use tas_wire::{FlowTuple, Ipv4Addr};

use super::access::UNPRIVILEGED_PORTS;
use super::contexts::public_view;
use super::control::Control;
use super::tcp::{Client, ConnName, Listen, Open, World};
use crate::link::CloseHow;
use crate::proto::{Keepalive, LivenessOptions};
use crate::types::{ContextId, FlowId, TenantId};

/// Requests of one application that are taken at once, before it forks: more than its contexts'
/// queues usually hold.
const REQUESTS_OF_ONE: usize = 1 << 16;

fn conn_name(opaque: u64, local: (u32, u16), remote: (u32, u16)) -> ConnName {
    let tuple = FlowTuple {
        local_ip: Ipv4Addr::from_bits(local.0),
        local_port: local.1,
        remote_ip: Ipv4Addr::from_bits(remote.0),
        remote_port: remote.1,
    };
    ConnName { opaque, tuple }
}

fn liveness_options(m: &AppoutConnOptions) -> LivenessOptions {
    let keepalive = (m.flags & TAS_CONN_KEEPALIVE != 0).then(|| Keepalive {
        idle: m.keep_idle,
        interval: m.keep_interval,
        count: u8::try_from(m.keep_count).unwrap_or(u8::MAX),
    });
    LivenessOptions {
        keepalive,
        user_timeout_ms: m.user_timeout,
    }
}

impl Control {
    /// Takes up to `most` requests.
    pub(super) fn take_requests(&mut self, most: usize) -> bool {
        for taken in 0..most {
            let Some((context, tenant, request)) = self.effects.contexts.next_request() else {
                return taken > 0;
            };
            self.request_or_expel(Client { tenant, context }, request);
        }
        true
    }

    /// Takes all requests that an application has posted, as long as it does not go on posting.
    pub(super) fn take_requests_of(&mut self, tenant: TenantId) {
        for _ in 0..REQUESTS_OF_ONE {
            let Some((context, request)) = self.effects.contexts.next_request_of(tenant) else {
                break;
            };
            self.request_or_expel(Client { tenant, context }, request);
        }
    }

    fn request_or_expel(&mut self, client: Client, request: Result<AppoutMsg, ()>) {
        match request {
            Ok(request) if self.tenants.speaks(client.tenant, &request) => {
                self.request(client, request);
            }
            _ => self.expel(client.tenant, "posted a request of unknown type"),
        }
    }

    /// Takes what an application had asked for before it ended, at most a queue's worth: it may
    /// not have ended really.
    pub(super) fn take_last_requests(&mut self, tenant: TenantId) {
        let contexts = self.tenants.contexts(tenant).to_vec();
        let most = self.tenants.requests_max();
        for context in contexts {
            for _ in 0..most {
                let request = match self.effects.contexts.last_request(context) {
                    Some(Ok(request)) if self.tenants.speaks(tenant, &request) => request,
                    Some(_) => return self.expel(tenant, "posted a request of unknown type"),
                    None => break,
                };
                self.request(Client { tenant, context }, request);
            }
        }
    }

    fn request(&mut self, client: Client, request: AppoutMsg) {
        let effects = &mut self.effects;
        match request {
            AppoutMsg::ConnOpen(m) => {
                let remote = (Ipv4Addr::from_bits(m.remote_ip), m.remote_port);
                self.tcp.open(effects, client, &Open::to(m.opaque, remote));
            }
            AppoutMsg::ConnClose(m) => {
                let reset = m.flags & KERNEL_APPOUT_CLOSE_RESET != 0;
                let how = if reset {
                    CloseHow::Reset
                } else {
                    CloseHow::Graceful
                };
                let conn = conn_name(
                    m.opaque,
                    (m.local_ip, m.local_port),
                    (m.remote_ip, m.remote_port),
                );
                self.tcp.close(effects, client, conn, how);
            }
            AppoutMsg::ConnMove(m) => {
                let conn = conn_name(
                    m.opaque,
                    (m.local_ip, m.local_port),
                    (m.remote_ip, m.remote_port),
                );
                let target = ContextId(m.db_id);
                let same = effects
                    .contexts
                    .get(target)
                    .is_some_and(|to| to.tenant == client.tenant && !to.leaving);
                if same {
                    self.tcp.move_conn(effects, client, conn, target);
                } else {
                    let status = AppinStatus {
                        opaque: m.opaque,
                        status: -libc::EINVAL,
                    };
                    effects.answer(client.context, AppinMsg::StatusConnMove(status));
                }
            }
            AppoutMsg::ListenOpen(m) => {
                let listen = Listen {
                    reuseport: m.flags & KERNEL_APPOUT_LISTEN_REUSEPORT != 0,
                    ..Listen::on(m.opaque, m.local_port, m.backlog)
                };
                if self.may_listen(client, &listen) {
                    self.tcp.listen_open(&mut self.effects, client, &listen);
                }
            }
            AppoutMsg::ListenClose(m) => {
                self.tcp
                    .listen_close(effects, client, m.opaque, m.local_port);
            }
            AppoutMsg::AcceptConn(m) => {
                let (listener, conn) = (m.listen_opaque, m.conn_opaque);
                self.tcp
                    .accept(effects, client, listener, conn, m.local_port);
            }
            AppoutMsg::ConnOpenFrom(m) => self.open_from(client, &m),
            AppoutMsg::ListenOpenAt(m) => self.listen_at(client, &m),
            AppoutMsg::ConnOptions(m) => {
                let conn = conn_name(
                    m.opaque,
                    (m.local_ip, m.local_port),
                    (m.remote_ip, m.remote_port),
                );
                self.tcp
                    .set_options(effects, client, conn, liveness_options(&m));
            }
            AppoutMsg::ConnInfo(m) => {
                let conn = conn_name(
                    m.opaque,
                    (m.local_ip, m.local_port),
                    (m.remote_ip, m.remote_port),
                );
                self.tcp.inspect(effects, client, conn);
            }
            AppoutMsg::AcceptNow(m) => {
                let (listener, conn) = (m.listen_opaque, m.conn_opaque);
                self.tcp
                    .accept_now(effects, client, listener, conn, m.local_port);
            }
            AppoutMsg::ListenWatch(m) => {
                let on = m.on != 0;
                self.tcp
                    .listen_watch(effects, client, m.opaque, m.local_port, on);
            }
            AppoutMsg::ConnAdopt(m) => {
                let conn = conn_name(
                    m.opaque,
                    (m.local_ip, m.local_port),
                    (m.remote_ip, m.remote_port),
                );
                self.tcp.adopt(effects, client, conn, FlowId(m.flow_id));
            }
            AppoutMsg::ReqScale(m) => {
                let granted = self.scaler.ask(m.num_cores, effects.now);
                let status = if granted { 0 } else { -libc::EINVAL };
                effects.answer(
                    client.context,
                    AppinMsg::StatusReqScale(AppinStatus { opaque: 0, status }),
                );
            }
        }
    }

    fn open_from(&mut self, client: Client, m: &AppoutConnOpenFrom) {
        let open = Open {
            opaque: m.opaque,
            remote: (Ipv4Addr::from_bits(m.remote_ip), m.remote_port),
            local_ip: (m.local_ip != 0).then(|| Ipv4Addr::from_bits(m.local_ip)),
            local_port: (m.local_port != 0).then_some(m.local_port),
            buffers: self.tcp.sockets_buffers(m.rx_len, m.tx_len),
        };
        if self.may_bind(client, m.local_port) {
            return self.tcp.open(&mut self.effects, client, &open);
        }
        let opened = AppinConnOpened {
            opaque: m.opaque,
            status: -libc::EACCES,
            ..AppinConnOpened::default()
        };
        self.effects
            .answer(client.context, AppinMsg::ConnOpened(opened));
    }

    fn listen_at(&mut self, client: Client, m: &AppoutListenOpenAt) {
        let listen = Listen {
            opaque: m.opaque,
            ip: (m.local_ip != 0).then(|| Ipv4Addr::from_bits(m.local_ip)),
            port: m.local_port,
            backlog: m.backlog,
            reuseport: m.flags & KERNEL_APPOUT_LISTEN_REUSEPORT != 0,
            buffers: self.tcp.sockets_buffers(m.rx_len, m.tx_len),
        };
        if self.may_listen(client, &listen) {
            self.tcp.listen_again(&mut self.effects, client, &listen);
        }
    }

    /// Whether an application may have a port (ip(7)).
    fn may_bind(&self, client: Client, port: u16) -> bool {
        port == 0 || port >= UNPRIVILEGED_PORTS || self.tenants.low_ports(client.tenant)
    }

    /// Whether an application may have a listener's port; answers if not.
    fn may_listen(&mut self, client: Client, listen: &Listen) -> bool {
        let may = self.may_bind(client, listen.port);
        if !may {
            let status = AppinStatus {
                opaque: listen.opaque,
                status: -libc::EACCES,
            };
            self.effects
                .answer(client.context, AppinMsg::StatusListenOpen(status));
        }
        may
    }

    /// Shows a context's queues to tools, if it is among those that `flextcp_pl_mem` has room for.
    pub(super) fn show_context(&mut self, id: ContextId) {
        let Some(context) = self.effects.contexts.get(id) else {
            return;
        };
        let tenant = context.tenant;
        let views: Vec<AppCtx> = context
            .core_queues
            .iter()
            .map(|queues| public_view(queues, tenant))
            .collect();
        for (core, view) in views.iter().enumerate() {
            self.set_view(core, id, view);
        }
    }

    /// Takes a context that is gone from the tools' view.
    pub(super) fn hide_context(&mut self, id: ContextId) {
        if self.effects.contexts.get(id).is_none() {
            for core in 0..self.effects.cores.len() {
                self.set_view(core, id, &AppCtx::default());
            }
        }
    }

    fn set_view(&self, core: usize, id: ContextId, view: &AppCtx) {
        let index = usize::from(id.0);
        if index < FLEXNIC_PL_APPCTX_NUM {
            let first = std::mem::offset_of!(PlMem, appctx);
            let at = first + (core * FLEXNIC_PL_APPCTX_NUM + index) * size_of::<AppCtx>();
            if let Some(internal) = &self.internal {
                // Outside the table only with more cores than it has rows, which cannot be.
                let _ = internal.write_at(at as u64, view);
            }
        }
    }
}
