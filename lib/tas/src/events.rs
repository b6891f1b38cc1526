//! The array of events that a poll fills.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tas_abi::ll::{
    EvConnClosed, EvConnMoved, EvConnOpen, EvConnReceived, EvConnRxclosed, EvConnSendbuf,
    EvConnTxclosed, EvListenAccept, EvListenNewconn, EvListenOpen, FlextcpEvent, FlextcpEventData,
    FlextcpEventType,
};

use crate::ffi::{ConnRef, ListenerRef};

/// Events of one poll, in order, in the caller's array.
pub struct Events<'a> {
    slots: &'a mut [MaybeUninit<FlextcpEvent>],
    len: usize,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    ListenOpen(ListenerRef, i16),
    ListenNewconn(ListenerRef, u32, u16),
    ListenAccept(ConnRef, i16),
    ConnOpen(ConnRef, i16),
    Received(ConnRef, *mut c_void, usize),
    Sendbuf(ConnRef),
    RxClosed(ConnRef),
    TxClosed(ConnRef),
    Moved(ConnRef, i16),
    Closed(ConnRef, i16),
}

impl<'a> Events<'a> {
    /// Events go into `slots`.
    pub fn new(slots: &'a mut [MaybeUninit<FlextcpEvent>]) -> Self {
        Events { slots, len: 0 }
    }

    /// Events so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none so far.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether `count` more fit.
    pub(crate) fn has_room(&self, count: usize) -> bool {
        self.slots.len() - self.len >= count
    }

    /// Adds an event; the caller has made sure of the room.
    pub(crate) fn push(&mut self, event: Event) {
        if let Some(slot) = self.slots.get_mut(self.len) {
            slot.write(event.into());
            self.len += 1;
        }
    }
}

impl From<Event> for FlextcpEvent {
    fn from(event: Event) -> FlextcpEvent {
        use FlextcpEventData as Data;
        use FlextcpEventType as Type;
        let (kind, ev) = match event {
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
        FlextcpEvent {
            event_type: kind as u8,
            ev,
        }
    }
}
