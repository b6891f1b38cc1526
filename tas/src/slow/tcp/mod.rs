//! TCP control: everything about connections that is not the data path.
//!
//! [`TcpControl`] holds the listeners, the connections that are being opened, a record of every
//! installed flow, TIME-WAIT, address resolution and routes. It is told of frames, messages from
//! the cores, requests of applications and the time, and acts through [`World`] alone.
#![forbid(unsafe_code)]

mod world;

pub use world::{Client, ConnName, Errno, Secrets, TcpControlConfig, World};

use tas_wire::Ipv4Addr;

use crate::link::{AppLink, CloseHow, Ended};
use crate::types::{ContextId, CoreId, FlowId, Micros, TenantId};

/// Numbers for the statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Installed flows.
    pub connections: u64,
}

/// TCP control.
pub struct TcpControl {
    _cfg: TcpControlConfig,
}

#[allow(unused_variables, clippy::unused_self)]
impl TcpControl {
    /// TCP control without connections.
    #[must_use]
    pub fn new(cfg: TcpControlConfig, secrets: Secrets) -> TcpControl {
        TcpControl { _cfg: cfg }
    }
    /// Announces our addresses (gratuitous ARP, RFC 5227 §2.3).
    pub fn start(&mut self, w: &mut impl World) {}
    /// Takes a frame that a core has no flow for. Its checksums are right.
    pub fn on_frame(&mut self, w: &mut impl World, core: CoreId, frame: &[u8]) {}
    /// A core is done with a flow.
    pub fn on_ended(&mut self, w: &mut impl World, flow: FlowId, ended: Ended) {}
    /// A flow finishes in the background.
    pub fn on_detached(&mut self, w: &mut impl World, flow: FlowId) {}
    /// A flow's slot is back.
    pub fn on_released(&mut self, w: &mut impl World, flow: FlowId) {}
    /// A flow has moved.
    pub fn on_moved(&mut self, w: &mut impl World, flow: FlowId, link: AppLink) {}
    /// Opens a connection; answered by `ConnOpened`.
    pub fn open(
        &mut self,
        w: &mut impl World,
        client: Client,
        opaque: u64,
        ip: Ipv4Addr,
        port: u16,
    ) {
    }
    /// Closes a connection in any state; answered by `StatusConnClose`.
    pub fn close(&mut self, w: &mut impl World, client: Client, conn: ConnName, how: CloseHow) {}
    /// Moves a connection to the context `to`, which the caller knows to be of the same tenant;
    /// answered by `StatusConnMove` there.
    pub fn move_conn(&mut self, w: &mut impl World, client: Client, conn: ConnName, to: ContextId) {
    }
    /// Opens a listener; answered by `StatusListenOpen`.
    pub fn listen_open(
        &mut self,
        w: &mut impl World,
        client: Client,
        opaque: u64,
        port: u16,
        backlog: u32,
        reuseport: bool,
    ) {
    }
    /// Closes a listener; answered by `StatusListenClose`.
    pub fn listen_close(&mut self, w: &mut impl World, client: Client, opaque: u64, port: u16) {}
    /// Asks for a connection of a listener; answered by `AcceptedConn`.
    pub fn accept(
        &mut self,
        w: &mut impl World,
        client: Client,
        listen_opaque: u64,
        conn_opaque: u64,
        port: u16,
    ) {
    }
    /// A context is gone: resets its connections and closes its listeners.
    pub fn context_gone(&mut self, w: &mut impl World, ctx: ContextId) {}
    /// A tenant is gone: the same for all its contexts.
    pub fn tenant_gone(&mut self, w: &mut impl World, tenant: TenantId) {}
    /// Nothing is left of a tenant: no flow uses its memory.
    #[must_use]
    pub fn tenant_idle(&self, tenant: TenantId) -> bool {
        true
    }
    /// Nothing is left of a context: no message for it will follow.
    #[must_use]
    pub fn context_idle(&self, ctx: ContextId) -> bool {
        true
    }
    /// Runs the timers that are due.
    pub fn poll_timers(&mut self, w: &mut impl World) {}
    /// When [`TcpControl::poll_timers`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Micros {
        Micros::NEVER
    }
    /// Numbers for the statistics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
