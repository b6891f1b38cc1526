//! Two applications with one connection between them, for tests that go step by step.

use tas::nic::sim::Path;
use tas::sim::{App, ConnName, Event, HostConf, HostIndex, Queues, World};
use tas::types::Micros;

use crate::{CLIENT, PORT, SERVER};

/// One end of a connection.
pub struct End {
    pub host: HostIndex,
    pub app: App,
    pub conn: ConnName,
    /// All that came from its queues.
    pub events: Vec<Event>,
}

impl End {
    pub fn poll(&mut self) -> bool {
        let events = self.app.poll();
        let any = !events.is_empty();
        self.events.extend(events);
        any
    }

    pub fn closed(&self) -> Option<i32> {
        self.events.iter().find_map(|event| match event {
            Event::Closed(name, status) if *name == self.conn => Some(*status),
            _ => None,
        })
    }

    pub fn state(&self) -> &tas::sim::Conn {
        self.app.conn(self.conn).unwrap()
    }

    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.app.send(self.conn, bytes)
    }

    pub fn receive(&mut self) -> Vec<u8> {
        self.app.receive(self.conn, usize::MAX)
    }

    pub fn shutdown(&mut self) {
        assert!(self.app.shutdown(self.conn));
    }

    pub fn close(&mut self, reset: bool) {
        self.app.close(self.conn, reset);
    }
}

/// A connection from `a` to `b`.
pub struct Link {
    pub world: World,
    pub a: End,
    pub b: End,
}

impl Link {
    pub fn new(seed: u64, conf: impl Fn(HostConf) -> HostConf) -> Link {
        Link::with_queues(seed, conf, Queues::default())
    }

    pub fn with_queues(seed: u64, conf: impl Fn(HostConf) -> HostConf, queues: Queues) -> Link {
        Link::open(seed, conf, queues, Path::default())
    }

    /// Over a path that either way is the same.
    pub fn over(seed: u64, conf: impl Fn(HostConf) -> HostConf, path: Path) -> Link {
        Link::open(seed, conf, Queues::default(), path)
    }

    fn open(seed: u64, conf: impl Fn(HostConf) -> HostConf, queues: Queues, path: Path) -> Link {
        let mut world = World::new(seed);
        let there = world.add(conf(HostConf::new(SERVER))).unwrap();
        let here = world.add(conf(HostConf::new(CLIENT))).unwrap();
        for host in [there, here] {
            let port = world.host(host).port();
            world.network.set_path(port, path);
        }
        let mut b = world.host(there).attach_with(2, queues).unwrap();
        let mut a = world.host(here).attach_with(2, queues).unwrap();
        let listener = b.listen(0, PORT, 8);
        let accepted = b.accept(0, listener);
        let opened = a.open(0, SERVER.into(), PORT);
        let end = |host, app, conn| End {
            host,
            app,
            conn,
            events: Vec::new(),
        };
        let mut link = Link {
            world,
            a: end(here, a, opened),
            b: end(there, b, accepted),
        };
        let open = link.run_until(Micros::from_millis(2_000), |link| {
            let open = |end: &End| end.app.conn(end.conn).is_some_and(|conn| conn.open);
            open(&link.a) && open(&link.b)
        });
        assert!(open, "the connection opens");
        link
    }

    /// Runs until `done` holds, polling both ends.
    pub fn run_until(&mut self, span: Micros, mut done: impl FnMut(&mut Link) -> bool) -> bool {
        let until = self.world.now() + span;
        while self.world.now() < until {
            let mut worked = self.world.turn();
            worked |= self.a.poll();
            worked |= self.b.poll();
            if done(self) {
                return true;
            }
            self.world.pass(worked, until);
        }
        false
    }

    /// Lets both ends look at their queues for a while.
    pub fn run(&mut self, ms: u64) {
        self.run_until(Micros::from_millis(ms), |_| false);
    }

    /// What is left of connections on either host once TIME-WAIT and the like are over.
    pub fn assert_no_connections(&mut self) {
        self.run(100_000);
        for host in [self.a.host, self.b.host] {
            self.world.host(host).check_empty().unwrap();
        }
    }
}
