//! The loop of a core, and its sleep.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tas_shm::{GrudgingYielder, Slices, TscClock, rdtsc};

use super::Core;
use super::alarm::{Fault, PortAlarm, Woken};
use crate::nic::NicQueue;
use crate::rest;
use crate::types::Micros;

/// Shortest and longest sleep of a core whose port cannot wake it.
const BLIND_SLEEPS: [Micros; 2] = [Micros(100), Micros::from_millis(5)];
/// Longest sleep of all: an application with a library of its own may have rung too early.
const LONGEST_SLEEP: Micros = Micros::from_millis(100);
/// Longest sleep while something waits for an application.
const WAITING_SLEEP: Micros = Micros::from_millis(1);
/// Time without work after which the core takes note of who has rung, or half its poll interval: who
/// rang for what the core has found by polling has done so by then.
const RINGS_COME: Micros = Micros(100);
/// Others that have the CPU for so long do not only poll in turn with the core: what comes
/// meanwhile waits for the CPU.
const KEPT_AWAY: Micros = Micros(500);

/// A time without work.
struct Rest {
    /// When it began, by the cycle counter.
    since: u64,
    /// Who had rung by then has been heard.
    heard: bool,
}

impl<Q: NicQueue> Core<Q> {
    /// Runs until the slow path says to stop.
    pub fn run(mut self) {
        rest::sleep_precisely();
        let clock = TscClock::global();
        self.look_for_groups();
        let mut rest: Option<Rest> = None;
        // When the turn before began, if it was one with something to do.
        let mut working_since: Option<u64> = None;
        let mut yielder = GrudgingYielder::new();
        let mut slices = Slices::new();
        let kept_away = KEPT_AWAY.0.saturating_mul(clock.cycles_per_us());
        let rings_come = RINGS_COME.0.saturating_mul(clock.cycles_per_us());
        // Times with something to do since the last sleep, as far as two.
        let mut times: u8 = 0;
        // Cycles for which others had the CPU since the turn before.
        let mut away = 0;
        while !self.stopping {
            let start = rdtsc();
            if let Some(since) = working_since.take() {
                self.counters.busy_cycles.add(start.wrapping_sub(since));
            }
            if self.turn(Micros(clock.us_at(start))) {
                if away >= kept_away {
                    self.counters.kept_away_cycles.add(away);
                }
                away = 0;
                if times < 2 && (rest.is_some() || times == 0) {
                    times += 1;
                    if times == 2 {
                        yielder.answered();
                    }
                }
                rest = None;
                working_since = Some(start);
                continue;
            }
            let cycles = rdtsc();
            let Rest { since, heard } = rest.get_or_insert(Rest {
                since: cycles,
                heard: false,
            });
            let without_work = cycles.wrapping_sub(*since);
            let interval = self.poll_cycle();
            if interval < without_work {
                slices.shorten();
                if self.sleep(clock, Micros(without_work / clock.cycles_per_us())) {
                    rest = None;
                }
                yielder.woken();
                times = 0;
                away = 0;
                continue;
            }
            if !*heard && rings_come.min(interval / 2) < without_work {
                *heard = true;
                // Found only before the sleep, it would put that off by a whole interval.
                if self.waker.event().drain() {
                    *since = rdtsc();
                }
            }
            away = yielder.idle_after(|| slices.restore());
        }
        self.nic.disarm();
        self.slow.flush();
    }

    /// Cycles without work after which the core blocks. One that is off does so at once, even if
    /// those that are on never do: nobody has anything for it but updates that were posted here
    /// before their flows left, and those wait.
    fn poll_cycle(&self) -> u64 {
        let never = self.shared.idle.poll_cycle == u64::MAX;
        if never && self.rests() {
            0
        } else {
            self.shared.idle.poll_cycle
        }
    }

    /// Blocks until there may be something to do, after `idle` without. True when the time without
    /// work starts anew, because somebody rang, or a last look found work: those who ring count on
    /// being polled for so long after.
    fn sleep(&mut self, clock: &TscClock, idle: Micros) -> bool {
        self.waker.announce();
        let armed = self.nic.arm();
        if self.turn(Micros(clock.now_us())) {
            self.nic.disarm();
            self.waker.awake();
            return true;
        }
        let port_wakes = armed && self.port_alarm.works() && !self.nic.wait_fds().is_empty();
        let wakes = port_wakes || !self.nic.receives();
        let apps_ring = self.shared.idle.poll_cycle != u64::MAX;
        // What has waited for room for so long, on a port without a link for instance, may wait
        // a little longer.
        let longest = match (wakes || self.rests()) && !self.backlogged() {
            true if self.waits_for_apps() || !apps_ring => WAITING_SLEEP,
            true => LONGEST_SLEEP,
            false => {
                let [shortest, longest] = BLIND_SLEEPS;
                rest::blind_sleep(idle, shortest, longest)
            }
        };
        let timeout = match self.next_deadline() {
            Some(next) => longest.min(next.since(Micros(clock.now_us()))),
            None => longest,
        };
        let before = clock.now_us();
        let woken = self.block(timeout, port_wakes);
        self.nic.disarm();
        self.waker.awake();
        // A bell beside a frame is heard later: the frame is not kept waiting for it.
        let rung = woken != Woken::Port && self.waker.event().drain();
        let now = Micros(clock.now_us());
        let worked = port_wakes && self.check_alarm(now, now.since(Micros(before)), woken);
        rung || worked
    }

    /// Looks whether the port should have ended a sleep that it did not end. True when there was
    /// something to do.
    fn check_alarm(&mut self, now: Micros, asleep: Micros, woken: Woken) -> bool {
        let before = self.counters.rx_frames.get();
        let worked = PortAlarm::doubts(asleep, woken) && self.turn(now);
        let frames = self.counters.rx_frames.get() != before;
        let id = self.id;
        match self.port_alarm.slept(asleep, woken, frames) {
            Some(Fault::Gone) => {
                log::warn!("the port's interface is down or gone; core {id} polls it");
            }
            Some(Fault::Silent) => {
                log::warn!("the port's receive interrupts do not come; core {id} looks by timer");
            }
            None => {}
        }
        worked
    }

    fn block(&mut self, timeout: Micros, port_wakes: bool) -> Woken {
        let event = PollFd::new(self.waker.event(), PollFlags::IN);
        let mut fds = vec![event];
        if port_wakes {
            fds.extend(
                self.nic
                    .wait_fds()
                    .iter()
                    .map(|fd| PollFd::new(fd, PollFlags::IN)),
            );
        }
        self.counters.sleeps.add(1);
        if let Ok(timeout) = Timespec::try_from(Duration::from_micros(timeout.0)) {
            // An error only means that the sleep is over.
            let _ = poll(&mut fds, Some(&timeout));
        }
        let failed = |fd: &PollFd<'_>| {
            let events = fd.revents();
            !events.is_empty() && !events.contains(PollFlags::IN)
        };
        let ready = |fd: &PollFd<'_>| fd.revents().contains(PollFlags::IN);
        let (bell, port) = fds.split_at(1);
        if port.iter().any(failed) {
            Woken::Failure
        } else if port.iter().any(ready) {
            Woken::Port
        } else if bell.iter().any(ready) {
            Woken::Bell
        } else {
            Woken::Timer
        }
    }
}
