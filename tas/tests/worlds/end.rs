//! How a world ends: what must have happened by then, and what may be left.

use tas::nic::sim::Path;
use tas::types::Micros;

use crate::plan::Finish;
use crate::programs::Program;
use crate::run::{Host, Run};
use crate::talk::{Outcome, Phase};

impl Run {
    /// Whatever was to arrive has.
    pub(super) fn check_outcomes(&self) -> Result<(), String> {
        for (index, sides) in self.sides.iter().enumerate() {
            for (side, peer) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
                let fail = |what: &str| Err(format!("session {index}: {what}"));
                if side.received() > peer.sent() {
                    return fail("more received than sent");
                }
                let graceful = match peer.plan.finish {
                    Finish::ResetAfter(_) => false,
                    _ => !matches!(peer.phase, Phase::Over(Outcome::Died | Outcome::GivenUp)),
                };
                if graceful && side.ended_at.is_some_and(|at| at != peer.sent()) {
                    return fail("the end came before the last byte");
                }
                if self.is_clean(index) && !self.stuck.contains(&index) {
                    if side.received() != peer.plan.total {
                        return fail("not everything arrived");
                    }
                    // RFC 9293 §3.10.7.1: the last ACK can be lost, and the peer gone when the FIN
                    // comes again.
                    let done = Phase::Over(Outcome::Done);
                    let reset = Phase::Over(Outcome::Reset);
                    if side.phase != done && !(side.phase == reset && peer.phase == done) {
                        return fail("ended otherwise than planned");
                    }
                }
            }
        }
        Ok(())
    }

    /// Ends everything, and looks at what is left.
    pub(super) fn end(&mut self) -> Result<(), String> {
        for (index, plan) in self.plan.hosts.iter_mut().enumerate() {
            plan.partition = None;
            let port = match &mut self.hosts[index] {
                Host::Ours(host) => self.world.host(*host).port(),
                Host::Other(other) => other.port,
            };
            self.world.network.set_path(port, Path::default());
        }
        for index in 0..self.programs.len() {
            match std::mem::replace(&mut self.programs[index], Program::Dead) {
                Program::Ours(ours) => ours.die(&mut self.world),
                Program::Other(program) => {
                    if let Host::Other(other) = &mut self.hosts[program.host] {
                        program.abort_all(other);
                    }
                }
                Program::Dead => {}
            }
        }
        for seconds in [2, 20, 200, 1000] {
            let until = self.world.now() + Micros::from_millis(seconds * 1000);
            while self.world.now() < until {
                self.step_towards(until)?;
            }
            if self.check_empty().is_ok() {
                break;
            }
        }
        self.check_empty()
    }

    /// A turn without programs.
    fn step_towards(&mut self, until: Micros) -> Result<(), String> {
        let now = self.world.now();
        let mut worked = self.world.turn();
        worked |= self.turn_others(now);
        self.look()?;
        let others = self.hosts.iter().filter_map(|host| match host {
            Host::Other(other) => other.wakes(),
            Host::Ours(_) => None,
        });
        let next = others.filter(|at| *at > now).min().unwrap_or(until);
        self.world.pass(worked, next.min(until));
        Ok(())
    }

    /// Nothing is left of connections, contexts and memory.
    fn check_empty(&mut self) -> Result<(), String> {
        let network = self.world.network.clone();
        for (index, host) in self.hosts.iter().enumerate() {
            let Host::Ours(host) = host else {
                continue;
            };
            let host = self.world.host(*host);
            let fail = |what: String| format!("host {index}: {what}");
            host.check_empty().map_err(fail)?;
            let waiting = host.counts().time_wait;
            let tenants = host.control.tenants().len();
            if waiting > 0 || tenants > 0 {
                return Err(fail(format!("{waiting} in TIME-WAIT, {tenants} programs")));
            }
            let all = self.plan.hosts[index].port().buffers;
            let left = network.buffers(host.port());
            // Each core may keep one ready.
            if left + host.counters().len() < all {
                return Err(fail(format!("{} of {all} buffers", left)));
            }
        }
        Ok(())
    }

    pub(super) fn describe(&mut self) -> String {
        let mut text = format!("{:#?}\n", self.plan);
        for (index, sides) in self.sides.iter().enumerate() {
            for side in sides {
                text += &format!(
                    "session {index}: {:?}, {} sent, {} received, end at {:?}, last at {}\n",
                    side.phase,
                    side.sent(),
                    side.received(),
                    side.ended_at,
                    side.progress.0.saturating_sub(self.begin.0),
                );
            }
        }
        for program in &self.programs {
            if let Program::Ours(program) = program {
                text += &program.describe();
            }
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let Host::Ours(host) = host else {
                continue;
            };
            let host = self.world.host(*host);
            text += &format!("host {index}: {:?}\n", host.counts());
            for core in host.counters() {
                let counted: Vec<_> = core.each().filter(|(_, count)| *count > 0).collect();
                text += &format!("{counted:?}\n");
            }
        }
        text
    }
}
