//! What a poll tells of, and where it puts that.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tas_abi::appif::AppinConnInfo;
use tas_abi::ll::{
    EvConnClosed, EvConnMoved, EvConnOpen, EvConnReceived, EvConnRxclosed, EvConnSendbuf,
    EvConnTxclosed, EvListenAccept, EvListenNewconn, EvListenOpen, FlextcpEvent, FlextcpEventData,
    FlextcpEventType,
};

use crate::ffi::{ConnRef, ListenerRef};

/// Takes the events of a poll, in order.
pub trait Sink {
    /// Events so far.
    fn len(&self) -> usize;

    /// Whether there are none so far.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `count` more fit. What does not fit stays for the next poll.
    fn has_room(&self, count: usize) -> bool;

    /// Adds an event, for which the caller has made sure of the room.
    fn push(&mut self, event: Event);

    /// Takes the answer to [`request_info`](crate::calls::request_info), which needs no room.
    fn info(&mut self, _conn: ConnRef, _info: &AppinConnInfo) {}
}

/// Events of one poll in a C program's array.
pub struct Events<'a> {
    slots: &'a mut [MaybeUninit<FlextcpEvent>],
    len: usize,
}

/// An event. A status is 0 or a negative errno.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Answer to opening a listener.
    ListenOpen(ListenerRef, i16),
    /// A connection waits to be accepted: the peer's address and port.
    ListenNewconn(ListenerRef, u32, u16),
    /// Answer to accepting.
    ListenAccept(ConnRef, i16),
    /// Answer to opening a connection.
    ConnOpen(ConnRef, i16),
    /// Bytes at a place in the receive buffer.
    Received(ConnRef, *mut c_void, usize),
    /// There is room in a transmit buffer that was full.
    Sendbuf(ConnRef),
    /// The peer sends no more.
    RxClosed(ConnRef),
    /// Everything sent has arrived, the end of the stream included.
    TxClosed(ConnRef),
    /// Answer to moving a connection.
    Moved(ConnRef, i16),
    /// The connection is over, and its memory the caller's.
    Closed(ConnRef, i16),
    /// Answer to closing a listener, whose memory is the caller's.
    ListenClosed(ListenerRef, i16),
    /// Answer to adopting a connection.
    Adopted(ConnRef, i16),
    /// Another process has adopted the connection. Bytes that this one was told of and has not
    /// handed back are delivered there.
    TakenAway(ConnRef),
}

impl<'a> Events<'a> {
    /// Events go into `slots`.
    pub fn new(slots: &'a mut [MaybeUninit<FlextcpEvent>]) -> Self {
        Events { slots, len: 0 }
    }
}

impl Sink for Events<'_> {
    fn len(&self) -> usize {
        self.len
    }

    fn has_room(&self, count: usize) -> bool {
        self.slots.len() - self.len >= count
    }

    fn push(&mut self, event: Event) {
        if let Some(slot) = self.slots.get_mut(self.len)
            && let Some(event) = event.for_c()
        {
            slot.write(event);
            self.len += 1;
        }
    }
}

impl Event {
    /// As C programs know it, unless it answers a call that they do not have.
    fn for_c(self) -> Option<FlextcpEvent> {
        use FlextcpEventData as Data;
        use FlextcpEventType as Type;
        let (kind, ev) = match self {
            Event::ListenClosed(..) => return None,
            Event::Adopted(..) | Event::TakenAway(..) => return None,
            Event::ListenOpen(lst, status) => (
                Type::ListenOpen,
                Data {
                    listen_open: EvListenOpen {
                        status,
                        listener: lst.as_ptr(),
                    },
                },
            ),
            Event::ListenNewconn(lst, remote_ip, remote_port) => {
                let listen_newconn = EvListenNewconn {
                    remote_port,
                    remote_ip,
                    listener: lst.as_ptr(),
                };
                (Type::ListenNewconn, Data { listen_newconn })
            }
            Event::ListenAccept(conn, status) => (
                Type::ListenAccept,
                Data {
                    listen_accept: EvListenAccept {
                        status,
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::ConnOpen(conn, status) => (
                Type::ConnOpen,
                Data {
                    conn_open: EvConnOpen {
                        status,
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::Received(conn, buf, len) => (
                Type::ConnReceived,
                Data {
                    conn_received: EvConnReceived {
                        buf,
                        len,
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::Sendbuf(conn) => (
                Type::ConnSendbuf,
                Data {
                    conn_sendbuf: EvConnSendbuf {
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::RxClosed(conn) => (
                Type::ConnRxclosed,
                Data {
                    conn_rxclosed: EvConnRxclosed {
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::TxClosed(conn) => (
                Type::ConnTxclosed,
                Data {
                    conn_txclosed: EvConnTxclosed {
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::Moved(conn, status) => (
                Type::ConnMoved,
                Data {
                    conn_moved: EvConnMoved {
                        status,
                        conn: conn.as_ptr(),
                    },
                },
            ),
            Event::Closed(conn, status) => (
                Type::ConnClosed,
                Data {
                    conn_closed: EvConnClosed {
                        status,
                        conn: conn.as_ptr(),
                    },
                },
            ),
        };
        Some(FlextcpEvent {
            event_type: kind as u8,
            ev,
        })
    }
}
