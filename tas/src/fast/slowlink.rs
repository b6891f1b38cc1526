//! A core's end of the rings to and from the slow path.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::link::{ToFast, ToSlow, Waker};
use crate::types::CoreId;

/// The two rings and what wakes the slow path.
pub struct SlowLink {
    from_slow: rtrb::Consumer<ToFast>,
    to_slow: rtrb::Producer<ToSlow>,
    /// Messages that found the ring full and must not be lost.
    waiting: VecDeque<ToSlow>,
    waker: Arc<Waker>,
    sent: bool,
}

impl SlowLink {
    /// The core's end.
    pub fn new(
        from_slow: rtrb::Consumer<ToFast>,
        to_slow: rtrb::Producer<ToSlow>,
        waker: Arc<Waker>,
    ) -> SlowLink {
        SlowLink {
            from_slow,
            to_slow,
            waiting: VecDeque::new(),
            waker,
            sent: false,
        }
    }

    /// The next message from the slow path.
    #[inline]
    pub fn receive(&mut self) -> Option<ToFast> {
        self.from_slow.pop().ok()
    }

    /// Sends a message that must arrive, now or when there is room.
    pub fn send(&mut self, message: ToSlow) {
        self.sent = true;
        if !self.waiting.is_empty() {
            self.waiting.push_back(message);
        } else if let Err(rtrb::PushError::Full(message)) = self.to_slow.push(message) {
            self.waiting.push_back(message);
        }
    }

    /// Passes a frame up; false when the ring is full and the frame is dropped.
    pub fn punt(&mut self, core: CoreId, frame: &[u8]) -> bool {
        self.sent = true;
        self.waiting.is_empty() && self.to_slow.push(ToSlow::Frame(core, frame.into())).is_ok()
    }

    /// Sends what waits for room, and wakes the slow path if it is to look at something.
    pub fn flush(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            if let Err(rtrb::PushError::Full(message)) = self.to_slow.push(message) {
                self.waiting.push_front(message);
                break;
            }
        }
        if self.sent {
            self.sent = false;
            self.waker.wake();
        }
    }

    /// Messages wait for room in the ring.
    pub fn backlogged(&self) -> bool {
        !self.waiting.is_empty()
    }
}
