//! The sockets of applications: how they attach, and that they are gone.
//!
//! Two sockets serve two kinds: on `\0flexnic_os` the original's protocol with the shared region,
//! on `\0tas` the same with a region for each application. On a third, `\0tas_join`, applications
//! announce children made by fork, which share their regions. The steps are in `doc/protocol.md`.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use tas_abi::appif::{
    JoinAnswer, TAS_JOIN_SOCKET_PATH, TAS_JOIN_VERSION, TAS_UXSOCK_DECLARE, TAS_UXSOCK_PROCESS,
    TAS_UXSOCK_SOCKETS, TAS_UXSOCK_TOKEN, UxsockRequest, UxsockResponse,
};
use tas_shm::EventFd;
use tas_shm::fdpass::{
    PeerCred, abstract_connect, abstract_listen, peer_cred, recv_with_fds, send_with_fds,
};
use zerocopy::{FromZeros, IntoBytes};

use super::access::Access;
use super::control::Control;
use super::joining::{self, Announcement, Joining};
use super::tenants::{Newcomer, TENANTS_MAX};
use crate::types::TenantId;

/// Name of the original's socket.
const LEGACY_SOCKET: &[u8] = b"\0flexnic_os";
/// Name of the socket for applications with regions of their own.
const SOCKET: &[u8] = b"\0tas";
/// Name of the socket where their children are announced.
const JOIN_SOCKET: &[u8] = TAS_JOIN_SOCKET_PATH.as_bytes();
/// Children that are being announced at a time. Beyond it the oldest gives way, which may belong to
/// somebody who never says a word.
const JOINING_MAX: usize = 64;
/// Most who are let in through each door, and most requests of one application that are answered,
/// before the others have their turn: who never stops would otherwise have the slow path for
/// itself.
const AT_ONCE: usize = 16;
/// Who is refused, in messages.
const APPLICATION: &str = "application";
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
    fn new(stream: UnixStream) -> App {
        App {
            stream,
            partial: Vec::new(),
            event: None,
        }
    }

    /// The application's socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// A child that is being announced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct JoiningId(pub u64);

/// Who has knocked.
pub enum Arrival {
    /// An application.
    App(TenantId),
    /// Somebody on behalf of a child.
    Joining(JoiningId),
}

/// Where somebody knocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// An application that gets a region of its own.
    Own,
    /// Somebody on behalf of a child.
    Joining,
    /// An application of the original's protocol.
    Legacy,
}

/// Why an application was dropped.
type Refusal = &'static str;

/// The sockets on which applications come; there is one of each in a network namespace.
#[derive(Default)]
pub struct Listeners(Vec<(UnixListener, Door)>);

impl Listeners {
    /// Takes the sockets' names; the original's only if it is to be served.
    pub fn bind(legacy: bool) -> Result<Listeners, ListenError> {
        let mut listeners = vec![
            (listen(SOCKET)?, Door::Own),
            (listen(JOIN_SOCKET)?, Door::Joining),
        ];
        if legacy {
            listeners.push((listen(LEGACY_SOCKET)?, Door::Legacy));
        }
        Ok(Listeners(listeners))
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

fn not_admitted(peer: PeerCred) -> io::Error {
    io::Error::other(format!(
        "pid {} of user {} may not attach; see --shm-group, --shm-mode and --allow-uid",
        peer.pid, peer.uid
    ))
}

fn check_room(control: &Control) -> io::Result<()> {
    if control.tenants().len() < TENANTS_MAX {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{TENANTS_MAX} applications are attached"
    )))
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
    joining: BTreeMap<JoiningId, Joining>,
    next_joining: u64,
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
            joining: BTreeMap::new(),
            next_joining: 0,
            spare: spare(),
        }
    }

    /// The sockets on which applications come.
    pub fn listeners(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.listeners
            .0
            .iter()
            .map(|(listener, _)| listener.as_fd())
    }

    /// The application of a tenant.
    pub fn get(&self, tenant: TenantId) -> Option<&App> {
        self.apps.get(&tenant)
    }

    /// Closes a tenant's socket.
    pub fn remove(&mut self, tenant: TenantId) {
        self.apps.remove(&tenant);
    }

    /// Takes in some of those that knock. The others are announced again.
    pub fn accept(&mut self, control: &mut Control) -> Vec<Arrival> {
        let mut new = Vec::new();
        for place in 0..self.listeners.0.len() {
            for _ in 0..AT_ONCE {
                let Some((stream, door)) = self.knock(place, control) else {
                    break;
                };
                match self.let_in(stream, door, control) {
                    Ok(arrival) => new.push(arrival),
                    Err(error) => control.refuse(APPLICATION, &error),
                }
            }
        }
        new
    }

    /// Takes in somebody who has knocked.
    ///
    /// # Errors
    /// Why it may not come in.
    pub fn let_in(
        &mut self,
        stream: UnixStream,
        door: Door,
        control: &mut Control,
    ) -> io::Result<Arrival> {
        match door {
            Door::Own => self.greet(stream, false, control).map(Arrival::App),
            Door::Legacy => self.greet(stream, true, control).map(Arrival::App),
            Door::Joining => self.listen_to(stream, control).map(Arrival::Joining),
        }
    }

    fn knock(&mut self, place: usize, control: &mut Control) -> Option<(UnixStream, Door)> {
        let (listener, door) = self.listeners.0.get(place)?;
        match listener.accept() {
            Ok((stream, _)) => return Some((stream, *door)),
            Err(error) if out_of_descriptors(&error) => {
                // Whoever knocks would be announced again at once, for ever: the spare
                // descriptor serves to let it in and send it away.
                drop(self.spare.take());
                let refused = listener.accept();
                control.refuse(APPLICATION, &error);
                drop(refused);
                self.spare = spare();
            }
            Err(_) => {}
        }
        None
    }

    /// Begins to listen to who announces a child.
    fn listen_to(&mut self, stream: UnixStream, control: &Control) -> io::Result<JoiningId> {
        stream.set_nonblocking(true)?;
        let peer = peer_cred(stream.as_fd())?;
        // An application may have changed its user since it was admitted.
        if !self.access.admits(peer) && !control.tenants().has_process(peer.pid) {
            return Err(not_admitted(peer));
        }
        if self.joining.len() >= JOINING_MAX {
            self.joining.pop_first();
        }
        let id = JoiningId(self.next_joining);
        self.next_joining += 1;
        self.joining.insert(id, Joining::new(stream));
        Ok(id)
    }

    /// The socket on which a child is announced.
    pub fn get_joining(&self, id: JoiningId) -> Option<BorrowedFd<'_>> {
        self.joining.get(&id).map(Joining::fd)
    }

    /// Reads what is said of a child. Its tenant when it has joined its parent's family; who makes
    /// no sense is sent away.
    pub fn read_joining(&mut self, id: JoiningId, control: &mut Control) -> Option<TenantId> {
        let knows = |token| control.tenants().by_token(token).is_some();
        let announcement = match self.joining.get_mut(&id)?.read(knows) {
            joining::Progress::Unfinished => return None,
            joining::Progress::Complete(announcement) => Some(announcement),
            joining::Progress::Broken => None,
        };
        let stream = self.joining.remove(&id)?.into_stream();
        match self.join(stream, &announcement?, control) {
            Ok(tenant) => Some(tenant),
            Err(error) => {
                control.refuse("child", &error);
                None
            }
        }
    }

    fn join(
        &mut self,
        stream: UnixStream,
        announcement: &Announcement,
        control: &mut Control,
    ) -> io::Result<TenantId> {
        check_room(control)?;
        let peer = peer_cred(stream.as_fd())?;
        let child = Newcomer {
            legacy: false,
            pid: peer.pid,
            uid: peer.uid,
            low_ports: self.access.low_ports(peer),
        };
        let gone = || io::Error::other("its parent is gone");
        let parent = control
            .tenants()
            .by_token(announcement.token)
            .ok_or_else(gone)?;
        let tenant = control
            .fork(parent, child, &announcement.inherited)
            .ok_or_else(gone)?;
        let answer = JoinAnswer {
            version: TAS_JOIN_VERSION,
            reserved: 0,
            token: control.token(tenant).unwrap_or_default(),
        };
        match send_with_fds(stream.as_fd(), answer.as_bytes(), &[]) {
            Ok(sent) if sent == size_of::<JoinAnswer>() => {
                self.apps.insert(tenant, App::new(stream));
                Ok(tenant)
            }
            _ => {
                control.leave(tenant);
                Err(io::ErrorKind::WriteZero.into())
            }
        }
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
            return Err(not_admitted(peer));
        }
        check_room(control)?;
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
        self.apps.insert(tenant, App::new(stream));
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

    /// Reads what an application has written, or some of it. False: it is gone, or broke the rules.
    pub fn read(&mut self, tenant: TenantId, control: &mut Control) -> bool {
        for _ in 0..AT_ONCE {
            let Some(app) = self.apps.get_mut(&tenant) else {
                return true;
            };
            let progress = match read_request(app) {
                Ok(Progress::Nothing) => return true,
                Ok(Progress::Gone) => return false,
                Ok(Progress::Request(request, event)) => {
                    app.open_context(tenant, request, event, control)
                }
                Ok(Progress::Plain(request)) => app.plain_request(tenant, request, control),
                Err(why) => Err(why),
            };
            if let Err(why) = progress {
                control.complain(tenant, why);
                return false;
            }
        }
        true
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

    /// What the application says or asks beside the steps.
    fn plain_request(
        &self,
        tenant: TenantId,
        request: UxsockRequest,
        control: &mut Control,
    ) -> Result<(), Refusal> {
        let mut response = UxsockResponse::new_zeroed();
        let known = match (request.rxq_len, request.txq_len) {
            (TAS_UXSOCK_DECLARE, TAS_UXSOCK_SOCKETS) => control.declare_sockets(tenant),
            (TAS_UXSOCK_DECLARE, _) => false,
            (TAS_UXSOCK_TOKEN, _) => match control.token(tenant) {
                Some(token) => {
                    response.app_out_off = token;
                    true
                }
                None => false,
            },
            (_, pid) => {
                control.set_process(tenant, pid);
                true
            }
        };
        response.status = u32::from(!known);
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
    /// Not for a context.
    Plain(UxsockRequest),
}

/// Reads until a request is complete. One descriptor belongs to one for a context, no more and no
/// less, and none to others.
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
        None if is_plain(&request) => Ok(Progress::Plain(request)),
        Some(event) => Ok(Progress::Request(request, event)),
        None => Err("sent a request without a descriptor"),
    }
}

/// A request that is not for a context.
fn is_plain(request: &UxsockRequest) -> bool {
    matches!(
        request.rxq_len,
        TAS_UXSOCK_DECLARE | TAS_UXSOCK_TOKEN | TAS_UXSOCK_PROCESS
    )
}
