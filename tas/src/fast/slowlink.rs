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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FlowId;
    use tas_shm::EventFd;

    fn link(room: usize) -> (SlowLink, rtrb::Consumer<ToSlow>, Arc<Waker>) {
        let (_, from_slow) = rtrb::RingBuffer::new(1);
        let (to_slow, slow) = rtrb::RingBuffer::new(room);
        let waker = Arc::new(Waker::new(EventFd::new().unwrap()));
        let link = SlowLink::new(from_slow, to_slow, Arc::clone(&waker));
        (link, slow, waker)
    }

    fn released(slow: &mut rtrb::Consumer<ToSlow>) -> Option<u32> {
        match slow.pop() {
            Ok(ToSlow::Released(flow)) => Some(flow.0),
            _ => None,
        }
    }

    #[test]
    fn a_sleeping_slow_path_is_woken_by_messages_and_frames() {
        let (mut link, _slow, waker) = link(8);
        waker.announce();
        link.flush();
        assert!(!waker.event().drain(), "nothing was sent");
        link.send(ToSlow::Released(FlowId(1)));
        link.flush();
        assert!(waker.event().drain());
        waker.announce();
        assert!(link.punt(CoreId(0), &[0; 60]));
        link.flush();
        assert!(waker.event().drain());
    }

    #[test]
    fn nothing_overtakes_messages_that_wait_for_room() {
        let (mut link, mut slow, _) = link(2);
        for flow in 0..3 {
            link.send(ToSlow::Released(FlowId(flow)));
        }
        assert_eq!(released(&mut slow), Some(0));
        link.send(ToSlow::Released(FlowId(3)));
        assert!(!link.punt(CoreId(0), &[0; 60]));
        let mut seen = Vec::new();
        while link.backlogged() {
            link.flush();
            seen.extend(std::iter::from_fn(|| released(&mut slow)));
        }
        assert_eq!(seen, [1, 2, 3]);
    }
}
