//! What programs set for a socket.
//!
//! The placeholder judges, keeps and tells every option: wrong levels, names,
//! lengths and addresses are the kernel's to find, and an undecided socket that
//! turns out to be the kernel's has everything that was set. Here are those that
//! mean something to TAS: what they do, and what the placeholder does not know.

mod answer;
mod effect;
mod info;
mod inherited;
mod meaning;

use std::time::Duration;

use tas_abi::ll::FlextcpConnection;
use tas_ll::calls::{BufferLens, Keepalive};
use tas_ll::conn;

pub use answer::{Answer, answer, peer_name, prepare};
pub(crate) use effect::hand_over;
pub use effect::{wanted_len, was_set};
pub use info::{Info, ask as ask_info};
pub use inherited::Inherited;

/// What close does with bytes that were not sent (socket(7), SO_LINGER).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// It returns at once; they are sent in the background.
    #[default]
    Background,
    /// It waits for as long; zero: they are discarded, and the peer gets a RST.
    For(Duration),
}

/// The shortest buffer, which is the service's.
const BUFFER_MIN: u32 = 2048;
/// The longest buffer that a program gets for asking.
const BUFFER_MAX: u32 = 4 << 20;

/// The length of a buffer, as SO_RCVBUF and SO_SNDBUF ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferLen(u32);

impl BufferLen {
    /// What is given to a program that asks for `bytes`. Linux takes a number
    /// for unsigned, too.
    fn asked(bytes: i32) -> BufferLen {
        BufferLen(bytes.cast_unsigned().clamp(BUFFER_MIN, BUFFER_MAX))
    }

    /// What getsockopt(2) says of a buffer of `bytes`: twice as much, since
    /// Linux counts what it needs for itself (socket(7)).
    fn told(bytes: u32) -> i32 {
        i32::try_from(bytes.saturating_mul(2)).unwrap_or(i32::MAX)
    }
}

/// When the peer of an idle connection is probed; `None`: as Linux does by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Probes {
    /// SO_KEEPALIVE.
    on: bool,
    /// TCP_KEEPIDLE, seconds.
    idle: Option<u32>,
    /// TCP_KEEPINTVL, seconds.
    interval: Option<u32>,
    /// TCP_KEEPCNT.
    count: Option<u32>,
}

/// What programs set for a socket.
#[derive(Clone, Debug)]
pub struct Options {
    /// SO_RCVTIMEO.
    pub receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO.
    pub send_timeout: Option<Duration>,
    /// SO_LINGER.
    pub linger: Linger,
    /// SO_RCVBUF, if it was set.
    pub receive_buffer: Option<BufferLen>,
    /// SO_SNDBUF, if it was set.
    pub send_buffer: Option<BufferLen>,
    /// Bytes that may wait for their acknowledgement, fewer than the buffer holds.
    send_limit: Option<u32>,
    /// TCP_CORK.
    pub cork: bool,
    /// SO_RCVLOWAT: bytes that receiving waits for.
    pub low_water: u32,
    /// SO_KEEPALIVE and what belongs to it.
    pub probes: Probes,
    /// TCP_USER_TIMEOUT, milliseconds; 0: as long as usual.
    pub user_timeout: u32,
    /// All that connections of a listener inherit.
    pub inherited: Inherited,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            receive_timeout: None,
            send_timeout: None,
            linger: Linger::default(),
            receive_buffer: None,
            send_buffer: None,
            send_limit: None,
            cork: false,
            low_water: 1,
            probes: Probes::default(),
            user_timeout: 0,
            inherited: Inherited::default(),
        }
    }
}

impl Options {
    /// Those that an accepted connection has from its listener.
    #[must_use]
    pub fn inherited(&self) -> Options {
        Options {
            inherited: self.inherited.for_connection(),
            send_limit: None,
            ..self.clone()
        }
    }

    /// The lengths of a connection's buffers; 0: as usual.
    pub fn buffers(&self) -> BufferLens {
        BufferLens {
            rx: self.receive_buffer.map_or(0, |len| len.0),
            tx: self.send_buffer.map_or(0, |len| len.0),
        }
    }

    /// Bytes that may be sent now.
    #[inline]
    pub fn send_room(&self, c: &FlextcpConnection) -> u32 {
        let free = conn::tx_free(c);
        match self.send_limit {
            None => free,
            Some(limit) => {
                let unacked = c.txb_sent.saturating_add(c.txb_allocated);
                free.min(limit.saturating_sub(unacked))
            }
        }
    }

    /// Nothing is held back, and all of the buffer is used.
    #[inline]
    pub fn sends_at_once(&self) -> bool {
        !self.cork && self.send_limit.is_none()
    }

    /// SO_SNDBUF was set when the buffer was there already: less of it is used.
    fn limit_sending(&mut self, c: &mut FlextcpConnection) {
        let asked = self.send_buffer.map(|len| len.0);
        self.send_limit = asked.filter(|len| *len < c.txb_len);
        if self.send_limit.is_some() {
            c.flags |= conn::TELL_ROOM;
        } else {
            c.flags &= !conn::TELL_ROOM;
        }
    }

    /// Bytes that must have arrived before receiving `wanted` may end, at most
    /// what the buffer holds.
    #[inline]
    pub fn receive_at_least(&self, c: &FlextcpConnection, wanted: u32) -> u32 {
        self.low_water.min(c.rxb_len).min(wanted)
    }

    /// What the service has to know of; `None` if nothing was set.
    fn for_service(&self) -> Option<tas_ll::calls::Options> {
        // tcp(7): the defaults of Linux.
        let keepalive = self.probes.on.then(|| Keepalive {
            idle: self.probes.idle.unwrap_or(7200),
            interval: self.probes.interval.unwrap_or(75),
            count: self.probes.count.unwrap_or(9),
        });
        let any = keepalive.is_some() || self.user_timeout != 0;
        any.then_some(tas_ll::calls::Options {
            keepalive,
            user_timeout: self.user_timeout,
        })
    }
}

#[cfg(test)]
mod tests;
