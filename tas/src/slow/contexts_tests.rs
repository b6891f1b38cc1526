use super::*;
use tas_abi::appif::{AppinStatus, AppoutReqScale};
use tas_shm::{Backing, EventFd};

const LEN: u32 = 64 * 4;

struct World {
    arena: Arc<Arena>,
    _backing: Backing,
    next: u64,
    contexts: Contexts,
}

/// The application's ends of a context's queues.
struct App {
    id: ContextId,
    requests: Producer<KernelAppout>,
    answers: Consumer<KernelAppin>,
}

impl World {
    fn new() -> World {
        let backing = Backing::memfd("test", 2 << 20, false).unwrap();
        let arena = Arena::reserve(2 << 20).unwrap();
        arena.map(ShmOffset(0), &backing, 2 << 20).unwrap();
        World {
            arena,
            _backing: backing,
            next: 0,
            contexts: Contexts::default(),
        }
    }

    fn queue(&mut self) -> Queue {
        let at = ShmOffset(self.next);
        self.next += u64::from(LEN);
        Queue { at, len: LEN }
    }

    fn add(&mut self, tenant: u32) -> App {
        let (requests, answers) = (self.queue(), self.queue());
        let new = NewContext {
            tenant: TenantId(tenant),
            requests,
            answers,
            core_queues: Vec::new(),
            doorbell: Doorbell::new(EventFd::new().unwrap(), u64::MAX),
        };
        let context = Context::new(&self.arena, new).unwrap();
        App {
            id: self.contexts.add(context).unwrap(),
            requests: Arena::producer(&self.arena, requests.at, LEN).unwrap(),
            answers: Arena::consumer(&self.arena, answers.at, LEN).unwrap(),
        }
    }
}

fn request(n: u32) -> KernelAppout {
    AppoutMsg::ReqScale(AppoutReqScale { num_cores: n }).into()
}

fn answer(n: u64) -> AppinMsg {
    AppinMsg::StatusConnClose(AppinStatus {
        opaque: n,
        status: 0,
    })
}

#[test]
fn contexts_take_turns_however_much_one_asks() {
    let mut world = World::new();
    let mut apps: Vec<App> = (0..3).map(|tenant| world.add(tenant)).collect();
    for n in 0..4 {
        apps[0].requests.push(&request(n)).unwrap();
    }
    apps[2].requests.push(&request(9)).unwrap();
    let mut served = Vec::new();
    while let Some((context, _, message)) = world.contexts.next_request() {
        assert!(message.is_ok());
        served.push(context);
        // The first one asks on and on.
        if served.len() < 20 {
            let _ = apps[0].requests.push(&request(1));
        }
        if served.len() == 6 {
            apps[1].requests.push(&request(1)).unwrap();
        }
    }
    let place = |id| served.iter().position(|other| *other == id).unwrap();
    assert!(place(apps[2].id) <= 1, "{served:?}");
    assert!((6..=7).contains(&place(apps[1].id)), "{served:?}");
}

#[test]
fn answers_that_find_no_room_come_later_and_hold_up_requests() {
    let mut world = World::new();
    let mut app = world.add(0);
    for n in 0..2000 {
        world.contexts.answer(app.id, answer(n));
    }
    app.requests.push(&request(1)).unwrap();
    assert!(
        world.contexts.next_request().is_none(),
        "it is to read first"
    );
    let mut read = 0;
    while read < 2000 {
        while let Some(entry) = app.answers.pop() {
            assert_eq!(AppinMsg::try_from(entry).unwrap(), answer(read));
            read += 1;
        }
        world.contexts.flush();
    }
    assert!(world.contexts.next_request().is_some());
}

#[test]
fn ids_come_back() {
    let mut world = World::new();
    for _ in 0..10_000 {
        world.next = 0;
        let one = world.add(0).id;
        let other = world.add(1).id;
        assert_ne!(one, other);
        assert!(world.contexts.remove(one).is_some());
        assert!(world.contexts.remove(one).is_none());
        assert!(world.contexts.remove(other).is_some());
    }
    assert!(world.contexts.next_request().is_none());
}

#[test]
fn a_leaving_context_hears_nothing() {
    let mut world = World::new();
    let mut app = world.add(0);
    app.requests.push(&request(1)).unwrap();
    world.contexts.get(app.id).unwrap().leaving = true;
    world.contexts.answer(app.id, answer(1));
    assert!(world.contexts.next_request().is_none());
    assert!(app.answers.pop().is_none());
}
