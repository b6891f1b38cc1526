//! A program on the low-level library's calls for sockets, which C programs do not have.
//!
//! `send IP PORT LOCAL_PORT BYTES` connects from a port, sends, and ends without a further word.
//! `hold IP PORT` connects, and reads nothing of what comes.
//! `serve PORT` shares a port, and closes whatever it accepts.
//! `once PORT` accepts one connection, and then closes the listener.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::error::Error;
use std::net::Ipv4Addr;

use tas_abi::ll::{FlextcpConnection, FlextcpContext, FlextcpListener};
use tas_ll::calls::{self, CloseHow, ListenAt, OpenFrom};
use tas_ll::{ConnRef, Event, ListenerRef, Sink, context, service, wait};
use zerocopy::FromZeros;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Events, the first of which is the next to be looked at.
#[derive(Default)]
struct Events(VecDeque<Event>);

impl Sink for Events {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn has_room(&self, _count: usize) -> bool {
        true
    }

    fn push(&mut self, event: Event) {
        self.0.push_back(event);
    }
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    service::init()?;
    service::declare_sockets()?;
    let mut app = App {
        ctx: FlextcpContext::new_zeroed(),
        events: Events::default(),
    };
    service::create_context(&mut app.ctx)?;
    match args.as_slice() {
        ["send", ip, port, local, bytes] => {
            let conn = connect(&mut app, (ip, port), local.parse()?)?;
            send(&mut app, conn, bytes.parse()?)
        }
        ["hold", ip, port] => {
            connect(&mut app, (ip, port), 0)?;
            loop {
                if app
                    .next()?
                    .is_some_and(|event| matches!(event, Event::Received(..)))
                {
                    println!("received");
                }
            }
        }
        ["serve", port] => {
            let listener = listen(&mut app, port.parse()?)?;
            loop {
                accept(&mut app, listener)?;
            }
        }
        ["once", port] => {
            let listener = listen(&mut app, port.parse()?)?;
            accept(&mut app, listener)?;
            calls::listen_close(&mut app.ctx, listener)?;
            wait_for(&mut app, |event| match event {
                Event::ListenClosed(_, status) => Some(*status),
                _ => None,
            })?;
            println!("closed");
            loop {
                app.next()?;
            }
        }
        _ => Err("see the source for what to say".into()),
    }
}

/// A context, and what it has told that was not looked at yet.
struct App {
    ctx: FlextcpContext,
    events: Events,
}

impl App {
    /// The next event, if there is one soon.
    fn next(&mut self) -> Outcome<Option<Event>> {
        if self.events.0.is_empty() && context::poll(&mut self.ctx, &mut self.events)? == 0 {
            // It may not sleep yet: then it polls on.
            let _ = wait::wait(&mut self.ctx, 100);
        }
        Ok(self.events.0.pop_front())
    }
}

/// Waits for the answer that `status` finds.
fn wait_for(app: &mut App, status: impl Fn(&Event) -> Option<i16>) -> Outcome<()> {
    loop {
        match app.next()?.as_ref().and_then(&status) {
            Some(0) => return Ok(()),
            Some(status) => return Err(format!("status {status}").into()),
            None => {}
        }
    }
}

fn new_conn() -> Outcome<ConnRef> {
    let conn = Box::new(FlextcpConnection::new_zeroed());
    Ok(ConnRef::new(Box::into_raw(conn)).ok_or("no memory")?)
}

fn connect(app: &mut App, peer: (&str, &str), local_port: u16) -> Outcome<ConnRef> {
    let conn = new_conn()?;
    let ip: Ipv4Addr = peer.0.parse()?;
    let open = OpenFrom {
        remote: (ip.to_bits(), peer.1.parse()?),
        local: (0, local_port),
        ..OpenFrom::default()
    };
    calls::open_from(&mut app.ctx, conn, &open)?;
    wait_for(app, |event| match event {
        Event::ConnOpen(_, status) => Some(*status),
        _ => None,
    })?;
    println!("connected");
    Ok(conn)
}

/// Sends whatever is in the transmit buffer.
fn send(app: &mut App, conn: ConnRef, bytes: usize) -> Outcome<()> {
    let mut left = bytes;
    while left > 0 {
        let taken = calls::tx_alloc(conn, left)?;
        calls::tx_send(&mut app.ctx, conn, taken)?;
        left -= taken;
        if left > 0 {
            app.next()?;
        }
    }
    Ok(())
}

fn listen(app: &mut App, port: u16) -> Outcome<ListenerRef> {
    let listener = Box::new(FlextcpListener::new_zeroed());
    let listener = ListenerRef::new(Box::into_raw(listener)).ok_or("no memory")?;
    let at = ListenAt {
        port,
        backlog: 16,
        reuseport: true,
        ..ListenAt::default()
    };
    calls::listen_open_at(&mut app.ctx, listener, &at)?;
    wait_for(app, |event| match event {
        Event::ListenOpen(_, status) => Some(*status),
        _ => None,
    })?;
    println!("listening");
    Ok(listener)
}

/// Accepts a connection and closes it.
fn accept(app: &mut App, listener: ListenerRef) -> Outcome<()> {
    let conn = new_conn()?;
    calls::listen_accept(&mut app.ctx, listener, conn)?;
    wait_for(app, |event| match event {
        Event::ListenAccept(_, status) => Some(*status),
        _ => None,
    })?;
    println!("accepted");
    calls::close_how(&mut app.ctx, conn, CloseHow::Graceful)?;
    wait_for(app, |event| match event {
        Event::Closed(_, status) => Some(*status),
        _ => None,
    })
}
