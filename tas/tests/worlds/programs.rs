//! Programs: they have connections, and behave as their plans say.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::Ipv4Addr;

use smoltcp::iface::SocketHandle;
use tas::nic::sim::Random;
use tas::sim::{App, ConnName, Event, HostIndex, ListenerName, World};
use tas::types::Micros;
use tas_abi::appif::{AppoutConnOptions, AppoutMsg, AppoutReqScale, TAS_CONN_KEEPALIVE};

use crate::other::Other;
use crate::plan;
use crate::talk::{Outcome, Phase, Side, Socket, View};

pub enum Program {
    Ours(Box<OurProgram>),
    Other(OtherProgram),
    Dead,
}

/// A session, and 0 for its client, 1 for its server.
type End = (usize, usize);

/// An application of our service.
pub struct OurProgram {
    app: App,
    host: HostIndex,
    contexts: usize,
    polls_every: Micros,
    polled: Micros,
    /// Something may wait in its queues.
    due: bool,
    conns: BTreeMap<ConnName, End>,
    listeners: HashMap<ListenerName, usize>,
}

/// A connection of our service's.
struct OurConn<'a> {
    app: &'a mut App,
    name: ConnName,
}

impl Socket for OurConn<'_> {
    fn view(&self) -> View {
        match self.app.conn(self.name) {
            Some(conn) => View {
                readable: conn.readable as usize,
                writable: conn.writable as usize,
                ended: conn.rx_closed && !conn.reset,
                reset: conn.reset,
                timed_out: conn.timed_out,
                acknowledged: conn.all_acknowledged(),
            },
            None => panic!("connection {:?} went without being closed", self.name),
        }
    }

    fn read(&mut self, most: usize) -> Vec<u8> {
        self.app.receive(self.name, most)
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.app.send(self.name, bytes)
    }

    fn shutdown(&mut self) -> bool {
        self.app.shutdown(self.name)
    }

    fn close(&mut self) -> bool {
        // What the core was not told of would not be sent.
        let told = self
            .app
            .conn(self.name)
            .is_none_or(|conn| conn.all_posted());
        if told {
            self.app.close(self.name, false);
        }
        told
    }

    fn reset(&mut self) {
        self.app.close(self.name, true);
    }
}

impl OurProgram {
    /// # Errors
    /// The service refuses it.
    pub fn start(
        world: &mut World,
        host: HostIndex,
        plan: &plan::Program,
    ) -> io::Result<OurProgram> {
        let service = world.host(host);
        let app = service.attach_with(plan.contexts, plan.queues)?;
        if plan.sockets {
            service.control.declare_sockets(app.tenant());
        }
        Ok(OurProgram {
            app,
            host,
            contexts: plan.contexts,
            polls_every: plan.polls_every,
            polled: Micros(0),
            due: true,
            conns: BTreeMap::new(),
            listeners: HashMap::new(),
        })
    }

    pub fn listen(&mut self, session: usize, port: u16) {
        let context = session % self.contexts;
        let listener = self.app.listen(context, port, 4);
        self.listeners.insert(listener, session);
    }

    pub fn open(&mut self, session: usize, to: (Ipv4Addr, u16)) {
        let context = session % self.contexts;
        let name = self.app.open(context, to.0, to.1);
        self.conns.insert(name, (session, 0));
        self.due = true;
    }

    pub fn scale(&mut self, cores: u32) {
        let request = AppoutReqScale { num_cores: cores };
        self.app.request(0, AppoutMsg::ReqScale(request));
    }

    /// It is gone from one moment to the next.
    pub fn die(self, world: &mut World) {
        world.host(self.host).kill(self.app);
    }

    pub fn abort(&mut self, session: usize, end: usize) {
        let ours = self.conns.iter().find(|(_, at)| **at == (session, end));
        if let Some(name) = ours.map(|(name, _)| *name) {
            self.app.close(name, true);
        }
    }

    /// Both ends of each open connection.
    pub fn addresses(
        &self,
    ) -> impl Iterator<Item = (usize, usize, (Ipv4Addr, u16), (Ipv4Addr, u16))> {
        self.conns.iter().filter_map(|(name, (session, end))| {
            let conn = self.app.conn(*name).filter(|conn| conn.open)?;
            Some((*session, *end, conn.local, conn.remote))
        })
    }

    pub fn wakes(&self) -> Option<Micros> {
        self.due.then(|| self.polled + self.polls_every)
    }

    /// Looks at the queues, if it is time, and lets each side do what it wants.
    ///
    /// # Errors
    /// A side got what it should not.
    pub fn poll(
        &mut self,
        sides: &mut [[Side; 2]],
        now: Micros,
        worked: bool,
        random: &mut Random,
    ) -> Result<bool, String> {
        self.due |= worked;
        if self.polls_every > Micros(0) && now < self.polled + self.polls_every {
            return Ok(false);
        }
        self.polled = now;
        self.due = false;
        let events = self.app.poll();
        let mut worked = !events.is_empty();
        for event in events {
            self.take(event, sides, now)?;
        }
        for (name, (session, end)) in &self.conns {
            let side = &mut sides[*session][*end];
            let mut conn = OurConn {
                app: &mut self.app,
                name: *name,
            };
            if side.phase != Phase::Open {
                continue;
            }
            worked |= side
                .poll(&mut conn, now, random)
                .map_err(|error| format!("session {session}, side {end}: {error}"))?;
            let moving = self.app.conn(*name).is_none_or(|conn| conn.moving);
            if side.wants_to_move(now, random) && !moving {
                let context = random.below(self.contexts as u64) as usize;
                self.app.move_to(*name, context);
            }
        }
        Ok(worked)
    }

    fn take(&mut self, event: Event, sides: &mut [[Side; 2]], now: Micros) -> Result<(), String> {
        match event {
            Event::Listening(name, 0) => {
                let session = self.listeners[&name];
                let accepted = self.app.accept(session % self.contexts, name);
                self.conns.insert(accepted, (session, 1));
            }
            Event::Listening(_, status) => return Err(format!("listening: {status}")),
            Event::Opened(name) | Event::Accepted(name) => {
                if let Some((session, end)) = self.conns.get(&name).copied() {
                    let side = &mut sides[session][end];
                    if side.phase == Phase::Waiting {
                        side.open(now);
                        self.set_options(name, side);
                    }
                }
            }
            Event::OpenFailed(name, status) => {
                if let Some((session, end)) = self.conns.remove(&name) {
                    sides[session][end].over(Outcome::Refused(status), now);
                    // Nobody will come to the other.
                    let other = &mut sides[session][1 - end];
                    if other.phase == Phase::Waiting {
                        other.over(Outcome::Refused(status), now);
                    }
                }
            }
            Event::AcceptFailed(_, status) => return Err(format!("accepting: {status}")),
            Event::Closed(name, status) => {
                let Some((session, end)) = self.conns.remove(&name) else {
                    return Err("closed twice".to_owned());
                };
                match sides[session][end].phase {
                    Phase::Closing(outcome) if status == 0 => {
                        sides[session][end].over(outcome, now);
                    }
                    Phase::Over(_) => {}
                    phase => return Err(format!("closed, {status}, while {phase:?}")),
                }
            }
            Event::Moved(_, status) | Event::Scaled(status) if status != 0 => {
                return Err(format!("{event:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn set_options(&mut self, name: ConnName, side: &Side) {
        let Some(conn) = self.app.conn(name) else {
            return;
        };
        let (keepalive, user_timeout) = (side.plan.keepalive, side.plan.user_timeout);
        let context = conn.context;
        if keepalive || user_timeout > 0 {
            let options = AppoutConnOptions {
                opaque: name.0,
                remote_ip: conn.remote.0.to_bits(),
                local_ip: conn.local.0.to_bits(),
                remote_port: conn.remote.1,
                local_port: conn.local.1,
                flags: if keepalive { TAS_CONN_KEEPALIVE } else { 0 },
                keep_idle: 1,
                keep_interval: 1,
                keep_count: 9,
                user_timeout,
            };
            self.app.request(context, AppoutMsg::ConnOptions(options));
        }
    }

    pub fn describe(&self) -> String {
        let conns = self.app.conns().filter(|(_, conn)| conn.open);
        conns.fold(String::new(), |text, (name, conn)| {
            let whose = self.conns.get(&name);
            text + &format!("{name:?} {whose:?} {conn:?}\n")
        })
    }
}

/// The sockets of a program on smoltcp.
pub struct OtherProgram {
    pub host: usize,
    conns: BTreeMap<End, SocketHandle>,
}

impl OtherProgram {
    pub fn new(host: usize) -> OtherProgram {
        OtherProgram {
            host,
            conns: BTreeMap::new(),
        }
    }

    pub fn add(&mut self, session: usize, end: usize, handle: SocketHandle) {
        self.conns.insert((session, end), handle);
    }

    pub fn abort(&mut self, host: &mut Other, session: usize, end: usize) {
        if let Some(handle) = self.conns.get(&(session, end)) {
            host.conn(*handle).reset();
        }
    }

    pub fn abort_all(&self, host: &mut Other) {
        for handle in self.conns.values() {
            host.conn(*handle).reset();
        }
    }

    /// Lets each side do what it wants.
    ///
    /// # Errors
    /// A side got what it should not.
    pub fn poll(
        &mut self,
        host: &mut Other,
        sides: &mut [[Side; 2]],
        now: Micros,
        random: &mut Random,
    ) -> Result<bool, String> {
        let mut worked = false;
        for ((session, end), handle) in &self.conns {
            let mut conn = host.conn(*handle);
            let side = &mut sides[*session][*end];
            match side.phase {
                Phase::Waiting if conn.is_up() => side.open(now),
                Phase::Waiting if conn.is_closed() => {
                    side.over(Outcome::Refused(0), now);
                    let other = &mut sides[*session][1 - *end];
                    if other.phase == Phase::Waiting {
                        other.over(Outcome::Refused(0), now);
                    }
                }
                Phase::Open => {
                    worked |= side
                        .poll(&mut conn, now, random)
                        .map_err(|error| format!("session {session}, side {end}: {error}"))?;
                }
                Phase::Closing(outcome) if conn.is_done() => side.over(outcome, now),
                _ => {}
            }
        }
        Ok(worked)
    }
}
