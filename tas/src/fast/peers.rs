//! What the fast-path cores say to each other: between any two of them lies a ring each way.
//!
//! Everything from one core to another arrives in the order in which it was sent, frames and
//! messages alike; the steps of a round of steering rely on that ([`super::rebalance`]).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::link::{AppLink, Waker};
use crate::proto::AppBump;
use crate::types::{ContextId, CoreId, FlowId};

/// Entries of a ring: as many frames as a port's queue holds.
const RING: usize = 1024;
/// Updates that may wait for room in a ring.
const UPDATES_WAITING: usize = 4096;

/// From one core to another.
pub enum Mail<F> {
    /// A frame for a flow of the receiver; its checksums are right.
    Frame(F),
    /// An application's update for a flow of the receiver that was posted to the sender.
    Update(ContextId, FlowId, AppBump),
    /// What the sender had for the receiver by the steering before this round came before this.
    Fence,
    /// A flow that is the receiver's from now on.
    Arrived(Arrived),
    /// The sender has handed over all flows that leave it in this round.
    HandedOver,
    /// The application has read what the sender's side had told it of a flow before it left in
    /// the round with this mark.
    Unmute(FlowId, u16),
    /// Asks for the updates that the application of a context has posted to the receiver, since
    /// this flow is about to be closed or taken away from it.
    Collect(ContextId, FlowId),
    /// They came before this.
    Collected(FlowId),
}

/// Why the updates of a flow that were posted to other cores are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// It is to be closed gracefully.
    Close,
    /// It is to be taken away, at the request of this context.
    Take(Option<ContextId>),
}

/// What a flow's new core must know beside the flow's state.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    /// The flow.
    pub flow: FlowId,
    /// An acknowledgement is due.
    pub ack: bool,
    /// It was in the old core's list of flows to send.
    pub send: bool,
    /// It is on its way to another context.
    pub moving: Option<AppLink>,
    /// What waits for updates that were posted to other cores.
    pub collecting: Option<Purpose>,
}

/// A core's ends of the rings to and from another core.
struct Peer<F> {
    core: CoreId,
    to: rtrb::Producer<Mail<F>>,
    from: rtrb::Consumer<Mail<F>>,
    waker: Arc<Waker>,
    /// Mail that found the ring full and must not be lost.
    waiting: VecDeque<Mail<F>>,
    sent: bool,
}

impl<F> Peer<F> {
    fn send(&mut self, mail: Mail<F>) {
        self.sent = true;
        if !self.waiting.is_empty() {
            self.waiting.push_back(mail);
        } else if let Err(rtrb::PushError::Full(mail)) = self.to.push(mail) {
            self.waiting.push_back(mail);
        }
    }
}

/// The other cores, as one of them sees them.
pub struct Peers<F>(Vec<Peer<F>>);

impl<F> Default for Peers<F> {
    fn default() -> Peers<F> {
        Peers(Vec::new())
    }
}

/// Joins cores by rings; by core, given what wakes each.
pub fn join<F>(wakers: &[Arc<Waker>]) -> Vec<Peers<F>> {
    let mut all: Vec<Peers<F>> = wakers.iter().map(|_| Peers::default()).collect();
    for (a, waker_a) in wakers.iter().enumerate() {
        for (b, waker_b) in wakers.iter().enumerate().skip(a + 1) {
            let (to_b, from_a) = rtrb::RingBuffer::new(RING);
            let (to_a, from_b) = rtrb::RingBuffer::new(RING);
            let ends = [(a, b, waker_b, to_b, from_b), (b, a, waker_a, to_a, from_a)];
            for (own, other, waker, to, from) in ends {
                if let Some(peers) = all.get_mut(own) {
                    peers.0.push(Peer {
                        core: CoreId(other as u16),
                        to,
                        from,
                        waker: Arc::clone(waker),
                        waiting: VecDeque::new(),
                        sent: false,
                    });
                }
            }
        }
    }
    all
}

impl<F> Peers<F> {
    /// There are no other cores.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many other cores there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The other core at a place in the list.
    pub fn core(&self, place: usize) -> Option<CoreId> {
        self.0.get(place).map(|peer| peer.core)
    }

    /// The next mail from the core at a place in the list.
    #[inline]
    pub fn receive(&mut self, place: usize) -> Option<Mail<F>> {
        self.0.get_mut(place)?.from.pop().ok()
    }

    /// Sends mail that must arrive, now or when there is room.
    pub fn send(&mut self, core: CoreId, mail: Mail<F>) {
        if let Some(peer) = self.find(core) {
            peer.send(mail);
        }
    }

    /// Sends the same to all.
    pub fn send_all(&mut self, mail: impl Fn() -> Mail<F>) {
        for peer in &mut self.0 {
            peer.send(mail());
        }
    }

    /// Passes a frame on; false when there is no room and it is dropped.
    pub fn send_frame(&mut self, core: CoreId, frame: F) -> bool {
        let Some(peer) = self.find(core) else {
            return false;
        };
        peer.sent = true;
        peer.waiting.is_empty() && peer.to.push(Mail::Frame(frame)).is_ok()
    }

    /// Passes an update on; false when too many wait for room.
    pub fn send_update(&mut self, core: CoreId, mail: Mail<F>) -> bool {
        match self.find(core) {
            Some(peer) if peer.waiting.len() < UPDATES_WAITING => {
                peer.send(mail);
                true
            }
            _ => false,
        }
    }

    /// Sends what waits for room, and wakes the cores that are to look at something.
    pub fn flush(&mut self) {
        for peer in &mut self.0 {
            while let Some(mail) = peer.waiting.pop_front() {
                if let Err(rtrb::PushError::Full(mail)) = peer.to.push(mail) {
                    peer.waiting.push_front(mail);
                    break;
                }
            }
            if peer.sent {
                peer.sent = false;
                peer.waker.wake();
            }
        }
    }

    /// Mail waits for room in a ring.
    pub fn backlogged(&self) -> bool {
        self.0.iter().any(|peer| !peer.waiting.is_empty())
    }

    fn find(&mut self, core: CoreId) -> Option<&mut Peer<F>> {
        self.0.iter_mut().find(|peer| peer.core == core)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tas_shm::EventFd;

    fn wakers() -> [Arc<Waker>; 3] {
        [(); 3].map(|()| Arc::new(Waker::new(EventFd::new().unwrap())))
    }

    fn three() -> Vec<Peers<u32>> {
        join(&wakers())
    }

    fn frames(peers: &mut Peers<u32>, from: CoreId) -> Vec<u32> {
        let place = (0..peers.len()).find(|place| peers.core(*place) == Some(from));
        std::iter::from_fn(|| match peers.receive(place.unwrap()) {
            Some(Mail::Frame(frame)) => Some(frame),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn everyone_reaches_everyone_else() {
        let mut all = three();
        for (from, peers) in (0..).zip(&mut all) {
            for to in (0..3).filter(|to| *to != from) {
                assert!(peers.send_frame(CoreId(to), u32::from(10 * from + to)));
            }
            assert!(!peers.send_frame(CoreId(from), 0), "not itself");
        }
        for (to, peers) in (0..).zip(&mut all) {
            for from in (0..3).filter(|from| *from != to) {
                assert_eq!(frames(peers, CoreId(from)), [u32::from(10 * from + to)]);
            }
        }
    }

    #[test]
    fn who_gets_mail_is_woken_and_nobody_else() {
        let wakers = wakers();
        let mut all: Vec<Peers<u32>> = join(&wakers);
        let woken = || {
            let drained = wakers.each_ref().map(|waker| waker.event().drain());
            wakers.iter().for_each(|waker| waker.announce());
            drained
        };
        woken();
        assert!(all[0].send_frame(CoreId(2), 1));
        all[0].flush();
        assert_eq!(woken(), [false, false, true]);
        all[2].send(CoreId(1), Mail::Fence);
        all[2].flush();
        assert_eq!(woken(), [false, true, false]);
        all[0].flush();
        assert_eq!(woken(), [false; 3]);
    }

    /// Frames may be lost when a ring is full, messages never, and none overtakes another.
    #[test]
    fn order_is_kept_when_there_is_no_room() {
        let mut all = three();
        let to = CoreId(1);
        let taken = (0..2 * RING as u32).filter(|n| all[0].send_frame(to, *n));
        assert_eq!(taken.count(), RING);
        all[0].send(to, Mail::Fence);
        assert!(all[0].backlogged());
        assert_eq!(frames(&mut all[1], CoreId(0)).len(), RING);
        assert!(!all[0].send_frame(to, 7), "not ahead of what waits");
        all[0].flush();
        assert!(!all[0].backlogged());
        assert!(all[0].send_frame(to, 8));
        assert!(matches!(all[1].receive(0), Some(Mail::Fence)));
        assert_eq!(frames(&mut all[1], CoreId(0)), [8]);
    }

    #[test]
    fn updates_are_refused_when_too_many_wait() {
        let mut all = three();
        let bump = AppBump {
            rx_bump: 0,
            tx_bump: 1,
            bump_seq: 0,
            tx_done: false,
        };
        let mail = || Mail::Update(ContextId(0), FlowId(0), bump);
        let taken = (0..10_000).filter(|_| all[0].send_update(CoreId(2), mail()));
        assert_eq!(taken.count(), RING + UPDATES_WAITING);
    }
}
