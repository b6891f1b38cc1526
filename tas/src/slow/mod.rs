//! The slow path: one thread for everything that is not the data path.
//!
//! It serves the applications' sockets and requests, takes what the cores pass up, and runs TCP
//! control ([`tcp`]). When nothing is to do it blocks; whoever has something for it rings.

pub mod tcp;

mod access;
mod alloc;
mod apps;
mod complaints;
mod contexts;
mod control;
mod effects;
mod joining;
mod regions;
mod requests;
mod scale;
mod stats;
mod tenants;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use tas_shm::sigbus::SigbusGuard;
use tas_shm::{Placed, SleepSign, Slices, TscClock, Waker, Yielder};

pub use access::Access;
pub use apps::{Apps, Arrival, Door, JoiningId, ListenError, Listeners, Offer};
pub use control::{Control, ControlParts};
pub use effects::{CoreLink, FLOWS_AT_START};
pub use regions::Regions;
pub use scale::{Scaler, ScalerParts};
pub use stats::Statistics;
pub use tenants::{Newcomer, QueueConf, TENANTS_MAX, Tenants};

use crate::fast::counters::CoreCounters;
use crate::memory::PollCycles;
use crate::rest;
use crate::stats::Publisher;
use crate::types::{Micros, TenantId};

/// How long the slow path polls after work, since the next message of a handshake, or the next
/// connection, often comes soon, and a wake-up costs both sides more than that.
const LINGER: Micros = Micros(50);
/// How often descriptors are looked at while there is work.
const LOOK_INTERVAL: Micros = Micros(500);
/// A sleep shorter than this is not worth its timer.
const SHORTEST_SLEEP: Micros = Micros(50);
/// Longest sleep of all.
const LONGEST_SLEEP: Micros = Micros::from_millis(500);
/// Longest sleep while answers wait for an application to make room for them.
const WAITING_SLEEP: Micros = Micros::from_millis(10);
/// Shortest and longest sleep while there are applications that never ring, because the service
/// said that it never sleeps.
const BLIND_SLEEPS: [Micros; 2] = [Micros(50), Micros::from_millis(1)];

/// What an epoll event is about.
mod token {
    pub const WAKER: u64 = 0;
    pub const SIGNAL: u64 = 1;
    pub const LISTENER: u64 = 2;
    /// Tenants' tokens begin here.
    pub const TENANT: u64 = 16;
    /// Those of children that are being announced begin here.
    pub const JOINING: u64 = 1 << 48;
}

/// What the slow path is made of.
pub struct SlowParts {
    /// What does the work.
    pub control: Control,
    /// What wakes this thread.
    pub waker: Arc<Waker>,
    /// Tells applications when to wake it.
    pub sign: SleepSign,
    /// What applications need to know.
    pub offer: Offer,
    /// Who may attach.
    pub access: Access,
    /// Where applications come.
    pub listeners: Listeners,
    /// Poll intervals.
    pub cycles: PollCycles,
    /// The cores' counters.
    pub counters: Vec<Placed<CoreCounters>>,
    /// Periodic statistics, unless quiet.
    pub statistics: Option<Statistics>,
    /// Tells tools of connections and applications.
    pub publisher: Publisher,
    /// Tells of applications whose memory vanished under the service.
    pub sigbus: SigbusGuard,
}

/// The slow path.
pub struct SlowPath {
    control: Control,
    apps: Apps,
    epoll: rustix::fd::OwnedFd,
    waker: Arc<Waker>,
    sign: SleepSign,
    cycles: PollCycles,
    counters: Vec<Placed<CoreCounters>>,
    statistics: Option<Statistics>,
    publisher: Publisher,
    sigbus: SigbusGuard,
    /// The time of this turn.
    now: Micros,
    stopping: bool,
}

impl SlowPath {
    /// The slow path at rest.
    pub fn new(parts: SlowParts) -> io::Result<SlowPath> {
        let apps = Apps::new(parts.offer, parts.access, parts.listeners);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, parts.waker.event(), token::WAKER)?;
        for listener in apps.listeners() {
            watch(&epoll, listener, token::LISTENER)?;
        }
        Ok(SlowPath {
            control: parts.control,
            apps,
            epoll,
            waker: parts.waker,
            sign: parts.sign,
            cycles: parts.cycles,
            counters: parts.counters,
            statistics: parts.statistics,
            publisher: parts.publisher,
            sigbus: parts.sigbus,
            now: clock_now(),
            stopping: false,
        })
    }

    /// Runs until `signals` becomes readable, then stops the cores.
    pub fn run(mut self, signals: impl AsFd) -> io::Result<()> {
        let result = self.serve(signals);
        self.stop();
        result
    }

    /// Stops the cores.
    pub fn stop(mut self) {
        self.control.stop();
        while self.control.flush_cores() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn serve(&mut self, signals: impl AsFd) -> io::Result<()> {
        watch(&self.epoll, signals, token::SIGNAL)?;
        self.control.start(self.now);
        rest::sleep_precisely();
        let mut idle_since: Option<Micros> = None;
        let mut looked = self.now;
        let mut yielder = Yielder::new();
        let mut slices = Slices::new();
        while !self.stopping {
            let worked = self.turn()?;
            if self.now.since(looked) >= LOOK_INTERVAL {
                looked = self.now;
                self.wait(Micros(0))?;
            }
            if worked {
                idle_since = None;
                continue;
            }
            if self.control.backlogged() {
                idle_since = None;
                yielder.idle_after(|| slices.restore());
                continue;
            }
            let idle = self.now.since(*idle_since.get_or_insert(self.now));
            if idle < self.patience() || self.until_deadline() < SHORTEST_SLEEP {
                yielder.idle_after(|| slices.restore());
            } else {
                slices.shorten();
                if self.sleep(idle)? {
                    idle_since = None;
                }
            }
        }
        Ok(())
    }

    /// How long to poll without work before sleeping.
    fn patience(&self) -> Micros {
        if self.cycles.tas != u64::MAX && self.control.tenants().has_legacy() {
            // They do not ring for so long after they last rang.
            Micros(self.cycles.tas / TscClock::global().cycles_per_us() + 1)
        } else {
            LINGER
        }
    }

    /// How long until time alone gives something to do.
    fn until_deadline(&self) -> Micros {
        let control = self.control.next_deadline();
        let deadline = match &self.statistics {
            Some(statistics) => control.min(statistics.next()),
            None => control,
        };
        deadline.since(self.now)
    }

    /// One turn of the loop, without looking at descriptors unless it must. True when something was
    /// to do.
    fn turn(&mut self) -> io::Result<bool> {
        self.now = clock_now();
        let mut worked = self.control.begin_turn(self.now);
        if self.control.is_knocked_at() {
            // Who has ended listens no more, and the peer may know.
            self.wait(Micros(0))?;
        }
        worked |= self.control.finish_turn();
        for (place, _) in self.sigbus.drain() {
            self.control.vanished(place);
        }
        for tenant in self.control.expelled() {
            self.close(tenant);
        }
        self.report();
        self.publisher.tick(self.now, worked, &self.control);
        Ok(worked)
    }

    fn report(&mut self) {
        if let Some(statistics) = &mut self.statistics {
            statistics.tick(self.now, &self.counters);
        }
    }

    /// Blocks until there may be something to do, after `idle` without. True when somebody rang or
    /// a last look found work.
    fn sleep(&mut self, idle: Micros) -> io::Result<bool> {
        self.waker.announce();
        self.sign.announce();
        let over = if self.turn()? || self.control.backlogged() {
            true
        } else {
            self.wait(self.longest_sleep(idle).min(self.until_deadline()))?
        };
        self.sign.awake();
        self.waker.awake();
        Ok(over)
    }

    fn longest_sleep(&self, idle: Micros) -> Micros {
        if self.cycles.tas == u64::MAX && self.control.tenants().has_legacy() {
            let [shortest, longest] = BLIND_SLEEPS;
            rest::blind_sleep(idle, shortest, longest)
        } else if self.control.waits_for_apps() {
            WAITING_SLEEP
        } else {
            LONGEST_SLEEP
        }
    }

    /// Looks at the descriptors, waiting for `timeout` at most. True when the waker was rung.
    fn wait(&mut self, timeout: Micros) -> io::Result<bool> {
        let mut events = Vec::with_capacity(64);
        let timeout = Timespec::try_from(Duration::from_micros(timeout.0)).ok();
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut rung = false;
        for event in events {
            match event.data.u64() {
                token::WAKER => rung = self.waker.event().drain(),
                token::SIGNAL => self.stopping = true,
                token::LISTENER => self.take_apps(),
                joining if joining >= token::JOINING => {
                    self.joining_event(JoiningId(joining - token::JOINING));
                }
                tenant => self.app_event(TenantId((tenant - token::TENANT) as u32)),
            }
        }
        Ok(rung)
    }

    fn take_apps(&mut self) {
        for arrival in self.apps.accept(&mut self.control) {
            match arrival {
                Arrival::App(tenant) => self.watch_app(tenant),
                Arrival::Joining(id) => self.watch_joining(id),
            }
        }
    }

    fn watch_app(&mut self, tenant: TenantId) {
        let watched = match self.apps.get(tenant) {
            Some(app) => watch(&self.epoll, app.fd(), token::TENANT + u64::from(tenant.0)),
            None => Ok(()),
        };
        if watched.is_err() {
            self.drop_app(tenant);
        }
    }

    fn watch_joining(&mut self, id: JoiningId) {
        if let Some(fd) = self.apps.get_joining(id) {
            // Who is not watched is never heard, and gives way to others in time.
            let _ = watch(&self.epoll, fd, token::JOINING + id.0);
        }
        self.joining_event(id);
    }

    fn joining_event(&mut self, id: JoiningId) {
        if let Some(tenant) = self.apps.read_joining(id, &mut self.control) {
            if let Some(app) = self.apps.get(tenant) {
                let _ = epoll::delete(&self.epoll, app.fd());
            }
            self.watch_app(tenant);
        }
    }

    fn app_event(&mut self, tenant: TenantId) {
        if !self.apps.read(tenant, &mut self.control) {
            self.drop_app(tenant);
        }
    }

    /// An application is gone or must go.
    fn drop_app(&mut self, tenant: TenantId) {
        self.control.leave(tenant);
        self.close(tenant);
    }

    fn close(&mut self, tenant: TenantId) {
        if let Some(app) = self.apps.get(tenant) {
            // It goes from the set by itself when all its descriptors are closed; a child of the
            // application may hold one.
            let _ = epoll::delete(&self.epoll, app.fd());
        }
        self.apps.remove(tenant);
    }
}

fn clock_now() -> Micros {
    Micros(TscClock::global().now_us())
}

fn watch(epoll: &rustix::fd::OwnedFd, fd: impl AsFd, token: u64) -> io::Result<()> {
    let interest = epoll::EventFlags::IN | epoll::EventFlags::RDHUP;
    Ok(epoll::add(
        epoll,
        fd,
        epoll::EventData::new_u64(token),
        interest,
    )?)
}
