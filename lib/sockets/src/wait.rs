//! How a thread waits: it polls the contexts concerned for the service's
//! interval, then sleeps until one of them, another thread, a descriptor of the
//! kernel's or a signal wakes it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tas_ll::service;
use tas_shm::rdtsc;

use crate::engine::{self, HomeId};
use crate::ffi::cancel;
use crate::ffi::signals::{self, SignalSet};
use crate::pool::Pool;
use crate::{Result, sys};

/// Steps before others may have the CPU: what comes back to back is waited for.
const PATIENCE: u32 = 3;
/// Cycles of the time stamp counter, some tens of microseconds, between two
/// looks at the kernel's descriptors and at signals. Not a number of steps: each
/// may let others have the CPU for milliseconds.
pub const UNASKED: u64 = 100_000;

/// All waiters.
static WAITERS: Pool<Waiter> = Pool::new();

/// Awake.
const AWAKE: u8 = 0;
/// Something changed since it last looked.
const TOLD: u8 = 1;
/// About to sleep, or asleep: its eventfd must be written to.
const ASLEEP: u8 = 2;

/// A thread that may wait.
pub struct Waiter {
    state: AtomicU8,
    /// -1 until the thread first sleeps.
    event: AtomicI32,
}

impl Default for Waiter {
    fn default() -> Waiter {
        Waiter {
            state: AtomicU8::new(AWAKE),
            event: AtomicI32::new(-1),
        }
    }
}

impl Waiter {
    /// What the thread waits for may have come.
    pub fn tell(&self) {
        if self.state.swap(TOLD, Ordering::AcqRel) == ASLEEP {
            sys::signal_event(self.event.load(Ordering::Acquire));
        }
    }

    /// The eventfd, made at first use.
    fn event(&self) -> Result<i32> {
        let fd = self.event.load(Ordering::Acquire);
        if fd >= 0 {
            return Ok(fd);
        }
        let fd = sys::new_event()?;
        self.event.store(fd, Ordering::Release);
        Ok(fd)
    }
}

/// The thread's waiter, given back when the thread ends.
struct Mine(Option<(u32, &'static Waiter)>);

impl Drop for Mine {
    fn drop(&mut self) {
        if let Some((number, _)) = self.0 {
            WAITERS.give_back(number);
        }
    }
}

thread_local! {
    static MINE: RefCell<Mine> = const { RefCell::new(Mine(None)) };
}

/// The calling thread's waiter.
///
/// # Errors
/// `ENOMEM` when the thread is about to end.
pub fn waiter() -> Result<&'static Waiter> {
    let mine = MINE.try_with(|mine| {
        let mut mine = mine.borrow_mut();
        if mine.0.is_none() {
            mine.0 = WAITERS.take();
        }
        mine.0.map(|(_, waiter)| waiter)
    });
    mine.ok().flatten().ok_or(Errno::NOMEM)
}

/// Forgets the descriptors that the parent's threads had. In a child made by
/// fork, in which only one thread is left.
pub fn after_fork() {
    for waiter in WAITERS.all() {
        let fd = waiter.event.swap(-1, Ordering::AcqRel);
        if fd >= 0 {
            sys::close(fd);
        }
        waiter.state.store(AWAKE, Ordering::Release);
    }
}

/// What a signal does to a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSignal {
    /// The call goes on after handlers installed with SA_RESTART (signal(7)).
    Restart,
    /// The call ends with `EINTR`.
    Interrupt,
}

/// When a wait ends without success.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// It does not wait.
    Now,
    /// At a time.
    Time(Instant),
    /// Never.
    Forever,
}

impl Until {
    /// After a time, `None` for never.
    pub fn after(timeout: Option<Duration>) -> Until {
        match timeout {
            None => Until::Forever,
            Some(Duration::ZERO) => Until::Now,
            // A time that cannot be represented does not come.
            Some(time) => Instant::now()
                .checked_add(time)
                .map_or(Until::Forever, Until::Time),
        }
    }

    /// Whether the time has come.
    pub fn passed(self) -> bool {
        match self {
            Until::Now => true,
            Until::Time(time) => Instant::now() >= time,
            Until::Forever => false,
        }
    }

    fn left(self) -> Option<Duration> {
        match self {
            Until::Now => Some(Duration::ZERO),
            Until::Time(time) => Some(time.saturating_duration_since(Instant::now())),
            Until::Forever => None,
        }
    }
}

/// A wait of one call: the thread polls first, later sleeps. Handlers of signals
/// do not run in it.
pub struct Wait {
    waiter: &'static Waiter,
    /// When it ends at the latest.
    until: Until,
    on_signal: OnSignal,
    steps: u32,
    /// When the kernel was asked, by the time stamp counter.
    asked: u64,
}

/// How a step of waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woke {
    /// Look again.
    Look,
    /// Look again, also at the kernel's descriptors.
    Descriptor,
}

impl Wait {
    /// Begins a wait. `mask` is the signal mask while it lasts, instead of the
    /// thread's, as `ppoll` and its like have one.
    ///
    /// # Errors
    /// `ENOMEM` when the thread is about to end.
    pub fn new(until: Until, on_signal: OnSignal, mask: Option<SignalSet>) -> Result<Wait> {
        let waiter = waiter()?;
        if mask.is_some() {
            // Even a call that does not wait lets signals in (pselect(2)).
            signals::hold(mask);
        }
        Ok(Wait {
            waiter,
            until,
            on_signal,
            steps: 0,
            asked: rdtsc(),
        })
    }

    /// What others tell when something changes. Register it before [`step`](Self::step).
    pub fn waiter(&self) -> &'static Waiter {
        self.waiter
    }

    /// One step: returns at once, so that the caller polls again, while a
    /// context may not be slept on yet; else sleeps. The caller has registered
    /// the waiter with what it waits for, and has looked at that since, having
    /// polled the contexts.
    ///
    /// `fds` are descriptors of the kernel's, as poll(2) takes them.
    ///
    /// # Errors
    /// `ETIME` when the time is over, `EINTR` or [`RESTART`] for a signal,
    /// `ECANCELED` when the thread ends, `ECONNRESET` when the service is gone.
    ///
    /// [`RESTART`]: crate::ffi::call::RESTART
    pub fn step(&mut self, homes: &[HomeId], fds: &mut [libc::pollfd]) -> Result<Woke> {
        if signals::has_deferred() {
            signals::hold(None);
            signals::check(self.on_signal)?;
        }
        if self.until.passed() {
            signals::check(self.on_signal)?;
            return Err(Errno::TIME);
        }
        self.steps = self.steps.saturating_add(1);
        for home in homes {
            match engine::may_sleep(*home) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return self.look(fds),
                Err(error) => return Err(error),
            }
        }
        self.sleep(homes, fds)
    }

    /// Without sleeping. A look at what the kernel has to tell costs as much as
    /// many polls of a context.
    fn look(&mut self, fds: &mut [libc::pollfd]) -> Result<Woke> {
        if self.steps > PATIENCE {
            tas_ll::wait::let_others_run();
        }
        if rdtsc().wrapping_sub(self.asked) < UNASKED {
            return Ok(Woke::Look);
        }
        self.asked = rdtsc();
        if !signals::are_noticed() {
            // A signal before this is as good as one before the call.
            signals::hold(None);
        }
        signals::check(self.on_signal)?;
        cancel::check()?;
        if !fds.is_empty() && sys::poll_now(fds) {
            return Ok(Woke::Descriptor);
        }
        Ok(Woke::Look)
    }

    fn sleep(&mut self, homes: &[HomeId], fds: &mut [libc::pollfd]) -> Result<Woke> {
        signals::hold(None);
        signals::check(self.on_signal)?;
        let own = self.waiter.event()?;
        let state = &self.waiter.state;
        if state
            .compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire)
            .is_err()
        {
            state.store(AWAKE, Ordering::Release);
            return Ok(Woke::Look);
        }
        let mut all: Vec<libc::pollfd> = Vec::with_capacity(fds.len() + homes.len() + 3);
        all.extend_from_slice(fds);
        all.push(pollfd(own, libc::POLLIN));
        let served = service::check_alive().is_ok();
        let service = if served { service::socket() } else { -1 };
        all.push(pollfd(service, libc::POLLRDHUP));
        for home in homes {
            engine::fall_asleep(*home);
            all.push(pollfd(engine::event_of(*home).unwrap_or(-1), libc::POLLIN));
        }
        let most = homes.iter().filter_map(|home| engine::longest_sleep(*home));
        let left = self.until.left().into_iter().chain(most).min();
        let slept = tas_ll::wait::asleep(|| signals::sleep(&mut all, left));
        for home in homes {
            engine::wake_up(*home);
        }
        if state.swap(AWAKE, Ordering::AcqRel) == TOLD {
            sys::drain_event(own);
        }
        slept?;
        let ended = libc::POLLHUP | libc::POLLERR | libc::POLLRDHUP;
        let socket = all.get(fds.len() + 1);
        if socket.is_some_and(|socket| socket.revents & ended != 0) {
            service::lost();
            return Err(Errno::CONNRESET);
        }
        let mut woke = Woke::Look;
        for (fd, seen) in fds.iter_mut().zip(&all) {
            fd.revents = seen.revents;
            if fd.revents != 0 {
                woke = Woke::Descriptor;
            }
        }
        if woke == Woke::Look {
            signals::check(self.on_signal)?;
        }
        Ok(woke)
    }
}

/// What poll(2) takes.
pub fn pollfd(fd: i32, events: i16) -> libc::pollfd {
    libc::pollfd {
        fd,
        events,
        revents: 0,
    }
}
