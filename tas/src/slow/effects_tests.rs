use super::*;
use crate::link::CloseHow;
use tas_shm::EventFd;

fn link(room: usize) -> (CoreLink, rtrb::Consumer<ToFast>) {
    let (to_fast, core) = rtrb::RingBuffer::new(room);
    let (_, from_fast) = rtrb::RingBuffer::new(1);
    let waker = Arc::new(Waker::new(EventFd::new().unwrap()));
    (CoreLink::new(to_fast, from_fast, waker, OwnerId(1)), core)
}

fn frame() -> ToFast {
    ToFast::Transmit(Box::new([0; 60]))
}

#[test]
fn messages_wait_for_room_in_order() {
    let (mut link, mut core) = link(2);
    for flow in 0..10 {
        link.send(ToFast::Close(FlowId(flow), CloseHow::Reset));
    }
    let mut seen = Vec::new();
    while seen.len() < 10 {
        link.flush();
        while let Ok(ToFast::Close(flow, _)) = core.pop() {
            seen.push(flow.0);
        }
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    assert!(!link.flush());
}

#[test]
fn frames_do_not_pile_up() {
    let (mut link, mut core) = link(2);
    for _ in 0..100 {
        link.send(frame());
    }
    assert_eq!(link.frames_dropped, 98);
    link.send(ToFast::Shutdown);
    link.send(frame());
    assert!(link.flush(), "the message waits");
    while core.pop().is_ok() {}
    assert!(!link.flush());
    assert!(matches!(core.pop(), Ok(ToFast::Shutdown)));
    assert!(core.pop().is_err());
}
