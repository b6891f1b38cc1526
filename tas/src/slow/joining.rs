//! The socket where children made by fork are announced: a process that is about to fork says what
//! the child inherits, and the connection becomes the child's.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use tas_abi::appif::{JoinConn, JoinListener, JoinRequest, TAS_JOIN_VERSION};
use tas_wire::{FlowTuple, Ipv4Addr};
use zerocopy::FromBytes;

use super::tcp::{ConnName, Inheritance};
use crate::types::FlowId;

/// Bytes taken at once.
const CHUNK: usize = 16 << 10;
/// Most listeners, and most connections, that one child inherits: as many as there can be.
const MOST: u32 = 1 << 17;

/// A child on whose behalf its parent is talking.
pub struct Joining {
    stream: UnixStream,
    received: Vec<u8>,
}

/// What a parent has said, when it has said all.
pub struct Announcement {
    /// The parent's token.
    pub token: u64,
    /// What the child inherits.
    pub inherited: Inheritance,
}

/// How far a parent is.
pub enum Progress {
    /// It has not said all.
    Unfinished,
    /// It has.
    Complete(Announcement),
    /// It is gone, or makes no sense.
    Broken,
}

impl Joining {
    /// Nothing is said yet.
    pub fn new(stream: UnixStream) -> Joining {
        Joining {
            stream,
            received: Vec::new(),
        }
    }

    /// Its socket.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// The child's socket from now on.
    pub fn into_stream(self) -> UnixStream {
        self.stream
    }

    /// Reads what there is. `knows` tells whether a token is anybody's: nothing more is read from
    /// who has none.
    pub fn read(&mut self, knows: impl Fn(u64) -> bool) -> Progress {
        loop {
            let wanted = match self.wanted(&knows) {
                Some(0) => {
                    return self
                        .announcement()
                        .map_or(Progress::Broken, Progress::Complete);
                }
                Some(wanted) => wanted,
                None => return Progress::Broken,
            };
            let mut chunk = vec![0; wanted.min(CHUNK)];
            match self.stream.read(&mut chunk) {
                Ok(0) => return Progress::Broken,
                Ok(len) => self
                    .received
                    .extend_from_slice(chunk.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Unfinished;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Progress::Broken,
            }
        }
    }

    /// Bytes that are still to come; `None` when what has come makes no sense.
    fn wanted(&self, knows: &impl Fn(u64) -> bool) -> Option<usize> {
        let Ok((head, rest)) = JoinRequest::read_from_prefix(&self.received) else {
            return Some(size_of::<JoinRequest>() - self.received.len());
        };
        let sensible =
            head.version == TAS_JOIN_VERSION && head.listeners <= MOST && head.conns <= MOST;
        if !sensible || !knows(head.token) {
            return None;
        }
        let listeners = head.listeners as usize * size_of::<JoinListener>();
        let conns = head.conns as usize * size_of::<JoinConn>();
        (listeners + conns).checked_sub(rest.len())
    }

    fn announcement(&self) -> Option<Announcement> {
        let (head, rest) = JoinRequest::read_from_prefix(&self.received).ok()?;
        let listeners = head.listeners as usize * size_of::<JoinListener>();
        let (listeners, conns) = rest.split_at_checked(listeners)?;
        let listeners = listeners.chunks_exact(size_of::<JoinListener>());
        let conns = conns.chunks_exact(size_of::<JoinConn>());
        Some(Announcement {
            token: head.token,
            inherited: Inheritance {
                listeners: listeners.filter_map(listener).collect(),
                conns: conns.filter_map(conn).collect(),
            },
        })
    }
}

fn listener(bytes: &[u8]) -> Option<(u64, u16)> {
    let named = JoinListener::read_from_bytes(bytes).ok()?;
    Some((named.opaque, named.local_port))
}

fn conn(bytes: &[u8]) -> Option<(ConnName, FlowId)> {
    let named = JoinConn::read_from_bytes(bytes).ok()?;
    let name = ConnName {
        opaque: named.opaque,
        tuple: FlowTuple {
            local_ip: Ipv4Addr::from_bits(named.local_ip),
            local_port: named.local_port,
            remote_ip: Ipv4Addr::from_bits(named.remote_ip),
            remote_port: named.remote_port,
        },
    };
    Some((name, FlowId(named.flow_id)))
}

#[cfg(test)]
#[path = "joining_tests.rs"]
mod tests;
