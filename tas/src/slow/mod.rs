//! The slow path: one thread for everything that is not the data path.
//!
//! It serves the applications' sockets and requests, takes what the cores pass up, and runs TCP
//! control ([`tcp`]). When nothing is to do it blocks; whoever has something for it rings.

pub mod tcp;

mod access;
mod alloc;
mod apps;
mod contexts;
mod control;
mod effects;
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
use tas_shm::{TscClock, rdtsc};

pub use access::Access;
pub use apps::{ListenError, Listeners, Offer};
pub use control::{Control, ControlParts};
pub use effects::CoreLink;
pub use regions::Regions;
pub use scale::{Scaler, ScalerParts};
pub use stats::Statistics;
pub use tenants::{Newcomer, QueueConf, Tenants};

use apps::Apps;

use crate::fast::counters::CoreCounters;
use crate::link::Waker;
use crate::memory::PollCycles;
use crate::types::{Micros, TenantId};

/// Longest sleep while applications cannot ring, because the service said that it never sleeps.
const BLIND_SLEEP: Duration = Duration::from_micros(100);
/// Longest sleep of all.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// What an epoll event is about.
mod token {
    pub const WAKER: u64 = 0;
    pub const SIGNAL: u64 = 1;
    pub const LISTENER: u64 = 2;
    /// Tenants' tokens begin here.
    pub const TENANT: u64 = 16;
}

/// What the slow path is made of.
pub struct SlowParts {
    /// What does the work.
    pub control: Control,
    /// What wakes this thread.
    pub waker: Arc<Waker>,
    /// What applications need to know.
    pub offer: Offer,
    /// Who may attach.
    pub access: Access,
    /// Where applications come.
    pub listeners: Listeners,
    /// Poll intervals.
    pub cycles: PollCycles,
    /// The cores' counters.
    pub counters: Vec<Arc<CoreCounters>>,
    /// Periodic statistics, unless quiet.
    pub statistics: Option<Statistics>,
    /// Tells of applications whose memory vanished under the service.
    pub sigbus: SigbusGuard,
}

/// The slow path.
pub struct SlowPath {
    control: Control,
    apps: Apps,
    epoll: rustix::fd::OwnedFd,
    waker: Arc<Waker>,
    cycles: PollCycles,
    counters: Vec<Arc<CoreCounters>>,
    statistics: Option<Statistics>,
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
            cycles: parts.cycles,
            counters: parts.counters,
            statistics: parts.statistics,
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
        let mut idle_since: Option<u64> = None;
        while !self.stopping {
            if self.turn() {
                idle_since = None;
                self.wait(Duration::ZERO)?;
                continue;
            }
            let cycles = rdtsc();
            let since = *idle_since.get_or_insert(cycles);
            // Legacy libraries ring only when the poll interval has passed; ours ring always.
            let patience = if self.control.tenants().has_legacy() {
                self.cycles.tas
            } else {
                0
            };
            if cycles.wrapping_sub(since) < patience && self.cycles.tas != u64::MAX {
                self.wait(Duration::ZERO)?;
                std::thread::yield_now();
            } else if self.sleep()? {
                idle_since = None;
            }
        }
        Ok(())
    }

    /// One turn of the loop, without looking at descriptors. True when something was to do.
    fn turn(&mut self) -> bool {
        self.now = clock_now();
        let worked = self.control.turn(self.now);
        for (place, _) in self.sigbus.drain() {
            self.control.vanished(place);
        }
        for tenant in self.control.expelled() {
            self.close(tenant);
        }
        self.report();
        worked
    }

    fn report(&mut self) {
        if let Some(statistics) = &mut self.statistics {
            statistics.tick(self.now, &self.counters);
        }
    }

    /// Blocks until there may be something to do. True when somebody rang or a last look found
    /// work.
    fn sleep(&mut self) -> io::Result<bool> {
        self.waker.announce();
        if self.turn() {
            self.waker.awake();
            return Ok(true);
        }
        let blind = self.cycles.tas == u64::MAX && !self.control.tenants().is_empty();
        let longest = if blind { BLIND_SLEEP } else { LONGEST_SLEEP };
        let now = self.now;
        let deadline = self.control.next_deadline();
        let mut timeout = longest.min(Duration::from_micros(deadline.since(now).0));
        if let Some(statistics) = &self.statistics {
            timeout = timeout.min(Duration::from_micros(statistics.next().since(now).0));
        }
        let rung = self.wait(timeout)?;
        self.waker.awake();
        Ok(rung)
    }

    /// Looks at the descriptors, waiting for `timeout` at most. True when the waker was rung.
    fn wait(&mut self, timeout: Duration) -> io::Result<bool> {
        let mut events = Vec::with_capacity(64);
        let timeout = Timespec::try_from(timeout).ok();
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
                tenant => self.app_event(TenantId((tenant - token::TENANT) as u32)),
            }
        }
        Ok(rung)
    }

    fn take_apps(&mut self) {
        for tenant in self.apps.accept(&mut self.control) {
            let watched = match self.apps.get(tenant) {
                Some(app) => watch(&self.epoll, app.fd(), token::TENANT + u64::from(tenant.0)),
                None => Ok(()),
            };
            if watched.is_err() {
                self.drop_app(tenant);
            }
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
