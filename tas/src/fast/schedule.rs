//! Which flows a core looks at next: timers, acknowledgements due, news to report, sending.

use std::collections::VecDeque;

use super::slot::AppState;
use super::wheel::Wheel;
use crate::types::{FlowId, Micros};

/// TCP's timers tick every 64 µs, an eighth of the shortest of them.
const TIMER_TICK_SHIFT: u32 = 6;
/// Pacing ticks every microsecond.
const PACE_TICK_SHIFT: u32 = 0;

/// A core's lists of flows. A flow is in each at most once, by marks in its own state.
pub struct Schedule {
    /// TCP's timers.
    pub timers: Wheel,
    /// Flows whose rate makes them wait.
    pub paced: Wheel,
    /// Flows that may send now, in turn.
    pub ready: VecDeque<FlowId>,
    /// Flows that owe an acknowledgement at the end of the batch.
    pub acks: VecDeque<FlowId>,
    /// Flows with news for their application.
    pub notices: Vec<FlowId>,
}

impl Schedule {
    /// Empty lists for flow ids below `flows`.
    pub fn new(flows: u32, now: Micros) -> Schedule {
        Schedule {
            timers: Wheel::new(flows, TIMER_TICK_SHIFT, now),
            paced: Wheel::new(flows, PACE_TICK_SHIFT, now),
            ready: VecDeque::new(),
            acks: VecDeque::new(),
            notices: Vec::new(),
        }
    }

    /// Sends an acknowledgement for the flow at the end of the batch.
    #[inline]
    pub fn ack(&mut self, flow: FlowId, app: &mut AppState) {
        if !app.ack_queued {
            app.ack_queued = true;
            self.acks.push_back(flow);
        }
    }

    /// Tells the application at the end of the batch.
    #[inline]
    pub fn notice(&mut self, flow: FlowId, app: &mut AppState) {
        if !app.notice_queued {
            app.notice_queued = true;
            self.notices.push(flow);
        }
    }

    /// Gives the flow its turn to send.
    #[inline]
    pub fn send(&mut self, flow: FlowId, app: &mut AppState) {
        if !app.send_queued {
            app.send_queued = true;
            self.ready.push_back(flow);
        }
    }

    /// A flow that has something to send would be the next to get its turn.
    #[inline]
    pub fn goes_next(&self, app: &AppState) -> bool {
        !app.send_queued && self.ready.is_empty()
    }

    /// Makes a flow's timers run out at `deadline`, and not before.
    #[inline]
    pub fn arm(&mut self, flow: FlowId, app: &mut AppState, deadline: Micros) {
        app.deadline = deadline;
        // The wheel looks at the flow before: that is early enough to see that it is put off.
        let early_enough = app.armed != Micros(0) && app.armed <= deadline;
        if !early_enough && deadline != Micros::NEVER {
            self.arm_wheel(flow, app, deadline);
        }
    }

    fn arm_wheel(&mut self, flow: FlowId, app: &mut AppState, deadline: Micros) {
        if app.armed != Micros(0) {
            self.timers.cancel(flow.0);
        }
        app.armed = deadline;
        self.timers.arm(flow.0, deadline);
    }

    /// Forgets the timers of a flow. Its places in the lists are skipped when their turn comes.
    pub fn forget(&mut self, flow: FlowId, app: &mut AppState) {
        app.armed = Micros(0);
        self.timers.cancel(flow.0);
        self.paced.cancel(flow.0);
    }

    /// Takes the flows for which `keep` does not hold off the lists.
    pub fn retain(&mut self, keep: impl Fn(&FlowId) -> bool) {
        self.ready.retain(&keep);
        self.acks.retain(&keep);
        self.notices.retain(&keep);
    }

    /// Moves the flows whose pace admits them to the ready list.
    pub fn release_paced(&mut self, now: Micros) {
        let ready = &mut self.ready;
        self.paced.advance(now, |id| ready.push_back(FlowId(id)));
    }

    /// Something is to be done without waiting for anybody.
    pub fn busy(&self) -> bool {
        !self.ready.is_empty() || !self.acks.is_empty() || !self.notices.is_empty()
    }

    /// When the next timer may run out.
    pub fn next(&self) -> Option<Micros> {
        [self.timers.next(), self.paced.next()]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    fn due(schedule: &mut Schedule, now: u64) -> Vec<u32> {
        let mut due = Vec::new();
        schedule.timers.advance(Micros(now), |id| due.push(id));
        due
    }

    #[test]
    fn a_timer_is_moved_up_when_it_is_due_earlier() {
        let mut schedule = Schedule::new(4, Micros(0));
        let mut app = AppState::new_zeroed();
        schedule.arm(FlowId(2), &mut app, Micros(1_000_000));
        schedule.arm(FlowId(2), &mut app, Micros(500));
        assert_eq!(due(&mut schedule, 1000), [2]);
    }

    /// Most deadlines move back before they come: the wheel looks once, and is told then.
    #[test]
    fn a_timer_that_is_due_later_is_left_where_it_is() {
        let mut schedule = Schedule::new(4, Micros(0));
        let mut app = AppState::new_zeroed();
        schedule.arm(FlowId(2), &mut app, Micros(500));
        schedule.arm(FlowId(2), &mut app, Micros(1_000_000));
        assert_eq!((app.armed, app.deadline), (Micros(500), Micros(1_000_000)));
        assert_eq!(due(&mut schedule, 1000), [2]);
    }
}
