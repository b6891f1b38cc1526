//! An application, its forks and its successors, that does to its memory what it likes.

use tas::sim::{App, Conn, ConnName, Event, Host};
use tas_abi::appif::{
    AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnInfo, AppoutConnMove,
    AppoutConnOpen, AppoutConnOpenFrom, AppoutConnOptions, AppoutListenClose, AppoutListenOpen,
    AppoutListenOpenAt, AppoutListenWatch, AppoutMsg, AppoutReqScale,
};
use tas_abi::memif::{AtxConnUpdate, AtxMsg};

use super::{CLIENT, PORT, SERVER};
use crate::bytes::Bytes;

/// Processes at a time.
const PROCESSES: usize = 3;
/// Contexts of each.
const CONTEXTS: usize = 2;
/// Where the attacker is.
const ATTACKER: [u8; 4] = [10, 0, 0, 3];

/// A process.
struct Process {
    app: App,
    /// It keeps to the rules so far, and so believes what its queues say.
    orderly: bool,
}

/// The processes of one user.
pub struct Hostile {
    processes: Vec<Process>,
}

fn attach(host: &mut Host) -> Option<Process> {
    let app = host.attach(CONTEXTS).ok()?;
    Some(Process { app, orderly: true })
}

/// A number that is most likely small, or beyond what there is.
fn number(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.u8() {
        0..=99 => 0,
        100..=179 => bytes.u8().into(),
        180..=219 => bytes.u16().into(),
        _ => bytes.u32(),
    }
}

fn address(bytes: &mut Bytes<'_>) -> u32 {
    match bytes.u8() % 8 {
        0 | 1 => u32::from_be_bytes(ATTACKER),
        2 => u32::from_be_bytes(SERVER),
        3 => u32::from_be_bytes(CLIENT),
        4 => 0,
        5 => u32::from_be_bytes([10, 0, 0, bytes.u8()]),
        _ => bytes.u32(),
    }
}

fn port(bytes: &mut Bytes<'_>) -> u16 {
    match bytes.u8() % 4 {
        0 => 99,
        1 => PORT,
        2 => bytes.u8().into(),
        _ => bytes.u16(),
    }
}

impl Hostile {
    /// Attaches.
    pub fn new(host: &mut Host) -> Hostile {
        Hostile {
            processes: attach(host).into_iter().collect(),
        }
    }

    /// Looks who was thrown out: its memory must not be touched any more.
    pub fn mind(&mut self, host: &mut Host) {
        let expelled = host.expelled();
        self.processes
            .retain(|process| !expelled.contains(&process.app.tenant()));
        if self.processes.is_empty() {
            self.processes.extend(attach(host));
        }
    }

    /// All end.
    pub fn leave(&mut self, host: &mut Host) {
        for process in self.processes.drain(..) {
            host.kill(process.app);
        }
    }

    /// One of them does something.
    pub fn act(&mut self, host: &mut Host, kind: u8, bytes: &mut Bytes<'_>) {
        self.mind(host);
        let how = bytes.u8();
        let which = usize::from(how >> 5);
        let Some(index) = which.checked_rem(self.processes.len()) else {
            return;
        };
        let process = &mut self.processes[index];
        let Some(context) = usize::from(how & 1).checked_rem(process.app.contexts()) else {
            return;
        };
        match kind {
            0 => process.scribble_queue(context, bytes),
            1 => process.scribble(bytes),
            2 => {
                process.orderly = false;
                let request = request(process, context, bytes);
                process.app.request(context, request);
            }
            3 => {
                process.orderly = false;
                let update = update(process, bytes);
                process.app.post(context, u16::from(how >> 1 & 1), update);
            }
            4..=6 => process.behave(context, bytes),
            _ => match bytes.u8() % 4 {
                0 => {
                    let process = self.processes.remove(index);
                    host.kill(process.app);
                }
                1 => {
                    if self.processes.len() < PROCESSES {
                        self.fork(host, index);
                    }
                }
                2 => {
                    if self.processes.len() < PROCESSES {
                        self.processes.extend(attach(host));
                    }
                }
                _ => process.app.deaf = !process.app.deaf,
            },
        }
    }

    fn fork(&mut self, host: &mut Host, index: usize) {
        let process = &mut self.processes[index];
        // Its queues hold what concerns the parent, so the child reads none of that.
        if let Ok(app) = host.fork(&process.app, 1) {
            let orderly = false;
            process.orderly = false;
            self.processes.push(Process { app, orderly });
        }
    }
}

impl Process {
    /// Writes into one of its queues, most likely a whole entry.
    fn scribble_queue(&mut self, context: usize, bytes: &mut Bytes<'_>) {
        self.orderly = false;
        let places = self.places(context);
        let which = usize::from(bytes.u8());
        let Some((offset, len)) = which.checked_rem(places.len()).map(|at| places[at]) else {
            return;
        };
        let at = match bytes.u8() % 4 {
            3 => u64::from(bytes.u32()),
            entry => u64::from(bytes.u8()) * (16 << entry),
        };
        let count = bytes.u8().into();
        self.app
            .scribble(offset + at % u64::from(len), bytes.take(count));
    }

    fn places(&self, context: usize) -> Vec<(u64, u32)> {
        if context < self.app.contexts() {
            self.app.queue_places(context).to_vec()
        } else {
            Vec::new()
        }
    }

    /// Writes anywhere.
    fn scribble(&mut self, bytes: &mut Bytes<'_>) {
        self.orderly = false;
        let offset = u64::from(bytes.u32()) % self.app.region_len();
        let count = bytes.u8().into();
        self.app.scribble(offset, bytes.take(count));
    }

    /// A connection that it has or had.
    fn conn(&self, which: u8) -> Option<(ConnName, &Conn)> {
        let conns: Vec<_> = self.app.conns().collect();
        let which = usize::from(which).checked_rem(conns.len())?;
        conns.get(which).copied()
    }

    /// Does as libraries do.
    fn behave(&mut self, context: usize, bytes: &mut Bytes<'_>) {
        if !self.orderly {
            return;
        }
        let context = context.min(self.app.contexts().saturating_sub(1));
        let how = bytes.u8();
        let name = self.conn(how >> 4).map(|(name, _)| name);
        match (how % 10, name) {
            (0, _) => {
                let ip = address(bytes).into();
                self.app.open(context, ip, port(bytes));
            }
            (1, _) => {
                let listener = self.app.listen(context, 99, 4);
                self.app.accept(context, listener);
            }
            (2, Some(name)) => {
                let chunk = vec![0x62; bytes.u16().into()];
                self.app.send(name, &chunk);
            }
            (3, Some(name)) => {
                self.app.receive(name, bytes.u16().into());
            }
            (4, Some(name)) => {
                self.app.shutdown(name);
            }
            (5, Some(name)) => {
                let settled = self
                    .app
                    .conn(name)
                    .is_some_and(|conn| conn.open && !conn.moving);
                if settled {
                    self.app.close(name, how & 0x10 == 0);
                }
            }
            (6, Some(name)) => {
                let settled = self
                    .app
                    .conn(name)
                    .is_some_and(|conn| conn.open && !conn.moving);
                if settled {
                    self.app.move_to(name, context);
                }
            }
            _ => {
                for event in self.app.poll() {
                    if let Event::Newconn(listener) = event {
                        self.app.accept(context, listener);
                    }
                }
            }
        }
    }
}

/// An update that most likely concerns a flow that it has.
fn update(process: &Process, bytes: &mut Bytes<'_>) -> AtxMsg {
    let how = bytes.u8();
    let conn = process.conn(how >> 4);
    let (flow, seq) = conn.map_or((0, 0), |(_, conn)| (conn.flow, conn.bump_seq));
    AtxMsg::ConnUpdate(AtxConnUpdate {
        rx_bump: number(bytes),
        tx_bump: number(bytes),
        flow_id: if how & 1 == 0 { flow } else { number(bytes) },
        bump_seq: seq.wrapping_add((number(bytes) & 0xffff) as u16),
        flags: how >> 2 & 3,
    })
}

/// A request that most likely concerns something that it has.
fn request(process: &Process, context: usize, bytes: &mut Bytes<'_>) -> AppoutMsg {
    let (kind, how) = (bytes.u8(), bytes.u8());
    let conn = process.conn(how >> 4).filter(|_| how & 1 == 0);
    let opaque = conn.map_or_else(|| u64::from(number(bytes)), |(name, _)| name.0);
    let (local, remote) = match conn {
        Some((_, conn)) => (
            (conn.local.0.to_bits(), conn.local.1),
            (conn.remote.0.to_bits(), conn.remote.1),
        ),
        None => ((address(bytes), port(bytes)), (address(bytes), port(bytes))),
    };
    let ((local_ip, local_port), (remote_ip, remote_port)) = (local, remote);
    let flow_id = conn.map_or_else(|| number(bytes), |(_, conn)| conn.flow);
    let flags = number(bytes);
    match kind % 14 {
        0 => AppoutMsg::ConnOpen(AppoutConnOpen {
            opaque,
            remote_ip,
            flags,
            remote_port,
        }),
        1 => AppoutMsg::ConnClose(AppoutConnClose {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
            flags,
        }),
        2 => AppoutMsg::ConnMove(AppoutConnMove {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
            db_id: match how & 2 {
                0 if process.app.contexts() > 0 => process.app.context_id(0),
                _ => number(bytes) as u16,
            },
        }),
        3 => AppoutMsg::ListenOpen(AppoutListenOpen {
            opaque,
            backlog: number(bytes),
            local_port: port(bytes),
            flags: flags as u8,
        }),
        4 => AppoutMsg::ListenClose(AppoutListenClose {
            opaque,
            local_port: port(bytes),
        }),
        5 => AppoutMsg::AcceptConn(AppoutAcceptConn {
            listen_opaque: number(bytes).into(),
            conn_opaque: opaque,
            local_port: port(bytes),
        }),
        6 => AppoutMsg::ReqScale(AppoutReqScale {
            num_cores: number(bytes),
        }),
        7 => AppoutMsg::ConnOpenFrom(AppoutConnOpenFrom {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
            rx_len: number(bytes),
            tx_len: number(bytes),
        }),
        8 => AppoutMsg::ListenOpenAt(AppoutListenOpenAt {
            opaque,
            local_ip,
            backlog: number(bytes),
            rx_len: number(bytes),
            tx_len: number(bytes),
            local_port: port(bytes),
            flags: flags as u8,
        }),
        9 => AppoutMsg::ConnOptions(AppoutConnOptions {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
            flags,
            keep_idle: number(bytes),
            keep_interval: number(bytes),
            keep_count: number(bytes),
            user_timeout: number(bytes),
        }),
        10 => AppoutMsg::ConnInfo(AppoutConnInfo {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
        }),
        11 => AppoutMsg::ListenWatch(AppoutListenWatch {
            opaque,
            local_port: port(bytes),
            on: how & 1,
        }),
        12 => AppoutMsg::AcceptNow(AppoutAcceptConn {
            listen_opaque: number(bytes).into(),
            conn_opaque: opaque.wrapping_add(context as u64),
            local_port: port(bytes),
        }),
        _ => AppoutMsg::ConnAdopt(AppoutConnAdopt {
            opaque,
            remote_ip,
            local_ip,
            remote_port,
            local_port,
            flow_id,
        }),
    }
}
