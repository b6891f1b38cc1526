//! The slow path's answers.

use tas_abi::appif::{
    AppinAcceptConn, AppinConnAdopted, AppinConnOpened, AppinMsg, AppinStatus, KernelAppin,
    TAS_ADOPTED_RESET, TAS_ADOPTED_RXDONE, TAS_ADOPTED_TIMEDOUT, TAS_ADOPTED_TXDONE,
};
use tas_abi::ll::{FlextcpConnection, FlextcpContext};

use crate::calls::{self, CloseHow};
use crate::conn::{
    self, EARLY_DATA, EARLY_FIN, RESET, Status, TIMED_OUT, TX_EOS, TX_EOS_ACKED, TX_EOS_PLACED,
};
use crate::context::{self, KERNEL_ENTRY, Step};
use crate::core_poll::deliver_early;
use crate::events::{Event, Sink};
use crate::ffi::{ConnRef, ListenerRef, queues, seams};
use crate::pending;

/// Delivers the answers that wait. Returns whether there were any.
pub(crate) fn poll(ctx: &mut FlextcpContext, out: &mut impl Sink) -> bool {
    let mut busy = false;
    while let Some(queue) = queues::kout(ctx) {
        let mut pos = ctx.kout_head.wrapping_mul(KERNEL_ENTRY);
        let Some(entry) = queue.peek(pos) else { break };
        busy = true;
        let step = match AppinMsg::try_from(KernelAppin::from_bytes(&entry)) {
            Ok(msg) => deliver(ctx, msg, out),
            Err(_) => Step::Done,
        };
        if step == Step::Blocked {
            break;
        }
        queue.pop(&mut pos);
        ctx.kout_head = pos / KERNEL_ENTRY;
    }
    busy
}

/// Whether an answer waits to be delivered.
pub(crate) fn answers_wait(ctx: &FlextcpContext) -> bool {
    queues::kout(ctx).is_some_and(|queue| queue.ready(ctx.kout_head.wrapping_mul(KERNEL_ENTRY)))
}

/// Takes answers up to the one to a request for cores, and returns its status.
pub(crate) fn take_scaled(ctx: &mut FlextcpContext) -> Option<i32> {
    loop {
        let queue = queues::kout(ctx)?;
        let mut pos = ctx.kout_head.wrapping_mul(KERNEL_ENTRY);
        let entry = queue.pop(&mut pos)?;
        ctx.kout_head = pos / KERNEL_ENTRY;
        if let Ok(AppinMsg::StatusReqScale(m)) = AppinMsg::try_from(KernelAppin::from_bytes(&entry))
        {
            return Some(m.status);
        }
    }
}

fn deliver(ctx: &mut FlextcpContext, msg: AppinMsg, out: &mut impl Sink) -> Step {
    match msg {
        AppinMsg::ConnOpened(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => connected(ctx, conn, &Answer::from(&m), out),
            None => Step::Done,
        },
        AppinMsg::AcceptedConn(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => connected(ctx, conn, &Answer::from(&m), out),
            None => Step::Done,
        },
        AppinMsg::ListenNewconn(m) => match ListenerRef::from_opaque(m.opaque) {
            Some(lst) => emit(Event::ListenNewconn(lst, m.remote_ip, m.remote_port), out),
            None => Step::Done,
        },
        AppinMsg::StatusListenOpen(m) => match ListenerRef::from_opaque(m.opaque) {
            Some(lst) => listening(lst, m.status, out),
            None => Step::Done,
        },
        AppinMsg::StatusConnClose(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => closed(ctx, conn, &m, out),
            None => Step::Done,
        },
        AppinMsg::StatusConnMove(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => moved(ctx, conn, &m, out),
            None => Step::Done,
        },
        AppinMsg::ConnAdopted(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => adopted(ctx, conn, &m, out),
            None => Step::Done,
        },
        AppinMsg::ConnTaken(m) => match ConnRef::from_opaque(m.opaque) {
            Some(conn) => taken(ctx, conn, out),
            None => Step::Done,
        },
        AppinMsg::StatusListenClose(m) => match ListenerRef::from_opaque(m.opaque) {
            Some(lst) => unlistening(lst, m.status, out),
            None => Step::Done,
        },
        AppinMsg::ConnInfo(m) => {
            if let Some(conn) = ConnRef::from_opaque(m.opaque) {
                out.info(conn, &m);
            }
            Step::Done
        }
        // The application asked for nothing that this would answer.
        AppinMsg::StatusReqScale(_) => Step::Done,
    }
}

fn emit(event: Event, out: &mut impl Sink) -> Step {
    if !out.has_room(1) {
        return Step::Blocked;
    }
    out.push(event);
    Step::Done
}

/// A status as events carry it.
fn event_status(status: i32) -> i16 {
    i16::try_from(status).unwrap_or(-(libc::EPROTO as i16))
}

fn listening(lst: ListenerRef, status: i32, out: &mut impl Sink) -> Step {
    let step = emit(Event::ListenOpen(lst, event_status(status)), out);
    if step == Step::Done {
        lst.with(|l| {
            if l.status == calls::LISTEN_REQUESTED {
                l.status = if status == 0 {
                    calls::LISTEN_OPEN
                } else {
                    calls::LISTEN_CLOSED
                };
            }
        });
    }
    step
}

fn unlistening(lst: ListenerRef, status: i32, out: &mut impl Sink) -> Step {
    let step = emit(Event::ListenClosed(lst, event_status(status)), out);
    if step == Step::Done {
        lst.with(|l| l.status = calls::LISTEN_CLOSED);
    }
    step
}

/// What the answers to open and accept have in common.
struct Answer {
    status: i32,
    rx: (u64, u32),
    tx: (u64, u32),
    seq_rx: u32,
    seq_tx: u32,
    flow_id: u32,
    fn_core: u16,
    local_ip: u32,
    /// Known to the application on an open.
    remote: Option<(u32, u16)>,
    /// Known to the application on an accept.
    local_port: Option<u16>,
}

impl From<&AppinConnOpened> for Answer {
    fn from(m: &AppinConnOpened) -> Answer {
        Answer {
            status: m.status,
            rx: (m.rx_off, m.rx_len),
            tx: (m.tx_off, m.tx_len),
            seq_rx: m.seq_rx,
            seq_tx: m.seq_tx,
            flow_id: m.flow_id,
            fn_core: m.fn_core,
            local_ip: m.local_ip,
            remote: None,
            local_port: Some(m.local_port),
        }
    }
}

impl From<&AppinAcceptConn> for Answer {
    fn from(m: &AppinAcceptConn) -> Answer {
        Answer {
            status: m.status,
            rx: (m.rx_off, m.rx_len),
            tx: (m.tx_off, m.tx_len),
            seq_rx: m.seq_rx,
            seq_tx: m.seq_tx,
            flow_id: m.flow_id,
            fn_core: m.fn_core,
            local_ip: m.local_ip,
            remote: Some((m.remote_ip, m.remote_port)),
            local_port: None,
        }
    }
}

fn install(c: &mut FlextcpConnection, a: &Answer) {
    c.rxb_base = seams::mem_at(a.rx.0);
    c.rxb_len = a.rx.1;
    c.txb_base = seams::mem_at(a.tx.0);
    c.txb_len = a.tx.1;
    c.seq_rx = a.seq_rx;
    c.seq_tx = a.seq_tx;
    c.flow_id = a.flow_id;
    c.fn_core = a.fn_core;
    c.local_ip = a.local_ip;
    if let Some((ip, port)) = a.remote {
        c.remote_ip = ip;
        c.remote_port = port;
    }
    if let Some(port) = a.local_port {
        c.local_port = port;
    }
}

/// The answer to open or accept. It stays queued until everything that arrived
/// ahead of it is delivered as well.
fn connected(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    answer: &Answer,
    out: &mut impl Sink,
) -> Step {
    let status = event_status(answer.status);
    let event = match conn.with(|c| conn::status(c)) {
        Some(Status::OpenRequested | Status::OpenAwaited) => Event::ConnOpen(conn, status),
        Some(Status::AcceptRequested) => Event::ListenAccept(conn, status),
        Some(Status::Open) => return deliver_early(ctx, conn, out),
        Some(Status::CloseOpening) => {
            // The answer to the close follows.
            conn.with(|c| {
                let opened = answer.status == 0;
                if opened {
                    install(c, answer);
                }
                let next = if opened {
                    Status::CloseOpened
                } else {
                    Status::CloseFailed
                };
                c.status = next as u8;
            });
            return Step::Done;
        }
        Some(Status::CloseDeferred) => return close_now(ctx, conn, answer, out),
        _ => return Step::Done,
    };
    if emit(event, out) == Step::Blocked {
        return Step::Blocked;
    }
    if answer.status != 0 {
        conn.with(|c| c.status = Status::Closed as u8);
        return Step::Done;
    }
    conn.with(|c| {
        let used = conn::status(c) != Some(Status::OpenAwaited);
        install(c, answer);
        let next = if used { Status::Open } else { Status::Parked };
        c.status = next as u8;
    });
    if conn.with(|c| conn::has(c, EARLY_DATA | EARLY_FIN)) {
        return deliver_early(ctx, conn, out);
    }
    Step::Done
}

/// A close that had to wait for the answer to open or accept.
fn close_now(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    answer: &Answer,
    out: &mut impl Sink,
) -> Step {
    if answer.status != 0 {
        let step = emit(Event::Closed(conn, 0), out);
        if step == Step::Done {
            context::forget_updates(ctx, conn);
            conn.with(|c| c.status = Status::Closed as u8);
        }
        return step;
    }
    conn.with(|c| install(c, answer));
    close_again(ctx, conn)
}

/// Repeats a close that the service did not understand, now that the
/// connection's addresses are known.
fn close_again(ctx: &mut FlextcpContext, conn: ConnRef) -> Step {
    match calls::request_close(ctx, conn, CloseHow::Reset) {
        Ok(()) => {
            conn.with(|c| c.status = Status::CloseRequested as u8);
            Step::Done
        }
        Err(_) => Step::Blocked,
    }
}

fn closed(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    answer: &AppinStatus,
    out: &mut impl Sink,
) -> Step {
    let status = match conn.with(|c| (conn::status(c), conn::has(c, RESET))) {
        (Some(Status::CloseRequested), false) => answer.status,
        (Some(Status::CloseRequested | Status::ResetClosing), _) => failure(conn),
        // One thread asked for a move while the other saw the reset.
        (Some(Status::Moving), true) => failure(conn),
        (Some(Status::CloseOpening), _) if answer.status != 0 => {
            conn.with(|c| c.status = Status::CloseDeferred as u8);
            return Step::Done;
        }
        (Some(Status::CloseOpened), _) if answer.status != 0 => return close_again(ctx, conn),
        (Some(Status::CloseOpening | Status::CloseOpened | Status::CloseFailed), _) => 0,
        _ => return Step::Done,
    };
    if emit(Event::Closed(conn, event_status(status)), out) == Step::Blocked {
        return Step::Blocked;
    }
    context::forget_updates(ctx, conn);
    conn.with(|c| c.status = Status::Closed as u8);
    Step::Done
}

/// The answer to an adoption. It stays queued until what the former user had not handed back is
/// delivered as well.
fn adopted(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    answer: &AppinConnAdopted,
    out: &mut impl Sink,
) -> Step {
    match conn.with(|c| conn::status(c)) {
        Some(Status::Adopting) => {}
        Some(Status::Open) => return deliver_early(ctx, conn, out),
        _ => return Step::Done,
    }
    if emit(Event::Adopted(conn, event_status(answer.status)), out) == Step::Blocked {
        return Step::Blocked;
    }
    if answer.status != 0 {
        conn.with(|c| c.status = Status::Parked as u8);
        return Step::Done;
    }
    conn.with(|c| take_over(c, answer));
    deliver_early(ctx, conn, out)
}

fn take_over(c: &mut FlextcpConnection, a: &AppinConnAdopted) {
    conn::detach(c);
    c.rxb_base = seams::mem_at(a.rx_off);
    c.rxb_len = a.rx_len;
    c.txb_base = seams::mem_at(a.tx_off);
    c.txb_len = a.tx_len;
    c.flow_id = a.flow_id;
    c.fn_core = a.fn_core;
    c.bump_seq = a.bump_seq.into();
    c.txb_head = a.tx_pos;
    c.txb_sent = a.tx_used;
    c.rxb_used = a.rx_used;
    let before = if a.rx_used > a.rx_pos { a.rx_len } else { 0 };
    c.rxb_head = a.rx_pos.wrapping_add(before).wrapping_sub(a.rx_used);
    c.rx_closed = 0;
    let flag = |of: u8, sets: u8| if a.flags & of != 0 { sets } else { 0 };
    c.flags &= TX_EOS;
    c.flags |= flag(TAS_ADOPTED_RXDONE, EARLY_FIN)
        | flag(TAS_ADOPTED_RESET, EARLY_FIN | RESET)
        | flag(TAS_ADOPTED_TIMEDOUT, TIMED_OUT)
        | flag(TAS_ADOPTED_TXDONE, TX_EOS | TX_EOS_PLACED);
    if a.rx_used > 0 {
        c.flags |= EARLY_DATA;
    }
    if conn::has(c, TX_EOS_PLACED) && a.tx_used == 0 {
        c.flags |= TX_EOS_ACKED;
    }
    c.status = Status::Open as u8;
}

/// Another process uses the connection.
fn taken(ctx: &mut FlextcpContext, conn: ConnRef, out: &mut impl Sink) -> Step {
    if !conn.with(|c| conn::is_open(c)) {
        return Step::Done;
    }
    if emit(Event::TakenAway(conn), out) == Step::Blocked {
        return Step::Blocked;
    }
    // What they tell is included in what that process, and this one when it adopts the connection
    // again, is told.
    context::forget_updates(ctx, conn);
    pending::unlink(ctx, conn);
    conn.with(|c| {
        conn::detach(c);
        c.rxb_used = 0;
        c.status = Status::Parked as u8;
    });
    Step::Done
}

/// The status of a connection that was over without a close.
fn failure(conn: ConnRef) -> i32 {
    -conn.with(|c| conn::failure(c)).unwrap_or(libc::ECONNRESET)
}

fn moved(
    ctx: &mut FlextcpContext,
    conn: ConnRef,
    answer: &AppinStatus,
    out: &mut impl Sink,
) -> Step {
    if conn.with(|c| conn::status(c)) != Some(Status::Moving) {
        return Step::Done;
    }
    let step = emit(Event::Moved(conn, event_status(answer.status)), out);
    if step == Step::Done {
        conn.with(|c| c.status = Status::Open as u8);
        pending::post(ctx, conn);
    }
    step
}
