//! The sockets on which applications attach: any bytes and any descriptors on any of them, from
//! several visitors at a time.

use std::fs::File;
use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use tas::config::Config;
use tas::sim::{App, Event, HostConf, HostIndex, World};
use tas::slow::{Access, Apps, Arrival, Door, JoiningId, Listeners, Offer};
use tas::types::{Micros, TenantId};
use tas_abi::appif::{
    JoinRequest, TAS_JOIN_VERSION, TAS_UXSOCK_DECLARE, TAS_UXSOCK_PROCESS, TAS_UXSOCK_SOCKETS,
    TAS_UXSOCK_TOKEN, UxsockHello, UxsockRequest, UxsockResponse,
};
use tas_shm::EventFd;
use tas_shm::fdpass::send_with_fds;
use zerocopy::{FromBytes, IntoBytes};

use crate::bytes::Bytes;

/// Most steps.
const STEPS: usize = 200;
/// Most visitors at a time.
const VISITORS: usize = 6;
/// How long everything may take to come to rest, in virtual time.
const REST: Micros = Micros::from_millis(10_000);

/// The input is what visitors do, one after the other.
///
/// # Panics
/// The service does, keeps what nobody uses any more, or turns away who behaves.
pub fn run(data: &[u8]) {
    let before = descriptors();
    let mut service = Service::new().expect("the system makes a service");
    let mut bytes = Bytes::new(data);
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        service.step(&mut bytes);
    }
    service.end();
    assert_eq!(descriptors(), before, "descriptors are left");
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// Where a visitor has come to.
enum Inside {
    App(TenantId),
    Joining(JoiningId),
    /// It was sent away.
    Away,
}

struct Visitor {
    stream: UnixStream,
    inside: Inside,
}

struct Service {
    world: World,
    host: HostIndex,
    apps: Apps,
    visitors: Vec<Visitor>,
    /// Somebody who behaves, and is there all the time.
    neighbour: App,
}

fn access() -> Access {
    static ACCESS: OnceLock<Access> = OnceLock::new();
    let make = || Access::new(&Config::parse_from(["tas", "--ip-addr=10.0.0.1"]).unwrap());
    ACCESS.get_or_init(make).clone()
}

impl Service {
    fn new() -> io::Result<Service> {
        let mut world = World::new(0);
        let conf = HostConf {
            legacy: true,
            flows: 64,
            ..HostConf::new([10, 0, 0, 1])
        }
        .with("--nic-rx-len=256")
        .with("--nic-tx-len=256");
        let host = world.add(conf)?;
        let neighbour = world.host(host).attach(1)?;
        let offer = Offer {
            slow_event: EventFd::new()?,
            core_events: vec![EventFd::new()?],
            info: File::open("/dev/null")?.into(),
        };
        Ok(Service {
            world,
            host,
            apps: Apps::new(offer, access(), Listeners::default()),
            visitors: Vec::new(),
            neighbour,
        })
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        match bytes.u8() % 8 {
            0 => self.knock(match bytes.u8() % 4 {
                0 | 1 => Door::Own,
                2 => Door::Joining,
                _ => Door::Legacy,
            }),
            1 => {
                let visitor = bytes.u8();
                let len = bytes.u8().into();
                let (said, with) = (bytes.take(len), bytes.u8());
                self.say(visitor, said, with, 1);
            }
            2 => {
                let visitor = bytes.u8();
                let request = request(bytes);
                let (with, times) = (bytes.u8(), bytes.u8());
                self.say(visitor, request.as_bytes(), with, usize::from(times) + 1);
            }
            3 => {
                let visitor = bytes.u8();
                let announcement = self.announcement(bytes);
                self.say(visitor, &announcement, bytes.u8(), 1);
            }
            4 => self.hear(bytes.u8()),
            5 => self.go(bytes.u8(), bytes.u8()),
            _ => self.turn(),
        }
    }

    fn knock(&mut self, door: Door) {
        if self.visitors.len() >= VISITORS {
            return;
        }
        let Ok((stream, theirs)) = UnixStream::pair() else {
            return;
        };
        // Visitors of a fuzzer must not wait.
        let waits = stream.set_nonblocking(true);
        assert!(waits.is_ok());
        let control = &mut self.world.host(self.host).control;
        let inside = match self.apps.let_in(theirs, door, control) {
            Ok(Arrival::App(tenant)) => Inside::App(tenant),
            Ok(Arrival::Joining(id)) => Inside::Joining(id),
            Err(_) => Inside::Away,
        };
        self.visitors.push(Visitor { stream, inside });
    }

    fn visitor(&self, which: u8) -> Option<&Visitor> {
        self.visitors
            .get(usize::from(which) % self.visitors.len().max(1))
    }

    /// A visitor says something, with descriptors.
    fn say(&self, which: u8, said: &[u8], with: u8, times: usize) {
        let Some(visitor) = self.visitor(which) else {
            return;
        };
        for _ in 0..times {
            let given = gifts(with, &visitor.stream);
            let fds: Vec<_> = given.iter().map(AsFd::as_fd).collect();
            if send_with_fds(visitor.stream.as_fd(), said, &fds).is_err() {
                break;
            }
        }
    }

    /// A visitor reads what it was told.
    fn hear(&self, which: u8) {
        if let Some(mut stream) = self.visitor(which).map(|visitor| &visitor.stream) {
            let mut heard = [0; 4096];
            while stream.read(&mut heard).is_ok_and(|len| len > 0) {}
        }
    }

    /// A visitor goes, or says that it will say nothing more.
    fn go(&mut self, which: u8, how: u8) {
        let Some(visitor) = self.visitor(which) else {
            return;
        };
        let how = match how % 4 {
            0 => Shutdown::Write,
            1 => Shutdown::Read,
            _ => Shutdown::Both,
        };
        // It may be gone already.
        let _ = visitor.stream.shutdown(how);
    }

    /// What announces a child: of whom, and what it inherits.
    fn announcement(&mut self, bytes: &mut Bytes<'_>) -> Vec<u8> {
        let control = &mut self.world.host(self.host).control;
        let parent = bytes.u8();
        let parent = self.visitors.get(usize::from(parent) % VISITORS);
        let token = match parent.map(|visitor| &visitor.inside) {
            Some(Inside::App(tenant)) => control.token(*tenant),
            _ => None,
        };
        let (listeners, conns) = (bytes.u8() % 4, bytes.u8() % 4);
        let head = JoinRequest {
            version: TAS_JOIN_VERSION,
            listeners: listeners.into(),
            conns: conns.into(),
            reserved: bytes.u8().into(),
            token: token.unwrap_or(7),
        };
        let mut said = head.as_bytes().to_vec();
        let len = bytes.u8().into();
        said.extend_from_slice(bytes.take(len));
        said
    }

    /// The service looks at its sockets, and does what there is to do, as its loop does.
    fn turn(&mut self) {
        let control = &mut self.world.host(self.host).control;
        for visitor in &mut self.visitors {
            match visitor.inside {
                Inside::App(tenant) => {
                    if !self.apps.read(tenant, control) {
                        control.leave(tenant);
                        self.apps.remove(tenant);
                        visitor.inside = Inside::Away;
                    }
                }
                Inside::Joining(id) => {
                    visitor.inside = match self.apps.read_joining(id, control) {
                        Some(tenant) => Inside::App(tenant),
                        None if self.apps.get_joining(id).is_some() => Inside::Joining(id),
                        None => Inside::Away,
                    };
                }
                Inside::Away => {}
            }
        }
        for tenant in control.expelled() {
            self.apps.remove(tenant);
        }
        self.visitors
            .retain(|visitor| !matches!(visitor.inside, Inside::Away));
        self.world.turn();
        self.world.pass(true, Micros::NEVER);
    }

    /// Everybody goes, and nothing is left of them; who comes then is served.
    fn end(mut self) {
        for visitor in 0..self.visitors.len() {
            self.go(visitor as u8, 2);
        }
        // What was said before is read, a message at a time.
        while !self.visitors.is_empty() {
            self.turn();
        }
        self.world.rest(REST);
        assert_eq!(self.tenants(), 1, "applications are left");
        self.attach();
        self.greet_neighbour();
        let neighbour = self.neighbour;
        self.world.host(self.host).kill(neighbour);
        self.world.rest(REST);
        let host = self.world.host(self.host);
        assert_eq!(host.check_empty(), Ok(()));
        assert!(host.control.tenants().is_empty());
    }

    fn tenants(&mut self) -> usize {
        self.world.host(self.host).control.tenants().len()
    }

    /// Somebody attaches as it should be.
    fn attach(&mut self) {
        self.knock(Door::Own);
        let visitor = self.visitors.last().expect("there is room");
        assert!(matches!(visitor.inside, Inside::App(_)));
        let request = UxsockRequest {
            rxq_len: 16_384,
            txq_len: 8192,
        };
        let event = EventFd::new().expect("the system makes an eventfd");
        let sent = send_with_fds(visitor.stream.as_fd(), request.as_bytes(), &[event.as_fd()]);
        assert_eq!(sent.ok(), Some(size_of::<UxsockRequest>()));
        self.turn();
        let mut stream = &self.visitors[0].stream;
        let mut hello = [0; size_of::<UxsockHello>() + 1];
        assert!(stream.read_exact(&mut hello).is_ok());
        let mut answer = [0; 256];
        let len = stream.read(&mut answer).expect("an answer");
        let answer = UxsockResponse::read_from_prefix(&answer[..len]);
        assert!(answer.is_ok_and(|(answer, _)| answer.status == 0));
        self.go(0, 2);
        self.turn();
        self.world.rest(REST);
        assert_eq!(self.tenants(), 1);
    }

    fn greet_neighbour(&mut self) {
        self.neighbour.listen(0, 80, 1);
        self.world.rest(Micros::from_millis(1));
        let answers = self.neighbour.poll();
        assert!(
            matches!(answers[..], [Event::Listening(_, 0)]),
            "{answers:?}"
        );
    }
}

/// A request, most likely one that means something.
fn request(bytes: &mut Bytes<'_>) -> UxsockRequest {
    let mut number = || match bytes.u8() % 10 {
        0 => TAS_UXSOCK_DECLARE,
        1 => TAS_UXSOCK_TOKEN,
        2 => TAS_UXSOCK_PROCESS,
        3 => TAS_UXSOCK_SOCKETS,
        4 => 8192,
        5 => 16_384,
        6 => u32::from(bytes.u8()) << 6,
        7 => u32::from(bytes.u8()) << 19,
        _ => bytes.u32(),
    };
    UxsockRequest {
        rxq_len: number(),
        txq_len: number(),
    }
}

/// Descriptors to give.
fn gifts(kind: u8, stream: &UnixStream) -> Vec<OwnedFd> {
    let event = || EventFd::new().ok().map(OwnedFd::from);
    let null = || File::open("/dev/null").ok().map(OwnedFd::from);
    match kind % 8 {
        0 | 1 => Vec::new(),
        2..=4 => event().into_iter().collect(),
        5 => null().into_iter().collect(),
        6 => stream
            .try_clone()
            .ok()
            .map(OwnedFd::from)
            .into_iter()
            .collect(),
        _ => (0..kind / 8 + 2).filter_map(|_| event()).collect(),
    }
}
