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
    let mut seen = Vec::new();
    let mut take = |core: &mut rtrb::Consumer<ToFast>| {
        while let Ok(ToFast::Close(flow, _)) = core.pop() {
            seen.push(flow.0);
        }
        seen.len()
    };
    for flow in 0..10 {
        link.send(ToFast::Close(FlowId(flow), CloseHow::Reset));
        if flow == 5 {
            // Room for those that wait, not for who comes now.
            take(&mut core);
        }
    }
    while take(&mut core) < 10 {
        link.flush();
    }
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
    assert!(!link.flush());
}

#[test]
fn a_sleeping_core_is_woken_once_all_is_sent() {
    let (mut link, _core) = link(4);
    link.waker.announce();
    link.flush();
    assert!(!link.waker.event().drain(), "nothing was sent");
    link.send(ToFast::Close(FlowId(1), CloseHow::Reset));
    assert!(!link.waker.event().drain(), "more may follow");
    link.flush();
    assert!(link.waker.event().drain());
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

#[test]
fn flows_have_memory_before_they_are_used() {
    let mut memory = FlowMemory::default();
    let mut taken = FLOWS_AT_START;
    let mut times = 0;
    for flow in 0..100_000 {
        if let Some(flows) = memory.before(FlowId(flow)) {
            assert_eq!(flows.start, taken, "none is left out");
            taken = flows.end;
            times += 1;
        }
        assert!(flow + FLOWS_AHEAD <= taken, "{flow}");
        // Numbers come back, too.
        assert_eq!(memory.before(FlowId(flow / 2)), None);
    }
    assert!(times < 30, "{times}");
    assert!(memory.before(FlowId(u32::MAX)).is_some());
}
