//! The slow path: one thread for everything that is not the data path.
//!
//! It serves the applications' sockets and requests, takes what the cores pass up, and runs TCP
//! control ([`tcp`]). When nothing is to do it blocks; whoever has something for it rings.

pub mod tcp;

mod access;
mod alloc;
mod apps;
mod contexts;
mod effects;
mod regions;
mod requests;
mod stats;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use tas_shm::sigbus::SigbusGuard;
use tas_shm::{OwnerToken, TscClock, rdtsc};

pub use access::Access;
pub use apps::Offer;
pub use effects::CoreLink;

use apps::Apps;
use contexts::Contexts;
use effects::{Effects, TenantRegions};
use regions::Regions;
pub use stats::Statistics;
use tcp::TcpControl;

use crate::fast::counters::CoreCounters;
use crate::link::{ToFast, ToSlow, Waker};
use crate::memory::{Memory, PollCycles};
use crate::types::{Micros, TenantId};

/// Messages of one core in one turn.
const MESSAGES: usize = 256;
/// Requests of applications in one turn.
const REQUESTS: usize = 256;
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
pub struct SlowParts<'a> {
    /// All memory.
    pub memory: &'a Memory,
    /// TCP control.
    pub tcp: TcpControl,
    /// The ends of the rings.
    pub cores: Vec<CoreLink>,
    /// The right to flow states.
    pub token: OwnerToken,
    /// What wakes this thread.
    pub waker: Arc<Waker>,
    /// What applications need to know.
    pub offer: Offer,
    /// Who may attach.
    pub access: Access,
    /// Serve the original's handshake.
    pub legacy: bool,
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
    tcp: TcpControl,
    effects: Effects,
    apps: Apps,
    epoll: rustix::fd::OwnedFd,
    waker: Arc<Waker>,
    cycles: PollCycles,
    counters: Vec<Arc<CoreCounters>>,
    statistics: Option<Statistics>,
    sigbus: SigbusGuard,
    internal: Arc<tas_shm::Mapping>,
    stopping: bool,
}

impl SlowPath {
    /// The slow path at rest; from here on applications can connect.
    pub fn new(parts: SlowParts<'_>) -> io::Result<SlowPath> {
        let memory = parts.memory;
        let effects = Effects {
            now: Micros(TscClock::global().now_us()),
            cores: parts.cores,
            contexts: Contexts::default(),
            regions: Regions::new(memory)?,
            tenants: TenantRegions::default(),
            flows: Arc::clone(&memory.flows),
            token: parts.token,
            table: Arc::clone(&memory.table),
        };
        let apps = Apps::new(parts.offer, parts.access, parts.legacy)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        watch(&epoll, parts.waker.event(), token::WAKER)?;
        for listener in apps.listeners() {
            watch(&epoll, listener, token::LISTENER)?;
        }
        Ok(SlowPath {
            tcp: parts.tcp,
            effects,
            apps,
            epoll,
            waker: parts.waker,
            cycles: parts.cycles,
            counters: parts.counters,
            statistics: parts.statistics,
            sigbus: parts.sigbus,
            internal: Arc::clone(&memory.internal),
            stopping: false,
        })
    }

    /// Runs until `signals` becomes readable, then stops the cores.
    pub fn run(mut self, signals: impl AsFd) -> io::Result<()> {
        watch(&self.epoll, signals, token::SIGNAL)?;
        self.tcp.start(&mut self.effects);
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
            let patience = if self.apps.has_legacy() {
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
        for core in &mut self.effects.cores {
            core.send(ToFast::Shutdown);
        }
        while self.flush_cores() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// One turn of the loop, without looking at descriptors. True when something was to do.
    fn turn(&mut self) -> bool {
        self.effects.now = Micros(TscClock::global().now_us());
        let mut worked = self.take_messages();
        worked |= self.take_requests(REQUESTS);
        if self.tcp.next_deadline() <= self.effects.now {
            self.tcp.poll_timers(&mut self.effects);
            worked = true;
        }
        worked |= self.effects.contexts.flush();
        worked |= self.flush_cores();
        self.reclaim();
        self.expel_vanished();
        self.report();
        worked
    }

    fn take_messages(&mut self) -> bool {
        let mut worked = false;
        for index in 0..self.effects.cores.len() {
            for _ in 0..MESSAGES {
                let Some(core) = self.effects.cores.get_mut(index) else {
                    break;
                };
                let Ok(message) = core.from_fast.pop() else {
                    break;
                };
                self.message(message);
                worked = true;
            }
        }
        worked
    }

    fn message(&mut self, message: ToSlow) {
        let effects = &mut self.effects;
        match message {
            ToSlow::Frame(core, frame) => self.tcp.on_frame(effects, core, &frame),
            ToSlow::Ended(flow, ended) => self.tcp.on_ended(effects, flow, ended),
            ToSlow::Detached(flow) => self.tcp.on_detached(effects, flow),
            ToSlow::Released(flow) => self.tcp.on_released(effects, flow),
            ToSlow::Moved(flow, link) => self.tcp.on_moved(effects, flow, link),
            ToSlow::ContextRemoved(_, context) => {
                self.apps.context_removed(context, effects);
                self.hide_context(context);
            }
            ToSlow::Misbehaved(context, why) => {
                if let Some(context) = effects.contexts.get(context) {
                    self.apps.complain(context.tenant, why);
                }
            }
        }
    }

    fn flush_cores(&mut self) -> bool {
        self.effects
            .cores
            .iter_mut()
            .map(CoreLink::flush)
            .fold(false, |any, waits| any | waits)
    }

    fn reclaim(&mut self) {
        let tcp = &self.tcp;
        self.apps
            .reclaim(&mut self.effects, |tenant| tcp.tenant_idle(tenant));
    }

    /// Drops the applications that took pages away from under the service.
    fn expel_vanished(&mut self) {
        let places: Vec<_> = self.sigbus.drain().map(|(place, _)| place).collect();
        for place in places {
            let Some(region) = self.effects.regions.at(place) else {
                continue;
            };
            for tenant in self.effects.tenants.of_region(region) {
                self.apps
                    .complain(tenant, "took away memory that the service uses");
                if region != regions::RegionId::Legacy {
                    self.drop_app(tenant);
                }
            }
        }
    }

    fn report(&mut self) {
        if let Some(statistics) = &mut self.statistics {
            statistics.tick(self.effects.now, &self.counters);
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
        let blind = self.cycles.tas == u64::MAX && !self.apps.is_empty();
        let longest = if blind { BLIND_SLEEP } else { LONGEST_SLEEP };
        let now = self.effects.now;
        let mut timeout = longest.min(Duration::from_micros(self.tcp.next_deadline().since(now).0));
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
        for tenant in self.apps.accept(&mut self.effects) {
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
        let before = self.apps.contexts(tenant).len();
        if self.apps.read(tenant, &mut self.effects) {
            for context in self
                .apps
                .contexts(tenant)
                .get(before..)
                .unwrap_or_default()
                .to_vec()
            {
                self.show_context(context);
            }
        } else {
            self.drop_app(tenant);
        }
    }

    /// An application is gone or must go.
    fn drop_app(&mut self, tenant: TenantId) {
        if let Some(app) = self.apps.get(tenant) {
            // It goes from the set by itself when it is closed; until then nobody should look.
            let _ = epoll::delete(&self.epoll, app.fd());
        }
        self.tcp.tenant_gone(&mut self.effects, tenant);
        self.apps.leave(tenant, &mut self.effects);
    }
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
