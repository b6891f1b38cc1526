//! Applications for the tests: a server that sends back what it gets, and clients that check it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tas::nic::sim::Random;
use tas::sim::{App, ConnName, Event, ListenerName, Stream};

/// Sends back what it gets, ends when the peer does, and closes.
pub struct Server {
    pub app: App,
    pub listener: ListenerName,
    /// Connections accepted, closed in order, and reset.
    pub accepted: usize,
    pub closed: usize,
    pub reset: usize,
    /// Contexts that accept in turn.
    contexts: usize,
    asked: usize,
    conns: BTreeMap<ConnName, Vec<u8>>,
    closing: Vec<ConnName>,
    /// Requests to accept that are kept under way.
    accepts: usize,
}

impl Server {
    pub fn new(mut app: App, contexts: usize, port: u16, accepts: usize) -> Server {
        let listener = app.listen(0, port, 128);
        Server {
            app,
            listener,
            accepted: 0,
            closed: 0,
            reset: 0,
            contexts,
            asked: 0,
            conns: BTreeMap::new(),
            closing: Vec::new(),
            accepts,
        }
    }

    fn ask(&mut self) {
        let context = self.asked % self.contexts;
        self.asked += 1;
        self.app.accept(context, self.listener);
    }

    pub fn open(&self) -> usize {
        self.conns.len() + self.closing.len()
    }

    /// True when it did something.
    pub fn poll(&mut self) -> bool {
        let events = self.app.poll();
        let mut worked = !events.is_empty();
        for event in events {
            match event {
                Event::Accepted(name) => {
                    self.accepted += 1;
                    self.conns.insert(name, Vec::new());
                    self.ask();
                }
                Event::Closed(name, _) => {
                    self.closing.retain(|other| *other != name);
                    self.closed += 1;
                }
                Event::AcceptFailed(_, status) => panic!("accept failed: {status}"),
                Event::Listening(_, status) => {
                    assert_eq!(status, 0, "listening");
                    for _ in 0..self.accepts {
                        self.ask();
                    }
                }
                _ => {}
            }
        }
        let names: Vec<ConnName> = self.conns.keys().copied().collect();
        for name in names {
            worked |= self.serve(name);
        }
        worked
    }

    fn serve(&mut self, name: ConnName) -> bool {
        let Some(conn) = self.app.conn(name) else {
            panic!("a connection went without being closed");
        };
        if conn.reset {
            self.conns.remove(&name);
            self.closing.push(name);
            self.app.close(name, true);
            self.reset += 1;
            return true;
        }
        let (rx_closed, readable, tx_closed) = (conn.rx_closed, conn.readable, conn.tx_closed);
        let held = self.conns.entry(name).or_default();
        let mut worked = false;
        if readable > 0 && held.len() < 64 << 10 {
            held.extend(self.app.receive(name, usize::MAX));
            worked = true;
        }
        if !held.is_empty() {
            let sent = self.app.send(name, held);
            held.drain(..sent);
            worked |= sent > 0;
        }
        if rx_closed && held.is_empty() && !tx_closed && readable == 0 {
            worked |= self.app.shutdown(name);
        }
        let done = self
            .app
            .conn(name)
            .is_some_and(|conn| conn.rx_closed && conn.tx_closed && conn.all_acknowledged());
        if done {
            self.conns.remove(&name);
            self.closing.push(name);
            self.app.close(name, false);
        }
        worked | done
    }
}

/// How far a client's connection is.
struct Talk {
    sent: Stream,
    received: Stream,
    total: u64,
}

/// Opens connections, sends on each, and checks what comes back.
pub struct Client {
    pub app: App,
    pub server: (Ipv4Addr, u16),
    /// Connections that are still to be opened.
    pub to_open: usize,
    /// Most connections at one time.
    pub at_once: usize,
    pub finished: usize,
    pub failed: Vec<i32>,
    pub resets: usize,
    /// Bytes that a connection sends at least and at most.
    pub sizes: (u64, u64),
    /// Most bytes read at one time.
    pub read_most: u64,
    contexts: usize,
    random: Random,
    talks: BTreeMap<ConnName, Talk>,
    opening: usize,
    closing: usize,
    opened: usize,
}

impl Client {
    pub fn new(
        app: App,
        contexts: usize,
        server: (Ipv4Addr, u16),
        conns: usize,
        seed: u64,
    ) -> Client {
        Client {
            app,
            server,
            to_open: conns,
            at_once: conns,
            finished: 0,
            failed: Vec::new(),
            resets: 0,
            sizes: (1, 20_000),
            read_most: 1 << 20,
            contexts,
            random: Random::new(seed),
            talks: BTreeMap::new(),
            opening: 0,
            closing: 0,
            opened: 0,
        }
    }

    pub fn done(&self) -> bool {
        self.to_open + self.opening + self.closing + self.talks.len() == 0
    }

    pub fn names(&self) -> Vec<ConnName> {
        self.talks.keys().copied().collect()
    }

    /// Bytes that came back on each connection.
    pub fn received(&self) -> Vec<u64> {
        self.talks
            .values()
            .map(|talk| talk.received.position())
            .collect()
    }

    pub fn poll(&mut self) -> bool {
        let mut worked = false;
        while self.to_open > 0 && self.talks.len() + self.opening + self.closing < self.at_once {
            self.to_open -= 1;
            self.opening += 1;
            let context = self.opened % self.contexts;
            self.opened += 1;
            self.app.open(context, self.server.0, self.server.1);
            worked = true;
        }
        for event in self.app.poll() {
            worked = true;
            match event {
                Event::Opened(name) => {
                    self.opening -= 1;
                    let (least, most) = self.sizes;
                    let key = self.random.next_u64();
                    let talk = Talk {
                        sent: Stream::new(key),
                        received: Stream::new(key),
                        total: self.random.between(least, most),
                    };
                    self.talks.insert(name, talk);
                }
                Event::OpenFailed(_, status) => {
                    self.opening -= 1;
                    self.failed.push(status);
                }
                Event::Closed(..) => {
                    self.closing -= 1;
                    self.finished += 1;
                }
                _ => {}
            }
        }
        for name in self.names() {
            worked |= self.talk(name);
        }
        worked
    }

    fn talk(&mut self, name: ConnName) -> bool {
        let Some(talk) = self.talks.get_mut(&name) else {
            return false;
        };
        let Some(conn) = self.app.conn(name) else {
            panic!("a connection went without being closed");
        };
        if conn.reset {
            self.talks.remove(&name);
            self.resets += 1;
            self.closing += 1;
            self.app.close(name, true);
            return true;
        }
        let mut worked = false;
        if conn.readable > 0 {
            let most = self.random.between(1, self.read_most) as usize;
            let bytes = self.app.receive(name, most);
            if let Err(error) = talk.received.check(&bytes) {
                panic!("connection {name:?}: {error}");
            }
            worked = true;
        }
        let left = talk.total - talk.sent.position();
        if left > 0 {
            let chunk = self.random.between(1, left.min(5000)) as usize;
            let writable = self.app.conn(name).map_or(0, |conn| conn.writable) as usize;
            let sent = self.app.send(name, &talk.sent.peek(chunk.min(writable)));
            talk.sent.advance(sent);
            worked |= sent > 0;
        } else if self.app.conn(name).is_some_and(|conn| !conn.tx_closed) {
            worked |= self.app.shutdown(name);
        }
        let done = self.app.conn(name).is_some_and(|conn| {
            conn.rx_closed && conn.readable == 0 && conn.tx_closed && conn.all_acknowledged()
        });
        if done {
            assert_eq!(talk.received.position(), talk.total, "everything came back");
            self.talks.remove(&name);
            self.closing += 1;
            self.app.close(name, false);
        }
        worked | done
    }
}
