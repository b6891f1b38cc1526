//! Sending: flows take turns, as fast as their rates admit.

use tas_shm::ShmOffset;

use super::counters::CoreCounters;
use super::receive::BURSTS;
use super::schedule::Schedule;
use super::slot::FlowSlot;
use super::tx::{TxPath, TxRing};
use super::{Core, Flows, fetch};
use crate::nic::{BURST, NicQueue};
use crate::proto::{Flow, SegmentPlan, TcpParams};
use crate::types::{FlowId, Micros};
use tas_abi::memif::FlowSt;

/// Segments of one flow before the next flow's turn.
const QUANTUM: usize = 8;
/// Flows that get their turn before the core looks at the port again: more than updates of
/// applications can add meanwhile, or a backlog would never shrink.
const TURNS: usize = 128;
/// Flows ahead that are fetched while one has its turn, if so many wait.
const FLOWS_AHEAD: usize = 48;
/// Acknowledgements without data in one turn: as many as segments may arrive in it, or they would
/// come too late for the peers. Not more, or they would fill the queue of the port.
const ACKS: usize = BURSTS * BURST;
/// Flows ahead that are fetched while one is acknowledged.
const ACKS_AHEAD: usize = 4;
/// How far a rate-limited flow that was held up may catch up, in nanoseconds: a core that sleeps,
/// or shares its CPU, comes late.
const CATCH_UP: u64 = 200_000;
/// Slow flows may catch up by so many segments, which conventional TCP sends at once anyway
/// (RFC 6928), if they take no longer than [`CATCH_UP_MAX`].
const CATCH_UP_SEGMENTS: u64 = 10;
const CATCH_UP_MAX: u64 = 2_000_000;

/// How a flow's turn ended.
enum Turn {
    /// It has nothing more to send.
    Idle,
    /// It has more to send.
    More,
    /// It has more to send, but its rate makes it wait until then.
    Paced(Micros),
    /// The port takes no more frames.
    Blocked,
}

impl<Q: NicQueue> Core<Q> {
    /// Lets flows send.
    pub(super) fn send(&mut self) -> bool {
        self.schedule.release_paced(self.now);
        let mut worked = false;
        for _ in 0..TURNS.min(self.schedule.ready.len()) {
            let Some(id) = self.schedule.ready.pop_front() else {
                break;
            };
            if let Some(later) = self.schedule.ready.get(FLOWS_AHEAD) {
                // What was fetched when it came in line may be out of the cache again.
                fetch_sender(&self.shared.flows, *later);
            }
            if self.bulk
                && let Some(next) = self.schedule.ready.front()
                && let Some((st, _)) = self.shared.flows.get(&mut self.token, next.0)
            {
                fetch::rest_to_send(&self.shared.arena, st);
            }
            let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) else {
                continue;
            };
            if !slot.app.send_queued || slot.app.ended {
                continue;
            }
            let mut sender = Sender {
                tx: &mut self.tx,
                nic: &mut self.nic,
                schedule: &mut self.schedule,
                counters: &self.counters,
                now: self.now,
            };
            if sender.give_turn(id, st, slot, &self.shared.params) == Port::Full {
                break;
            }
            worked = true;
        }
        self.bulk &= !self.schedule.ready.is_empty();
        worked
    }

    /// Sends the acknowledgements that are due and that nothing has carried.
    pub(super) fn send_acks(&mut self) -> bool {
        let mut worked = false;
        for _ in 0..ACKS.min(self.schedule.acks.len()) {
            if !self.tx.ready(&mut self.nic, &self.counters) {
                break;
            }
            let Some(id) = self.schedule.acks.pop_front() else {
                break;
            };
            if let Some(later) = self.schedule.acks.get(ACKS_AHEAD) {
                fetch_sender(&self.shared.flows, *later);
            }
            if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) {
                slot.app.ack_queued = false;
                send_ack(&mut self.tx, &self.counters, st, slot, self.now);
            }
            worked = true;
        }
        worked
    }

    /// Sends the segment that resets a flow's peer.
    pub(super) fn send_reset(&mut self, id: FlowId) {
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0) {
            let ring = tx_ring(st);
            let flow = Flow {
                st,
                ext: &mut slot.ext,
            };
            let plans = [
                Some(flow.reset_plan(self.now)),
                flow.second_reset_plan(self.now),
            ];
            for plan in plans.into_iter().flatten() {
                if self.tx.ready(&mut self.nic, &self.counters) {
                    self.tx.segment(&slot.template, &plan, ring);
                }
            }
        }
    }

    /// Sends a segment that an idle peer answers. If there is no room, the next one does.
    #[cold]
    pub(super) fn send_keepalive(&mut self, id: FlowId) {
        let ready = self.tx.ready(&mut self.nic, &self.counters);
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0)
            && ready
        {
            let ring = tx_ring(st);
            let plan = Flow {
                st,
                ext: &mut slot.ext,
            }
            .keepalive_plan(self.now);
            self.tx.segment(&slot.template, &plan, ring);
        }
    }

    /// Sends the acknowledgement that a flow owes now, since the flow is about to go.
    pub(super) fn send_last_ack(&mut self, id: FlowId) {
        let ready = self.tx.ready(&mut self.nic, &self.counters);
        if let Some((st, slot)) = self.shared.flows.get(&mut self.token, id.0)
            && ready
        {
            send_ack(&mut self.tx, &self.counters, st, slot, self.now);
        }
    }
}

/// Fetches what a flow needs to send.
#[inline]
pub(super) fn fetch_sender(flows: &Flows, id: FlowId) {
    flows.prefetch(id.0, FlowSlot::SENT);
}

fn send_ack<Q: NicQueue>(
    tx: &mut TxPath<Q>,
    counters: &CoreCounters,
    st: &mut FlowSt,
    slot: &mut FlowSlot,
    now: Micros,
) {
    let ring = tx_ring(st);
    if let Some(plan) = (Flow {
        st,
        ext: &mut slot.ext,
    })
    .take_ack(now)
    {
        tx.segment(&slot.template, &plan, ring);
        counters.acks_sent.add(1);
    }
}

fn tx_ring(st: &FlowSt) -> TxRing {
    TxRing {
        base: ShmOffset(st.tx_base),
        len: st.tx_len,
    }
}

/// Whether the port takes frames.
#[derive(PartialEq, Eq)]
pub(super) enum Port {
    Ready,
    Full,
}

/// What a flow's turn needs of the core.
pub(super) struct Sender<'a, Q: NicQueue> {
    pub tx: &'a mut TxPath<Q>,
    pub nic: &'a mut Q,
    pub schedule: &'a mut Schedule,
    pub counters: &'a CoreCounters,
    pub now: Micros,
}

impl<Q: NicQueue> Sender<'_, Q> {
    /// Gives a flow that is not in line its turn, and puts it back in line if it has more to send.
    #[inline]
    pub fn give_turn(
        &mut self,
        id: FlowId,
        st: &mut FlowSt,
        slot: &mut FlowSlot,
        params: &TcpParams,
    ) -> Port {
        let flow = Flow {
            st,
            ext: &mut slot.ext,
        };
        self.tx.trace.turn(id, &flow);
        let turn = self.turn(st, slot, params);
        let deadline = Flow {
            st,
            ext: &mut slot.ext,
        }
        .deadline();
        let app = &mut slot.app;
        self.schedule.arm(id, app, deadline);
        app.send_queued = !matches!(turn, Turn::Idle);
        match turn {
            Turn::Idle => {}
            Turn::More => self.schedule.ready.push_back(id),
            Turn::Paced(until) => self.schedule.paced.arm(id.0, until),
            Turn::Blocked => {
                self.schedule.ready.push_front(id);
                return Port::Full;
            }
        }
        Port::Ready
    }

    fn turn(&mut self, st: &mut FlowSt, slot: &mut FlowSlot, params: &TcpParams) -> Turn {
        let ring = tx_ring(st);
        let now_ns = self.now.0.saturating_mul(1000);
        for _ in 0..QUANTUM {
            if st.tx_rate != 0 && slot.app.pace_next > now_ns {
                let mut flow = Flow {
                    st,
                    ext: &mut slot.ext,
                };
                if flow.sendable() == 0 {
                    return Turn::Idle;
                }
                flow.hold_back();
                return Turn::Paced(Micros(slot.app.pace_next.div_ceil(1000)));
            }
            if !self.tx.ready(self.nic, self.counters) {
                return Turn::Blocked;
            }
            let mut plan = SegmentPlan::default();
            let mut flow = Flow {
                st,
                ext: &mut slot.ext,
            };
            if !flow.plan_next(params, self.now, &mut plan) {
                return Turn::Idle;
            }
            if st.tx_avail > 0 {
                self.tx.fetch_next(st);
            }
            self.tx.trace_read(&plan, ring);
            self.tx.segment(&slot.template, &plan, ring);
            self.counters.tx_bytes.add(u64::from(plan.len));
            if st.tx_rate != 0 {
                let cost = cost(&plan, st.tx_rate);
                let catch_up = (CATCH_UP_SEGMENTS * cost).clamp(CATCH_UP, CATCH_UP_MAX);
                let earliest = now_ns.saturating_sub(catch_up);
                slot.app.pace_next = slot.app.pace_next.max(earliest) + cost;
            }
        }
        match (Flow {
            st,
            ext: &mut slot.ext,
        })
        .sendable()
        {
            0 => Turn::Idle,
            _ => Turn::More,
        }
    }
}

/// Nanoseconds that a segment's data takes at `rate` kilobits per second.
#[inline]
fn cost(plan: &SegmentPlan, rate: u32) -> u64 {
    u64::from(plan.len) * 8_000_000 / u64::from(rate.max(1))
}
