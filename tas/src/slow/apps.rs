//! The sockets of applications: how they attach, and that they are gone.
//!
//! Two sockets serve two kinds: on `\0flexnic_os` the original's protocol with the shared region,
//! on `\0tas` the same with a region for each application. The steps are in `doc/protocol.md`.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use tas_abi::appif::{TAS_UXSOCK_DECLARE, TAS_UXSOCK_SOCKETS, UxsockRequest, UxsockResponse};
use tas_shm::EventFd;
use tas_shm::fdpass::{abstract_connect, abstract_listen, peer_cred, recv_with_fds, send_with_fds};
use zerocopy::{FromZeros, IntoBytes};

use super::access::Access;
use super::control::Control;
use super::tenants::{Newcomer, TENANTS_MAX};
use crate::types::TenantId;

/// Name of the original's socket.
const LEGACY_SOCKET: &[u8] = b"\0flexnic_os";
/// Name of the socket for applications with regions of their own.
const SOCKET: &[u8] = b"\0tas";
/// Version of the protocol on [`SOCKET`].
const VERSION: u32 = 1;
/// Descriptors in one message of the second step.
const FDS_PER_MESSAGE: usize = 4;
const REQUEST_LEN: usize = size_of::<UxsockRequest>();

/// The descriptors that an application gets.
pub struct Offer {
    /// The slow path's eventfd.
    pub slow_event: EventFd,
    /// The cores' eventfds.
    pub core_events: Vec<EventFd>,
    /// The info page, to be read only.
    pub info: OwnedFd,
}

/// An application's end of its socket.
pub struct App {
    stream: UnixStream,
    /// The part of a request that has come, and the descriptor that came with it.
    partial: Vec<u8>,
    event: Option<OwnedFd>,
}

impl App {
    /// The application's socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Why an application was dropped.
type Refusal = &'static str;

/// The sockets on which applications come; there is one of each in a network namespace.
pub struct Listeners {
    own: UnixListener,
    legacy: Option<UnixListener>,
}

impl Listeners {
    /// Takes the sockets' names; the original's only if it is to be served.
    pub fn bind(legacy: bool) -> Result<Listeners, ListenError> {
        Ok(Listeners {
            own: listen(SOCKET)?,
            legacy: if legacy {
                Some(listen(LEGACY_SOCKET)?)
            } else {
                None
            },
        })
    }
}

/// Why there are no sockets for applications.
#[derive(Debug)]
pub enum ListenError {
    /// Another process has them: its pid, if it can be found out.
    Taken(Option<u32>),
    /// The system refused.
    Io(io::Error),
}

fn listen(name: &[u8]) -> Result<UnixListener, ListenError> {
    let taken = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            let holder = abstract_connect(name).and_then(|stream| peer_cred(stream.as_fd()));
            ListenError::Taken(holder.ok().map(|peer| peer.pid))
        }
        _ => ListenError::Io(error),
    };
    let listener = abstract_listen(name).map_err(taken)?;
    listener.set_nonblocking(true).map_err(ListenError::Io)?;
    Ok(listener)
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}

fn out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// All applications' sockets, and those on which they come.
pub struct Apps {
    listeners: Listeners,
    access: Access,
    offer: Offer,
    apps: HashMap<TenantId, App>,
    /// Kept for the case that there are no more.
    spare: Option<File>,
}

impl Apps {
    /// Nobody attached yet.
    pub fn new(offer: Offer, access: Access, listeners: Listeners) -> Apps {
        Apps {
            listeners,
            access,
            offer,
            apps: HashMap::new(),
            spare: spare(),
        }
    }

    /// The sockets on which applications come.
    pub fn listeners(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let Listeners { own, legacy } = &self.listeners;
        [Some(own), legacy.as_ref()]
            .into_iter()
            .flatten()
            .map(AsFd::as_fd)
    }

    /// The application of a tenant.
    pub fn get(&self, tenant: TenantId) -> Option<&App> {
        self.apps.get(&tenant)
    }

    /// Closes a tenant's socket.
    pub fn remove(&mut self, tenant: TenantId) {
        self.apps.remove(&tenant);
    }

    /// Takes in the applications that knock. The new ones' tenants are returned.
    pub fn accept(&mut self, control: &mut Control) -> Vec<TenantId> {
        let mut new = Vec::new();
        while let Some((stream, legacy)) = self.knock() {
            match self.greet(stream, legacy, control) {
                Ok(tenant) => new.push(tenant),
                Err(error) => log::warn!("application refused: {error}"),
            }
        }
        new
    }

    fn knock(&mut self) -> Option<(UnixStream, bool)> {
        let Listeners { own, legacy } = &self.listeners;
        for (listener, is_legacy) in [(Some(own), false), (legacy.as_ref(), true)] {
            match listener.map(UnixListener::accept) {
                Some(Ok((stream, _))) => return Some((stream, is_legacy)),
                Some(Err(error)) if out_of_descriptors(&error) => {
                    // Whoever knocks would be announced again at once, for ever: the spare
                    // descriptor serves to let it in and send it away.
                    drop(self.spare.take());
                    let refused = listener.map(UnixListener::accept);
                    log::warn!("application refused: {error}");
                    drop(refused);
                    self.spare = spare();
                }
                _ => {}
            }
        }
        None
    }

    /// The first two steps: what the application needs to know, and the cores' eventfds.
    fn greet(
        &mut self,
        stream: UnixStream,
        legacy: bool,
        control: &mut Control,
    ) -> io::Result<TenantId> {
        stream.set_nonblocking(true)?;
        let peer = peer_cred(stream.as_fd())?;
        if !self.access.admits(peer) {
            return Err(io::Error::other(format!(
                "pid {} of user {} may not attach; see --shm-group, --shm-mode and --allow-uid",
                peer.pid, peer.uid
            )));
        }
        if control.tenants().len() >= TENANTS_MAX {
            return Err(io::Error::other(format!(
                "{TENANTS_MAX} applications are attached"
            )));
        }
        let tenant = control.join(Newcomer {
            legacy,
            pid: peer.pid,
            uid: peer.uid,
            low_ports: self.access.low_ports(peer),
        })?;
        if let Err(error) = self.introduce(&stream, control.share(tenant)) {
            control.leave(tenant);
            return Err(error);
        }
        let app = App {
            stream,
            partial: Vec::new(),
            event: None,
        };
        self.apps.insert(tenant, app);
        Ok(tenant)
    }

    /// `region` is the application's own one, with its length.
    fn introduce(
        &self,
        stream: &UnixStream,
        region: Option<(u64, BorrowedFd<'_>)>,
    ) -> io::Result<()> {
        let offer = &self.offer;
        let cores = offer.core_events.len() as u32;
        let sent = match region {
            Some((len, fd)) => {
                let mut hello = [0; 16];
                hello[..4].copy_from_slice(&cores.to_le_bytes());
                hello[4..8].copy_from_slice(&VERSION.to_le_bytes());
                hello[8..].copy_from_slice(&len.to_le_bytes());
                let fds = [offer.slow_event.as_fd(), offer.info.as_fd(), fd];
                send_with_fds(stream.as_fd(), &hello, &fds)? == hello.len()
            }
            None => {
                let hello = cores.to_ne_bytes();
                send_with_fds(stream.as_fd(), &hello, &[offer.slow_event.as_fd()])? == hello.len()
            }
        };
        if !sent {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for events in offer.core_events.chunks(FDS_PER_MESSAGE) {
            let fds: Vec<BorrowedFd<'_>> = events.iter().map(AsFd::as_fd).collect();
            send_with_fds(stream.as_fd(), &[0], &fds)?;
        }
        Ok(())
    }

    /// Reads what an application has written. False: it is gone, or broke the rules.
    pub fn read(&mut self, tenant: TenantId, control: &mut Control) -> bool {
        loop {
            let Some(app) = self.apps.get_mut(&tenant) else {
                return true;
            };
            let progress = match read_request(app) {
                Ok(Progress::Nothing) => return true,
                Ok(Progress::Gone) => return false,
                Ok(Progress::Request(request, event)) => {
                    app.open_context(tenant, request, event, control)
                }
                Ok(Progress::Declaration(kind)) => app.declare(tenant, kind, control),
                Err(why) => Err(why),
            };
            if let Err(why) = progress {
                control.tenants().complain(tenant, why);
                return false;
            }
        }
    }
}

impl App {
    /// The third and fourth step: a context. An answer that tells of refusal is no error.
    fn open_context(
        &self,
        tenant: TenantId,
        request: UxsockRequest,
        event: OwnedFd,
        control: &mut Control,
    ) -> Result<(), Refusal> {
        let event =
            EventFd::from_peer(event).map_err(|_| "sent a descriptor that is no eventfd")?;
        let answer = control.open_context(tenant, request, &event);
        self.answer(&answer)
    }

    /// The application says what it is, beside the steps.
    fn declare(&self, tenant: TenantId, kind: u32, control: &mut Control) -> Result<(), Refusal> {
        let known = kind == TAS_UXSOCK_SOCKETS && control.declare_sockets(tenant);
        let response = UxsockResponse {
            status: u32::from(!known),
            ..UxsockResponse::new_zeroed()
        };
        self.answer(response.as_bytes())
    }

    fn answer(&self, answer: &[u8]) -> Result<(), Refusal> {
        match send_with_fds(self.stream.as_fd(), answer, &[]) {
            Ok(sent) if sent == answer.len() => Ok(()),
            _ => Err("does not read its answers"),
        }
    }
}

enum Progress {
    Nothing,
    Gone,
    Request(UxsockRequest, OwnedFd),
    /// The application says what it is.
    Declaration(u32),
}

/// Reads until a request is complete. One descriptor belongs to it, no more and no less, and to a
/// declaration none.
fn read_request(app: &mut App) -> Result<Progress, Refusal> {
    let mut buffer = [0; REQUEST_LEN];
    let room = REQUEST_LEN.saturating_sub(app.partial.len());
    let Some(buffer) = buffer.get_mut(..room) else {
        return Ok(Progress::Nothing);
    };
    let received = match recv_with_fds(app.stream.as_fd(), buffer, 1) {
        Ok(received) => received,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Nothing),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Progress::Nothing),
        Err(_) => return Ok(Progress::Gone),
    };
    if received.truncated || (!received.fds.is_empty() && app.event.is_some()) {
        return Err("sent more descriptors than belong to its request");
    }
    if let Some(fd) = received.fds.into_iter().next() {
        app.event = Some(fd);
    }
    if received.len == 0 {
        return Ok(Progress::Gone);
    }
    app.partial
        .extend_from_slice(buffer.get(..received.len).unwrap_or_default());
    let Ok(bytes) = <[u8; REQUEST_LEN]>::try_from(app.partial.as_slice()) else {
        return read_request(app);
    };
    app.partial.clear();
    let request: UxsockRequest = zerocopy::transmute!(bytes);
    match app.event.take() {
        None if request.rxq_len == TAS_UXSOCK_DECLARE => Ok(Progress::Declaration(request.txq_len)),
        Some(event) => Ok(Progress::Request(request, event)),
        None => Err("sent a request without a descriptor"),
    }
}
