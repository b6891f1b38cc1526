//! Frames for the port's own address, which a cable would not give back.

use std::collections::VecDeque;

use tas_wire::MacAddr;

use super::queue::DpdkFrame;
use crate::nic::{Frame, Frames};

/// Frames that may wait: as many as a port's queue takes by default. More are dropped, as a queue
/// would drop them.
const MOST: usize = 1024;

/// What a core has sent to its own port and not yet received.
#[derive(Default)]
pub(super) struct Looped {
    /// `None`: whatever is on the other side gives frames back by itself.
    own: Option<MacAddr>,
    waiting: VecDeque<DpdkFrame>,
}

impl Looped {
    /// For a port with that address. One without an address is itself a loop.
    pub(super) fn new(own: MacAddr) -> Looped {
        Looped {
            own: Some(own).filter(|own| *own != MacAddr::ZERO),
            waiting: VecDeque::new(),
        }
    }

    /// Takes those out of a batch that are for the port itself; returns how many.
    #[inline]
    pub(super) fn take(&mut self, frames: &mut Frames<DpdkFrame>) -> usize {
        match self.own {
            Some(own) if frames.iter().any(|frame| is_for(frame, own)) => self.divert(frames, own),
            _ => 0,
        }
    }

    #[cold]
    fn divert(&mut self, frames: &mut Frames<DpdkFrame>, own: MacAddr) -> usize {
        let before = frames.len();
        let (back, out): (Frames<_>, Frames<_>) =
            frames.drain(..).partition(|frame| is_for(frame, own));
        *frames = out;
        let room = MOST - self.waiting.len().min(MOST);
        self.waiting.extend(back.into_iter().take(room));
        before - frames.len()
    }

    /// Appends what waits, as far as there is room.
    #[inline]
    pub(super) fn give(&mut self, out: &mut Frames<DpdkFrame>) -> usize {
        if self.waiting.is_empty() {
            return 0;
        }
        let count = self.waiting.len().min(out.remaining_capacity());
        out.extend(self.waiting.drain(..count));
        count
    }

    /// Nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[inline]
fn is_for(frame: &DpdkFrame, own: MacAddr) -> bool {
    frame.data().starts_with(&own.0)
}
