//! A side of a connection: it behaves as planned, and checks what it gets.

use tas::nic::sim::Random;
use tas::sim::Stream;
use tas::types::Micros;

use crate::plan::{Finish, SidePlan};

/// What a program sees of its connection.
#[derive(Clone, Copy, Debug)]
pub struct View {
    pub readable: usize,
    pub writable: usize,
    /// The peer's direction has ended; what was not read yet still can be.
    pub ended: bool,
    pub reset: bool,
    pub timed_out: bool,
    /// All that was sent is acknowledged.
    pub acknowledged: bool,
}

/// A connection of any stack.
pub trait Socket {
    fn view(&self) -> View;
    fn read(&mut self, most: usize) -> Vec<u8>;
    fn write(&mut self, bytes: &[u8]) -> usize;
    /// Ends our direction; false: not possible yet.
    fn shutdown(&mut self) -> bool;
    /// Lets go; false: not possible yet.
    fn close(&mut self) -> bool;
    fn reset(&mut self);
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As planned.
    Done,
    /// The peer reset it, or seemed dead.
    Reset,
    TimedOut,
    /// It could not be opened: negative errno.
    Refused(i32),
    /// Its program died.
    Died,
    /// It was still open when the world ended.
    GivenUp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It is not there yet.
    Waiting,
    Open,
    /// The program has let go.
    Closing(Outcome),
    Over(Outcome),
}

/// A side of a connection.
pub struct Side {
    pub plan: SidePlan,
    pub phase: Phase,
    sent: Stream,
    received: Stream,
    shut: bool,
    /// All that was sent is acknowledged, when it was last looked at.
    pub settled: bool,
    /// Bytes received when the peer's end was seen.
    pub ended_at: Option<u64>,
    reads_at: Micros,
    writes_at: Micros,
    /// When something last happened.
    pub progress: Micros,
    moves_at: Micros,
}

impl Side {
    /// `keys` are those of what it sends and of what it gets.
    pub fn new(plan: SidePlan, keys: (u64, u64)) -> Side {
        Side {
            plan,
            phase: Phase::Waiting,
            sent: Stream::new(keys.0),
            received: Stream::new(keys.1),
            shut: false,
            settled: true,
            ended_at: None,
            reads_at: Micros(0),
            writes_at: Micros(0),
            progress: Micros(0),
            moves_at: Micros(0),
        }
    }

    pub fn sent(&self) -> u64 {
        self.sent.position()
    }

    pub fn received(&self) -> u64 {
        self.received.position()
    }

    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// The connection is there.
    pub fn open(&mut self, now: Micros) {
        self.phase = Phase::Open;
        self.reads_at = now + self.plan.deaf_for;
        self.writes_at = now;
        self.progress = now;
    }

    /// It is gone, or never was.
    pub fn over(&mut self, outcome: Outcome, now: Micros) {
        self.phase = Phase::Over(outcome);
        self.progress = now;
    }

    /// When it does something by itself.
    pub fn wakes(&self) -> Option<Micros> {
        (self.phase == Phase::Open).then(|| self.reads_at.max(self.writes_at))
    }

    /// Whether it is time for another context.
    pub fn wants_to_move(&mut self, now: Micros, random: &mut Random) -> bool {
        let due = self.plan.moves && self.phase == Phase::Open && now >= self.moves_at;
        if due {
            self.moves_at = now + Micros(random.between(50, 5000));
        }
        due
    }

    /// Does what there is to do. True when it did something.
    ///
    /// # Errors
    /// Says what is wrong with what it got.
    pub fn poll(
        &mut self,
        socket: &mut impl Socket,
        now: Micros,
        random: &mut Random,
    ) -> Result<bool, String> {
        if self.phase != Phase::Open {
            return Ok(false);
        }
        let view = socket.view();
        self.settled = view.acknowledged;
        if view.reset || view.timed_out {
            let outcome = if view.timed_out {
                Outcome::TimedOut
            } else {
                Outcome::Reset
            };
            // What has arrived before still counts.
            let rest = socket.read(view.readable);
            self.received.check(&rest)?;
            socket.reset();
            self.let_go(outcome, now);
            return Ok(true);
        }
        let mut worked = self.read(socket, view, now, random)?;
        worked |= self.write(socket, now, random);
        worked |= self.finish(socket);
        if worked {
            self.progress = now;
        }
        Ok(worked)
    }

    fn let_go(&mut self, outcome: Outcome, now: Micros) {
        self.phase = Phase::Closing(outcome);
        self.progress = now;
    }

    fn read(
        &mut self,
        socket: &mut impl Socket,
        view: View,
        now: Micros,
        random: &mut Random,
    ) -> Result<bool, String> {
        if view.readable == 0 && view.ended && self.ended_at.is_none() {
            self.ended_at = Some(self.received());
            return Ok(true);
        }
        if view.readable == 0 || now < self.reads_at {
            return Ok(false);
        }
        let (most, pause) = self.plan.read;
        let bytes = socket.read(random.between(1, most as u64) as usize);
        self.received.check(&bytes)?;
        self.reads_at = now + Micros(random.below(pause.0 + 1));
        Ok(!bytes.is_empty())
    }

    fn write(&mut self, socket: &mut impl Socket, now: Micros, random: &mut Random) -> bool {
        let left = self.plan.total - self.sent();
        let writable = socket.view().writable;
        if left == 0 || self.shut || writable == 0 || now < self.writes_at {
            return false;
        }
        let (most, pause) = self.plan.write;
        let len = random.between(1, left.min(most as u64)) as usize;
        let written = socket.write(&self.sent.peek(len.min(writable)));
        self.sent.advance(written);
        self.writes_at = now + Micros(random.below(pause.0 + 1));
        written > 0
    }

    fn finish(&mut self, socket: &mut impl Socket) -> bool {
        let now = self.progress;
        let closed = match self.plan.finish {
            Finish::CloseAfter(bytes) if self.sent() >= bytes => socket.close(),
            Finish::ResetAfter(bytes) if self.sent() >= bytes => {
                socket.reset();
                true
            }
            Finish::CloseAfter(_) | Finish::ResetAfter(_) => return false,
            Finish::Orderly | Finish::Hasty => {
                if !self.shut && self.sent() == self.plan.total {
                    self.shut = socket.shutdown();
                    return self.shut;
                }
                let hasty = self.plan.finish == Finish::Hasty;
                if !self.shut || self.ended_at.is_none() || !(hasty || socket.view().acknowledged) {
                    return false;
                }
                socket.close()
            }
        };
        if closed {
            self.let_go(Outcome::Done, now);
        }
        closed
    }
}
