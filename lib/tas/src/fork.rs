//! Processes that fork.
//!
//! A child has the parent's memory, that shared with the service included, but the parent's
//! contexts are not its own. It can join the parent's *family*: it becomes an application of its
//! own to the service, with contexts of its own in the same region, and holds the listeners and
//! connections that it has inherited beside its parent.
//!
//! The parent joins on the child's behalf before it forks, so that nothing that either of them
//! does afterwards comes too early: it may close what the child has inherited, or end. The three
//! calls here belong into the handlers of `pthread_atfork`. A child that goes without them, as one
//! made by vfork, has what it had before: nothing, until it connects for itself.

use std::cell::RefCell;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::MutexGuard;

use tas_abi::appif::{JoinConn, JoinListener};

use crate::conn::{self, Status};
use crate::error::{Error, Result};
use crate::ffi::{ConnRef, ListenerRef};
use crate::handshake::{self, Connection};
use crate::{calls, service};

/// A fork under way.
struct Fork {
    /// Held from before to after, so that the child finds it unlocked and whole.
    current: MutexGuard<'static, Option<Connection>>,
    child: Option<Child>,
}

/// What a child takes over.
struct Child {
    socket: UnixStream,
    token: u64,
    conns: Vec<ConnRef>,
}

thread_local! {
    static FORK: RefCell<Option<Fork>> = const { RefCell::new(None) };
}

/// The thread is about to fork. Without listeners and connections to share, the child will not be
/// connected to the service; otherwise it joins the family, and holds those listed that are open or being opened.
///
/// What the process has received and handed back, or sent, must be posted, and none of its
/// contexts in use by another thread until after the fork.
///
/// # Errors
/// The child will not be connected to the service. Everything else is as without the error.
pub fn before(listeners: &[ListenerRef], conns: &[ConnRef]) -> Result<()> {
    let mut current = service::connection();
    let shares = !listeners.is_empty() || !conns.is_empty();
    let joined = match current.as_mut() {
        Some(parent) if shares && parent.pid == std::process::id() => {
            join(parent, listeners, conns).map(Some)
        }
        _ => Ok(None),
    };
    let (child, result) = match joined {
        Ok(child) => (child, Ok(())),
        Err(error) => (None, Err(error)),
    };
    FORK.set(Some(Fork { current, child }));
    result
}

/// The thread has forked, or failed to.
pub fn in_parent() {
    FORK.take();
}

/// This is the child, whose only thread has called [`before`]. The parent's contexts must not be
/// used. Returns whether the child has joined the family; then the connections that were listed
/// wait to be [adopted](calls::adopt), and the listeners can be used at once.
pub fn in_child() -> bool {
    let Some(mut fork) = FORK.take() else {
        return false;
    };
    service::forget_contexts();
    let parent = fork.current.take().filter(|c| c.pid != std::process::id());
    let (Some(parent), Some(child)) = (parent, fork.child) else {
        service::disconnected();
        return false;
    };
    for conn in &child.conns {
        conn.with(inherit);
    }
    service::set_socket(child.socket.as_raw_fd());
    // The child's copy of the parent's socket is closed: it tells the service no longer that the
    // parent lives.
    *fork.current = Some(Connection {
        socket: child.socket,
        token: Some(child.token),
        introduced: false,
        pid: std::process::id(),
        ..parent
    });
    true
}

fn inherit(c: &mut tas_abi::ll::FlextcpConnection) {
    let next = match is_shared(c) {
        true if conn::is_opening(c) => Status::OpenInherited,
        true => Status::Parked,
        false => Status::Closed,
    };
    c.status = next as u8;
    conn::detach(c);
}

fn is_shared(c: &tas_abi::ll::FlextcpConnection) -> bool {
    conn::is_opening(c)
        || matches!(
            conn::status(c),
            Some(Status::Open | Status::Moving | Status::Parked | Status::Adopting)
        )
}

fn join(parent: &mut Connection, listeners: &[ListenerRef], conns: &[ConnRef]) -> Result<Child> {
    service::check_alive()?;
    if parent.isolated.is_none() {
        return Err(Error::expected(libc::EOPNOTSUPP));
    }
    handshake::introduce(parent)?;
    let token = handshake::token(parent)?;
    let open = |lst: &&ListenerRef| {
        let status = lst.with(|l| l.status);
        matches!(status, calls::LISTEN_REQUESTED | calls::LISTEN_OPEN)
    };
    let listeners: Vec<JoinListener> = listeners
        .iter()
        .filter(open)
        .map(|lst| JoinListener {
            opaque: lst.opaque(),
            local_port: lst.with(|l| l.local_port),
            ..JoinListener::default()
        })
        .collect();
    let shared = conns.iter().filter(|conn| conn.with(|c| is_shared(c)));
    let named: Vec<JoinConn> = shared.map(|conn| name(*conn)).collect();
    let (socket, token) = handshake::join(token, &listeners, &named)?;
    Ok(Child {
        socket,
        token,
        conns: conns.to_vec(),
    })
}

fn name(conn: ConnRef) -> JoinConn {
    conn.with(|c| JoinConn {
        opaque: conn.opaque(),
        remote_ip: c.remote_ip,
        local_ip: c.local_ip,
        remote_port: c.remote_port,
        local_port: c.local_port,
        flow_id: conn::flow_id(c),
    })
}
