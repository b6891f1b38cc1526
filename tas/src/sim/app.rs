//! An application: it does to its queues what libtas does.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tas_abi::appif::{
    AppinConnInfo, AppinMsg, AppoutAcceptConn, AppoutConnClose, AppoutConnMove, AppoutConnOpen,
    AppoutListenClose, AppoutListenOpen, AppoutMsg, KERNEL_APPOUT_CLOSE_RESET, KernelAppin,
    KernelAppout, UxsockQueue, UxsockRequest, UxsockResponse,
};
use tas_abi::memif::{Arx, ArxMsg, Atx, AtxMsg};
use tas_shm::{Arena, Consumer, EventFd, Producer, ShmOffset};
use zerocopy::FromBytes;

use super::conn::{Conn, ConnName, Place};
use crate::slow::Control;
use crate::types::TenantId;

/// Lengths of a context's queues, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Queues {
    /// Core → application.
    pub rx: u32,
    /// Application → core.
    pub tx: u32,
}

impl Default for Queues {
    fn default() -> Queues {
        Queues {
            rx: 32 * 512,
            tx: 16 * 512,
        }
    }
}

/// An application's word for a listener.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ListenerName(pub u64);

/// What an application learns from its queues.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A connection was opened.
    Opened(ConnName),
    /// A connection could not be opened: negative errno.
    OpenFailed(ConnName, i32),
    /// A listener was opened, or could not be.
    Listening(ListenerName, i32),
    /// A listener was closed, or could not be.
    ListenClosed(ListenerName, i32),
    /// A connection waits to be accepted.
    Newconn(ListenerName),
    /// A connection was accepted.
    Accepted(ConnName),
    /// A request to accept failed: negative errno.
    AcceptFailed(ConnName, i32),
    /// A connection has another context, or could not get it.
    Moved(ConnName, i32),
    /// A connection is gone; the status.
    Closed(ConnName, i32),
    /// Something of a connection changed: bytes came or went, or an end did.
    Updated(ConnName),
    /// The answer to a request for cores.
    Scaled(i32),
    /// A connection is used by this process, or could not be adopted.
    Adopted(ConnName, i32),
    /// Another process uses a connection.
    Taken(ConnName),
    /// How a connection is doing.
    Info(AppinConnInfo),
}

struct CoreQueues {
    events: Consumer<Arx>,
    bumps: Producer<Atx>,
}

struct Context {
    id: u16,
    requests: Producer<KernelAppout>,
    answers: Consumer<KernelAppin>,
    cores: Vec<CoreQueues>,
    /// Requests that found the queue full.
    waiting: VecDeque<KernelAppout>,
    /// Places of all its queues in the region, with their lengths.
    places: Vec<(u64, u32)>,
    _event: EventFd,
}

/// An application.
pub struct App {
    tenant: TenantId,
    pub(super) arena: Arc<Arena>,
    pub(super) base: ShmOffset,
    pub(super) len: u64,
    contexts: Vec<Context>,
    pub(super) conns: BTreeMap<ConnName, Conn>,
    pub(super) listeners: BTreeMap<ListenerName, u16>,
    pub(super) next_name: u64,
    /// The queues from the cores are not read while this is set.
    pub deaf: bool,
    /// Updates are posted to the core that last told of the connection; otherwise to the one that
    /// it began on.
    pub follows: bool,
}

impl App {
    pub(super) fn new(tenant: TenantId, arena: &Arc<Arena>, base: ShmOffset, len: u64) -> App {
        App {
            tenant,
            arena: Arc::clone(arena),
            base,
            len,
            contexts: Vec::new(),
            conns: BTreeMap::new(),
            listeners: BTreeMap::new(),
            next_name: 1,
            deaf: false,
            follows: true,
        }
    }

    pub(super) fn add_context(&mut self, control: &mut Control, queues: Queues) -> io::Result<()> {
        let event = EventFd::new()?;
        let request = UxsockRequest {
            rxq_len: queues.rx,
            txq_len: queues.tx,
        };
        let answer = control.open_context(self.tenant, request, &event);
        let refused = || io::Error::other("the service refused a context");
        let (head, pairs) = UxsockResponse::read_from_prefix(&answer).map_err(|_| refused())?;
        if head.status != 0 {
            return Err(refused());
        }
        let mut places = vec![
            (head.app_out_off, head.app_out_len),
            (head.app_in_off, head.app_in_len),
        ];
        let mut cores = Vec::new();
        for pair in pairs.chunks_exact(size_of::<UxsockQueue>()) {
            let pair = UxsockQueue::read_from_bytes(pair).map_err(|_| refused())?;
            places.push((pair.rxq_off, queues.rx));
            places.push((pair.txq_off, queues.tx));
            cores.push(CoreQueues {
                events: Arena::consumer(&self.arena, self.place(pair.rxq_off), queues.rx)
                    .map_err(io::Error::other)?,
                bumps: Arena::producer(&self.arena, self.place(pair.txq_off), queues.tx)
                    .map_err(io::Error::other)?,
            });
        }
        let requests = self.place(head.app_out_off);
        let answers = self.place(head.app_in_off);
        self.contexts.push(Context {
            id: head.flexnic_db_id,
            requests: Arena::producer(&self.arena, requests, head.app_out_len)
                .map_err(io::Error::other)?,
            answers: Arena::consumer(&self.arena, answers, head.app_in_len)
                .map_err(io::Error::other)?,
            cores,
            waiting: VecDeque::new(),
            places,
            _event: event,
        });
        Ok(())
    }

    /// Which application it is.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Bytes of its region.
    #[must_use]
    pub fn region_len(&self) -> u64 {
        self.len
    }

    /// Where the queues of a context lie in the region, and their lengths in bytes: requests,
    /// answers, then events and updates of each core.
    #[must_use]
    pub fn queue_places(&self, context: usize) -> &[(u64, u32)] {
        &self.contexts[context].places
    }

    /// Writes anything anywhere into its region.
    pub fn scribble(&self, offset: u64, bytes: &[u8]) {
        if offset.saturating_add(bytes.len() as u64) <= self.len {
            let _ = self.arena.write(self.place(offset), bytes);
        }
    }

    /// A connection.
    #[must_use]
    pub fn conn(&self, name: ConnName) -> Option<&Conn> {
        self.conns.get(&name)
    }

    /// All connections.
    pub fn conns(&self) -> impl Iterator<Item = (ConnName, &Conn)> {
        self.conns.iter().map(|(name, conn)| (*name, conn))
    }

    /// Opens a connection.
    pub fn open(&mut self, context: usize, ip: Ipv4Addr, port: u16) -> ConnName {
        let name = self.new_conn(context, 0, (ip, port));
        let request = AppoutConnOpen {
            opaque: name.0,
            remote_ip: ip.to_bits(),
            flags: 0,
            remote_port: port,
        };
        self.request(context, AppoutMsg::ConnOpen(request));
        name
    }

    /// Opens a listener.
    pub fn listen(&mut self, context: usize, port: u16, backlog: u32) -> ListenerName {
        let name = ListenerName(self.new_name());
        self.listeners.insert(name, port);
        let request = AppoutListenOpen {
            opaque: name.0,
            backlog,
            local_port: port,
            flags: 0,
        };
        self.request(context, AppoutMsg::ListenOpen(request));
        name
    }

    /// Closes a listener.
    pub fn listen_close(&mut self, context: usize, name: ListenerName) {
        let request = AppoutListenClose {
            opaque: name.0,
            local_port: self.listeners.get(&name).copied().unwrap_or(0),
        };
        self.request(context, AppoutMsg::ListenClose(request));
    }

    /// Asks for a connection of a listener.
    pub fn accept(&mut self, context: usize, listener: ListenerName) -> ConnName {
        let local_port = self.listeners.get(&listener).copied().unwrap_or(0);
        let nobody = (Ipv4Addr::UNSPECIFIED, 0);
        let name = self.new_conn(context, local_port, nobody);
        let request = AppoutAcceptConn {
            listen_opaque: listener.0,
            conn_opaque: name.0,
            local_port,
        };
        self.request(context, AppoutMsg::AcceptConn(request));
        name
    }

    /// Moves a connection to another context.
    pub fn move_to(&mut self, name: ConnName, context: usize) {
        let Some(conn) = self.conns.get_mut(&name) else {
            return;
        };
        conn.moving = true;
        let request = AppoutConnMove {
            opaque: name.0,
            remote_ip: conn.remote.0.to_bits(),
            local_ip: conn.local.0.to_bits(),
            remote_port: conn.remote.1,
            local_port: conn.local.1,
            db_id: self.contexts[context].id,
        };
        let from = conn.context;
        self.request(from, AppoutMsg::ConnMove(request));
    }

    /// Closes a connection.
    pub fn close(&mut self, name: ConnName, reset: bool) {
        let Some(conn) = self.conns.get(&name) else {
            return;
        };
        let request = AppoutConnClose {
            opaque: name.0,
            remote_ip: conn.remote.0.to_bits(),
            local_ip: conn.local.0.to_bits(),
            remote_port: conn.remote.1,
            local_port: conn.local.1,
            flags: if reset { KERNEL_APPOUT_CLOSE_RESET } else { 0 },
        };
        let context = conn.context;
        self.flush_conn(name);
        self.request(context, AppoutMsg::ConnClose(request));
    }

    /// Posts a request as it is; when the queue is full, later.
    pub fn request(&mut self, context: usize, request: AppoutMsg) {
        self.contexts[context].waiting.push_back(request.into());
        self.contexts[context].flush();
    }

    /// How many contexts it has.
    #[must_use]
    pub fn contexts(&self) -> usize {
        self.contexts.len()
    }

    /// Id of a context.
    #[must_use]
    pub fn context_id(&self, context: usize) -> u16 {
        self.contexts[context].id
    }

    /// Posts an update as it is; false when the queue is full.
    pub fn post(&mut self, context: usize, core: u16, update: AtxMsg) -> bool {
        let queues = self.contexts[context].cores.get_mut(usize::from(core));
        queues.is_some_and(|queues| queues.bumps.push(&update.into()).is_ok())
    }

    /// Queues bytes to send; as many as there is room for are taken.
    pub fn send(&mut self, name: ConnName, bytes: &[u8]) -> usize {
        let arena = Arc::clone(&self.arena);
        let taken = self
            .conns
            .get_mut(&name)
            .map_or(0, |conn| conn.write(&arena, bytes));
        self.flush_conn(name);
        taken
    }

    /// Reads up to `len` bytes.
    pub fn receive(&mut self, name: ConnName, len: usize) -> Vec<u8> {
        let arena = Arc::clone(&self.arena);
        let bytes = self
            .conns
            .get_mut(&name)
            .map_or(Vec::new(), |conn| conn.read(&arena, len));
        self.flush_conn(name);
        bytes
    }

    /// Ends our direction; false when there is no room for the FIN yet.
    pub fn shutdown(&mut self, name: ConnName) -> bool {
        let done = self.conns.get_mut(&name).is_some_and(Conn::close_tx);
        self.flush_conn(name);
        done
    }

    /// Posts what a connection has to tell through its context.
    pub fn flush_conn(&mut self, name: ConnName) -> bool {
        self.conns.get(&name).is_some_and(|conn| conn.open)
            && self.flush_through(name, self.conns[&name].context)
    }

    /// Posts what a connection has to tell through any context; false when nothing was posted.
    pub fn flush_through(&mut self, name: ConnName, context: usize) -> bool {
        let Some(conn) = self.conns.get_mut(&name) else {
            return false;
        };
        let Some(update) = conn.pending() else {
            return false;
        };
        let core = usize::from(conn.core);
        let posted = self.contexts[context]
            .cores
            .get_mut(core)
            .is_some_and(|queues| {
                let entry = AtxMsg::ConnUpdate(update).into();
                queues.bumps.push(&entry).is_ok()
            });
        if posted {
            conn.posted();
        }
        posted
    }

    /// Copies bytes into the transmit ring and counts them, without posting anything.
    pub fn write_only(&mut self, name: ConnName, bytes: &[u8]) -> usize {
        let arena = Arc::clone(&self.arena);
        self.conns
            .get_mut(&name)
            .map_or(0, |conn| conn.write(&arena, bytes))
    }

    /// Looks at all queues.
    pub fn poll(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for context in 0..self.contexts.len() {
            self.poll_context(context, &mut events);
        }
        let waiting: Vec<ConnName> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.open && conn.pending().is_some())
            .map(|(name, _)| *name)
            .collect();
        for name in waiting {
            self.flush_conn(name);
        }
        events
    }

    /// Looks at the queues of one context.
    pub fn poll_context(&mut self, context: usize, events: &mut Vec<Event>) {
        self.contexts[context].flush();
        while let Some(entry) = self.contexts[context].answers.pop() {
            if let Ok(answer) = AppinMsg::try_from(entry) {
                events.extend(self.answer(context, answer));
            }
        }
        if !self.deaf {
            self.poll_cores(context, events);
        }
    }

    /// Looks at the queues from the cores of one context.
    pub(super) fn poll_cores(&mut self, context: usize, events: &mut Vec<Event>) {
        for core in 0..self.contexts[context].cores.len() {
            while let Some(entry) = self.contexts[context].cores[core].events.pop() {
                let Ok(ArxMsg::ConnUpdate(news)) = ArxMsg::try_from(entry) else {
                    continue;
                };
                let name = ConnName(news.opaque);
                if let Some(conn) = self.conns.get_mut(&name) {
                    assert_eq!(conn.context, context, "on the connection's own context");
                    if self.follows {
                        conn.core = core as u16;
                    }
                    conn.update(&news);
                    events.push(Event::Updated(name));
                }
            }
        }
    }

    fn answer(&mut self, context: usize, answer: AppinMsg) -> Option<Event> {
        match answer {
            AppinMsg::ConnOpened(m) => {
                let name = ConnName(m.opaque);
                if m.status != 0 {
                    self.conns.remove(&name);
                    return Some(Event::OpenFailed(name, m.status));
                }
                let place = Place {
                    flow: m.flow_id,
                    core: m.fn_core,
                    rx: (self.place(m.rx_off), m.rx_len),
                    tx: (self.place(m.tx_off), m.tx_len),
                    local: (Ipv4Addr::from_bits(m.local_ip), m.local_port),
                    remote: (Ipv4Addr::UNSPECIFIED, 0),
                };
                self.conns.get_mut(&name)?.establish(&place);
                Some(Event::Opened(name))
            }
            AppinMsg::AcceptedConn(m) => {
                let name = ConnName(m.opaque);
                if m.status != 0 {
                    self.conns.remove(&name);
                    return Some(Event::AcceptFailed(name, m.status));
                }
                let place = Place {
                    flow: m.flow_id,
                    core: m.fn_core,
                    rx: (self.place(m.rx_off), m.rx_len),
                    tx: (self.place(m.tx_off), m.tx_len),
                    local: (Ipv4Addr::from_bits(m.local_ip), 0),
                    remote: (Ipv4Addr::from_bits(m.remote_ip), m.remote_port),
                };
                self.conns.get_mut(&name)?.establish(&place);
                Some(Event::Accepted(name))
            }
            AppinMsg::StatusConnClose(m) => {
                let name = ConnName(m.opaque);
                self.conns.remove(&name);
                Some(Event::Closed(name, m.status))
            }
            AppinMsg::StatusConnMove(m) => {
                let name = ConnName(m.opaque);
                if let Some(conn) = self.conns.get_mut(&name) {
                    conn.moving = false;
                    if m.status == 0 {
                        conn.context = context;
                    }
                }
                Some(Event::Moved(name, m.status))
            }
            AppinMsg::StatusListenOpen(m) => {
                Some(Event::Listening(ListenerName(m.opaque), m.status))
            }
            AppinMsg::StatusListenClose(m) => {
                Some(Event::ListenClosed(ListenerName(m.opaque), m.status))
            }
            AppinMsg::ListenNewconn(m) => Some(Event::Newconn(ListenerName(m.opaque))),
            AppinMsg::StatusReqScale(m) => Some(Event::Scaled(m.status)),
            AppinMsg::ConnInfo(m) => Some(Event::Info(m)),
            AppinMsg::ConnAdopted(m) => self.adopted(&m),
            AppinMsg::ConnTaken(m) => self.taken(ConnName(m.opaque)),
        }
    }

    fn new_name(&mut self) -> u64 {
        self.next_name += 1;
        self.next_name
    }

    pub(super) fn new_conn(
        &mut self,
        context: usize,
        port: u16,
        remote: (Ipv4Addr, u16),
    ) -> ConnName {
        let name = ConnName(self.new_name());
        let mut conn = Conn::new(context);
        conn.local.1 = port;
        conn.remote = remote;
        self.conns.insert(name, conn);
        name
    }

    pub(super) fn place(&self, offset: u64) -> ShmOffset {
        self.base.checked_add(offset).unwrap_or(self.base)
    }
}

impl Context {
    fn flush(&mut self) {
        while let Some(entry) = self.waiting.front() {
            if self.requests.push(entry).is_err() {
                break;
            }
            self.waiting.pop_front();
        }
    }
}
