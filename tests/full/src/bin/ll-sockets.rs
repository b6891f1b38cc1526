//! A program on the low-level library's calls for sockets, which C programs do not have.
//!
//! `send IP PORT LOCAL_PORT BYTES` connects from a port, sends, and ends without a further word.
//! `hold IP PORT` connects, and reads nothing of what comes.
//! `serve PORT` shares a port, and closes whatever it accepts.
//! `once PORT` accepts one connection, and then closes the listener.
#![forbid(unsafe_code)]

use std::error::Error;
use std::net::Ipv4Addr;

use tas_abi::ll::{FlextcpConnection, FlextcpContext, FlextcpListener};
use tas_ll::calls::{self, CloseHow, ListenAt, OpenFrom};
use tas_ll::{ConnRef, Event, ListenerRef, Sink, context, service, wait};
use zerocopy::FromZeros;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The events of a poll.
#[derive(Default)]
struct Events(Vec<Event>);

impl Sink for Events {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn has_room(&self, _count: usize) -> bool {
        true
    }

    fn push(&mut self, event: Event) {
        self.0.push(event);
    }
}

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    service::init()?;
    service::declare_sockets()?;
    let mut ctx = FlextcpContext::new_zeroed();
    service::create_context(&mut ctx)?;
    match args.as_slice() {
        ["send", ip, port, local, bytes] => {
            let conn = connect(&mut ctx, (ip, port), local.parse()?)?;
            send(&mut ctx, conn, bytes.parse()?)
        }
        ["hold", ip, port] => {
            connect(&mut ctx, (ip, port), 0)?;
            loop {
                if poll(&mut ctx)?.iter().any(is_data) {
                    println!("received");
                }
            }
        }
        ["serve", port] => {
            let listener = listen(&mut ctx, port.parse()?)?;
            loop {
                accept(&mut ctx, listener)?;
            }
        }
        ["once", port] => {
            let listener = listen(&mut ctx, port.parse()?)?;
            accept(&mut ctx, listener)?;
            calls::listen_close(&mut ctx, listener)?;
            wait_for(&mut ctx, |event| match event {
                Event::ListenClosed(_, status) => Some(*status),
                _ => None,
            })?;
            println!("closed");
            loop {
                poll(&mut ctx)?;
            }
        }
        _ => Err("see the source for what to say".into()),
    }
}

fn is_data(event: &Event) -> bool {
    matches!(event, Event::Received(..))
}

/// The next events, if there are any soon.
fn poll(ctx: &mut FlextcpContext) -> Outcome<Vec<Event>> {
    let mut events = Events::default();
    if context::poll(ctx, &mut events)? == 0 {
        // It may not sleep yet: then it polls on.
        let _ = wait::wait(ctx, 100);
    }
    Ok(events.0)
}

/// Waits for the answer that `status` finds.
fn wait_for(ctx: &mut FlextcpContext, status: impl Fn(&Event) -> Option<i16>) -> Outcome<()> {
    loop {
        match poll(ctx)?.iter().find_map(&status) {
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

fn connect(ctx: &mut FlextcpContext, peer: (&str, &str), local_port: u16) -> Outcome<ConnRef> {
    let conn = new_conn()?;
    let ip: Ipv4Addr = peer.0.parse()?;
    let open = OpenFrom {
        remote: (ip.to_bits(), peer.1.parse()?),
        local: (0, local_port),
        ..OpenFrom::default()
    };
    calls::open_from(ctx, conn, &open)?;
    wait_for(ctx, |event| match event {
        Event::ConnOpen(_, status) => Some(*status),
        _ => None,
    })?;
    println!("connected");
    Ok(conn)
}

/// Sends whatever is in the transmit buffer.
fn send(ctx: &mut FlextcpContext, conn: ConnRef, bytes: usize) -> Outcome<()> {
    let mut left = bytes;
    while left > 0 {
        let taken = calls::tx_alloc(conn, left)?;
        calls::tx_send(ctx, conn, taken)?;
        left -= taken;
        if left > 0 {
            poll(ctx)?;
        }
    }
    Ok(())
}

fn listen(ctx: &mut FlextcpContext, port: u16) -> Outcome<ListenerRef> {
    let listener = Box::new(FlextcpListener::new_zeroed());
    let listener = ListenerRef::new(Box::into_raw(listener)).ok_or("no memory")?;
    let at = ListenAt {
        port,
        backlog: 16,
        reuseport: true,
        ..ListenAt::default()
    };
    calls::listen_open_at(ctx, listener, &at)?;
    wait_for(ctx, |event| match event {
        Event::ListenOpen(_, status) => Some(*status),
        _ => None,
    })?;
    println!("listening");
    Ok(listener)
}

/// Accepts a connection and closes it.
fn accept(ctx: &mut FlextcpContext, listener: ListenerRef) -> Outcome<()> {
    let conn = new_conn()?;
    calls::listen_accept(ctx, listener, conn)?;
    wait_for(ctx, |event| match event {
        Event::ListenAccept(_, status) => Some(*status),
        _ => None,
    })?;
    println!("accepted");
    calls::close_how(ctx, conn, CloseHow::Graceful)?;
    wait_for(ctx, |event| match event {
        Event::Closed(_, status) => Some(*status),
        _ => None,
    })
}
