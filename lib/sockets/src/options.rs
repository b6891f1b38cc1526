//! What programs set for a socket.

use std::time::Duration;

use tas_abi::ll::FlextcpConnection;
use tas_ll::calls::BufferLens;
use tas_ll::conn;

/// What close does with bytes that were not sent (socket(7), SO_LINGER).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Linger {
    /// It returns at once; they are sent in the background.
    #[default]
    Background,
    /// It waits for as long; zero: they are discarded, and the peer gets a RST.
    For(Duration),
}

/// What programs set for a socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// SO_RCVTIMEO.
    pub receive_timeout: Option<Duration>,
    /// SO_SNDTIMEO.
    pub send_timeout: Option<Duration>,
    /// SO_LINGER.
    pub linger: Linger,
    /// SO_RCVBUF in bytes, if it was set.
    pub receive_buffer: Option<u32>,
    /// SO_SNDBUF in bytes, if it was set.
    pub send_buffer: Option<u32>,
    /// TCP_CORK.
    pub cork: bool,
}

impl Options {
    /// Those that an accepted connection has from its listener.
    #[must_use]
    pub fn inherited(&self) -> Options {
        *self
    }

    /// The lengths of a connection's buffers; 0: as usual.
    pub fn buffers(&self) -> BufferLens {
        BufferLens {
            rx: self.receive_buffer.unwrap_or(0),
            tx: self.send_buffer.unwrap_or(0),
        }
    }

    /// Bytes that may be sent now.
    pub fn send_room(&self, c: &FlextcpConnection) -> u32 {
        conn::tx_free(c)
    }
}
