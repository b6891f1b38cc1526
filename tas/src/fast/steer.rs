//! Frames and updates that reach a core other than their flow's.

use arrayvec::ArrayVec;
use tas_shm::OwnerId;
use tas_wire::FlowTuple;

use super::Core;
use super::peers::Mail;
use super::receive::Trust;
use super::updates::{Early, Order};
use crate::nic::{BURST, Frames, NicQueue};
use crate::types::{CoreId, FlowId};

/// Mail of one core in one turn.
const MAIL: usize = 128;
/// Frames that may wait for their flow to arrive here.
const PARKED_MAX: usize = 1024;
/// Updates of one context that may have come through other cores and wait for earlier ones.
const EARLY_MAIL_MAX: usize = 4096;

/// What becomes of a segment that belongs to no flow of this core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stray {
    /// No core has its flow: it is the slow path's.
    Up,
    /// It goes to another core.
    To(CoreId),
    /// Its flow is on its way here from another core.
    Park(CoreId),
}

/// Frames of a burst that leave it, by their place, in ascending order.
pub(super) type Strays = ArrayVec<(usize, Stray), BURST>;

/// Whose flows a core's token opens: the slow path's comes first.
#[must_use]
pub fn owner_id(core: CoreId) -> OwnerId {
    OwnerId(u32::from(core.0) + 1)
}

impl<Q: NicQueue> Core<Q> {
    /// Where a segment goes that belongs to no flow of this core, by the lookup table's hash of
    /// its addresses and the port's, if it told one.
    #[inline]
    pub(super) fn stray(&self, tuple: &FlowTuple, hash: u32, rss: Option<u32>) -> Stray {
        if self.peers.is_empty() {
            return Stray::Up;
        }
        self.find_owner(tuple, hash, rss)
    }

    fn find_owner(&self, tuple: &FlowTuple, hash: u32, rss: Option<u32>) -> Stray {
        let table = &self.shared.table;
        let owner = table
            .candidates(hash)
            .find_map(|flow| self.other_owner(flow));
        let Some(owner) = owner else {
            return Stray::Up;
        };
        let steering = &self.shared.steering;
        let core = steering.core(steering.group_of_frame(tuple, rss));
        if core != self.id {
            Stray::To(core)
        } else if self.in_round() {
            Stray::Park(owner)
        } else {
            // Another flow with the same hash.
            Stray::Up
        }
    }

    /// The other core that has a flow.
    #[inline]
    pub(super) fn other_owner(&self, flow: FlowId) -> Option<CoreId> {
        let OwnerId(owner) = self.shared.flows.owner(flow.0)?;
        let core = CoreId(owner.checked_sub(1)? as u16);
        (core != self.id).then_some(core)
    }

    /// Sends frames of a burst on to where they belong; the others are dropped.
    #[cold]
    pub(super) fn send_on(&mut self, frames: &mut Frames<Q::Frame>, strays: &Strays) {
        let mut strays = strays.iter().peekable();
        for (place, frame) in frames.drain(..).enumerate() {
            let Some((_, stray)) = strays.next_if(|(stray, _)| *stray == place) else {
                continue;
            };
            match stray {
                Stray::Park(_) if self.parked.len() < PARKED_MAX => self.parked.push_back(frame),
                // In vain if it is about to leave there, but never lost.
                Stray::To(core) | Stray::Park(core) => {
                    if self.peers.send_frame(*core, frame) {
                        self.counters.steered.add(1);
                    } else {
                        self.counters.steered_dropped.add(1);
                    }
                }
                Stray::Up => {}
            }
        }
    }

    /// Takes what the other cores have sent.
    #[inline(never)]
    pub(super) fn take_mail(&mut self) -> bool {
        let mut worked = false;
        for place in 0..self.peers.len() {
            worked |= self.take_mail_from(place);
        }
        worked |= self.follow_departed();
        self.after_mail();
        worked
    }

    fn take_mail_from(&mut self, place: usize) -> bool {
        let Some(from) = self.peers.core(place) else {
            return false;
        };
        let mut frames = Frames::<Q::Frame>::new();
        let mut taken = 0;
        while taken < MAIL
            && let Some(mail) = self.peers.receive(place)
        {
            taken += 1;
            if let Mail::Frame(frame) = mail {
                // Those that wait came before.
                self.after_mail();
                // There is room: a full burst is taken at once.
                let _ = frames.try_push(frame);
                if !frames.is_full() {
                    continue;
                }
                self.take_frames(&mut frames, Trust::Verified);
            } else {
                // In the order of sending.
                self.take_frames(&mut frames, Trust::Verified);
                self.mail(from, mail);
            }
        }
        self.take_frames(&mut frames, Trust::Verified);
        taken > 0
    }

    #[cold]
    fn mail(&mut self, from: CoreId, mail: Mail<Q::Frame>) {
        match mail {
            Mail::Frame(_) => {}
            Mail::Update(context, flow, bump) => self.forwarded(Early {
                context,
                flow,
                bump,
                until: Some(self.now + super::updates::PATIENCE),
            }),
            Mail::Fence => self.rebalance.fences += 1,
            Mail::Arrived(arrived) => self.arrive(&arrived),
            Mail::HandedOver => self.rebalance.handed_over += 1,
            Mail::Unmute(flow, mark) => self.unmute(flow, mark),
            Mail::Collect(context, flow) => {
                self.take_all_of(context);
                self.peers.send(from, Mail::Collected(flow));
            }
            Mail::Collected(flow) => self.collected(flow),
        }
    }

    /// An update that was posted to another core.
    fn forwarded(&mut self, update: Early) {
        match self.bump_or_look_again(&update) {
            Order::Taken => {}
            Order::Unknown if !self.leaves_without_user(update.flow) => {
                self.counters.app_stale_entries.add(1);
            }
            Order::Unknown | Order::TooEarly => self.keep_early(&update, EARLY_MAIL_MAX),
        }
    }

    /// A flow is nobody's as far as this core knows, but is about to leave: its next core may have
    /// been told whose it is.
    fn leaves_without_user(&mut self, id: FlowId) -> bool {
        let in_round = self.in_round();
        let flow = self.shared.flows.get(&mut self.token, id.0);
        in_round && flow.is_some_and(|(_, slot)| slot.app.installed && slot.app.awaits_user())
    }

    /// Passes an update for a flow of another core on.
    #[cold]
    pub(super) fn pass_on(&mut self, update: &Early) -> Order {
        let Some(core) = self.other_owner(update.flow) else {
            return Order::Unknown;
        };
        let mail = Mail::Update(update.context, update.flow, update.bump);
        if self.peers.send_update(core, mail) {
            self.counters.updates_steered.add(1);
            Order::Taken
        } else {
            Order::TooEarly
        }
    }

    /// Looks at the parked frames again, since flows have arrived or the round is over.
    pub(super) fn unpark(&mut self) {
        let mut parked = std::mem::take(&mut self.parked);
        while !parked.is_empty() {
            let mut frames = Frames::<Q::Frame>::new();
            frames.extend(parked.drain(..parked.len().min(BURST)));
            self.take_frames(&mut frames, Trust::Verified);
        }
        for frame in std::mem::take(&mut self.parked_bytes) {
            self.reinjected(&frame);
        }
    }
}
