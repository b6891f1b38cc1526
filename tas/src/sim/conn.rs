//! A connection as an application keeps it.

use std::net::Ipv4Addr;

use tas_abi::memif::{
    ArxConnUpdate, AtxConnUpdate, FLEXTCP_PL_ARX_FLRESET, FLEXTCP_PL_ARX_FLRXDONE,
    FLEXTCP_PL_ARX_FLTIMEDOUT, FLEXTCP_PL_ATX_FLTXDONE,
};
use tas_shm::{Arena, ByteRing, ShmOffset};

/// An application's word for a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ConnName(pub u64);

/// Where a connection's buffers are, and on which flow it runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub flow: u32,
    pub core: u16,
    pub rx: (ShmOffset, u32),
    pub tx: (ShmOffset, u32),
    pub local: (Ipv4Addr, u16),
    pub remote: (Ipv4Addr, u16),
}

/// How far a connection is that is taken over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Adopted {
    pub flow: u32,
    pub core: u16,
    pub rx: (ShmOffset, u32),
    pub tx: (ShmOffset, u32),
    pub rx_pos: u32,
    pub rx_used: u32,
    pub tx_pos: u32,
    pub tx_used: u32,
    pub bump_seq: u16,
    pub rx_closed: bool,
    pub tx_closed: bool,
    pub reset: bool,
}

/// A connection as an application keeps it.
#[derive(Debug)]
pub struct Conn {
    /// Its context.
    pub context: usize,
    /// Its flow; also in queue entries.
    pub flow: u32,
    /// The core that has it.
    pub core: u16,
    /// Our address and port.
    pub local: (Ipv4Addr, u16),
    /// The peer's.
    pub remote: (Ipv4Addr, u16),
    /// It is established.
    pub open: bool,
    /// The peer will send no more.
    pub rx_closed: bool,
    /// We will send no more.
    pub tx_closed: bool,
    /// It was reset.
    pub reset: bool,
    /// The peer did not answer any more.
    pub timed_out: bool,
    /// A request to move it is under way.
    pub moving: bool,
    /// Held, and used by another process or none.
    pub parked: bool,
    /// Number of the next update.
    pub bump_seq: u16,
    /// Bytes received that were not read yet.
    pub readable: u32,
    /// Bytes that the transmit ring has room for.
    pub writable: u32,
    rx: ByteRing,
    rx_pos: u32,
    tx: ByteRing,
    tx_pos: u32,
    /// What the next update is to say.
    rx_bump: u32,
    tx_bump: u32,
    fin: bool,
    /// What came before the connection was known to be open.
    early: Vec<ArxConnUpdate>,
}

impl Conn {
    pub(super) fn new(context: usize) -> Conn {
        let none = ByteRing::new(ShmOffset(0), 0);
        let nowhere = (Ipv4Addr::UNSPECIFIED, 0);
        Conn {
            context,
            flow: 0,
            core: 0,
            local: nowhere,
            remote: nowhere,
            open: false,
            rx_closed: false,
            tx_closed: false,
            reset: false,
            timed_out: false,
            moving: false,
            parked: false,
            bump_seq: 0,
            readable: 0,
            writable: 0,
            rx: none,
            rx_pos: 0,
            tx: none,
            tx_pos: 0,
            rx_bump: 0,
            tx_bump: 0,
            fin: false,
            early: Vec::new(),
        }
    }

    pub(super) fn establish(&mut self, place: &Place) {
        self.open = true;
        self.flow = place.flow;
        self.core = place.core;
        self.local.0 = place.local.0;
        if place.local.1 != 0 {
            self.local.1 = place.local.1;
        }
        if place.remote.1 != 0 {
            self.remote = place.remote;
        }
        self.rx = ByteRing::new(place.rx.0, place.rx.1);
        self.tx = ByteRing::new(place.tx.0, place.tx.1);
        self.writable = place.tx.1;
        for news in std::mem::take(&mut self.early) {
            self.update(&news);
        }
    }

    /// The same connection where it is held and not used.
    pub(super) fn parked(&self) -> Conn {
        Conn {
            flow: self.flow,
            local: self.local,
            remote: self.remote,
            parked: true,
            ..Conn::new(self.context)
        }
    }

    /// Goes on where another process has stopped.
    pub(super) fn take_over(&mut self, place: &Adopted) {
        self.open = true;
        self.flow = place.flow;
        self.core = place.core;
        self.rx = ByteRing::new(place.rx.0, place.rx.1);
        self.tx = ByteRing::new(place.tx.0, place.tx.1);
        self.rx_pos = self
            .rx
            .advance(place.rx_pos, place.rx.1.saturating_sub(place.rx_used));
        self.readable = place.rx_used;
        self.tx_pos = place.tx_pos;
        self.writable = place.tx.1.saturating_sub(place.tx_used);
        self.bump_seq = place.bump_seq;
        self.rx_closed = place.rx_closed;
        self.tx_closed = place.tx_closed;
        self.reset = place.reset;
        for news in std::mem::take(&mut self.early) {
            self.update(&news);
        }
    }

    /// Takes an entry from a core.
    ///
    /// # Panics
    /// The entry contradicts what was told before.
    pub(super) fn update(&mut self, news: &ArxConnUpdate) {
        if self.parked {
            return;
        }
        if !self.open {
            // The answer that tells of the connection takes another queue.
            self.early.push(*news);
            return;
        }
        let (rx_bump, rx_pos, tx_bump) = (news.rx_bump, news.rx_pos, news.tx_bump);
        if rx_bump > 0 {
            let expected = self.rx.advance(self.rx_pos, self.readable);
            assert_eq!(
                rx_pos, expected,
                "flow {}: new bytes follow those before",
                self.flow
            );
        }
        self.readable += rx_bump;
        self.writable += tx_bump;
        assert!(self.readable <= self.rx.len(), "more than the ring holds");
        assert!(
            self.writable <= self.tx.len(),
            "more acknowledged than sent"
        );
        let flags = news.flags;
        assert!(!self.rx_closed || rx_bump == 0, "data after the peer's end");
        self.rx_closed |= flags & FLEXTCP_PL_ARX_FLRXDONE != 0;
        self.reset |= flags & FLEXTCP_PL_ARX_FLRESET != 0;
        self.timed_out |= flags & FLEXTCP_PL_ARX_FLTIMEDOUT != 0;
    }

    /// Everything that was sent is acknowledged, the FIN included.
    #[must_use]
    pub fn all_acknowledged(&self) -> bool {
        self.writable == self.tx.len() && self.tx_bump == 0
    }

    /// Its core has been told of all that was written.
    #[must_use]
    pub fn all_posted(&self) -> bool {
        self.tx_bump == 0 && !self.fin
    }

    /// Bytes in the transmit ring that are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> u32 {
        match self.open {
            true => self.tx.len() - self.writable,
            false => 0,
        }
    }

    pub(super) fn write(&mut self, arena: &Arena, bytes: &[u8]) -> usize {
        if self.tx_closed || !self.open {
            return 0;
        }
        let len = bytes.len().min(self.writable as usize);
        let bytes = bytes.get(..len).unwrap_or_default();
        if len == 0 || self.tx.write(arena, self.tx_pos, bytes).is_err() {
            return 0;
        }
        self.queue(len as u32);
        len
    }

    fn queue(&mut self, len: u32) {
        self.tx_pos = self.tx.advance(self.tx_pos, len);
        self.writable -= len;
        self.tx_bump += len;
    }

    pub(super) fn read(&mut self, arena: &Arena, len: usize) -> Vec<u8> {
        let len = len.min(self.readable as usize);
        let mut bytes = vec![0; len];
        if self.rx.read(arena, self.rx_pos, &mut bytes).is_err() {
            return Vec::new();
        }
        self.rx_pos = self.rx.advance(self.rx_pos, len as u32);
        self.readable -= len as u32;
        self.rx_bump += len as u32;
        bytes
    }

    /// Ends our direction; false when there is no room for the byte that stands for FIN.
    pub(super) fn close_tx(&mut self) -> bool {
        if self.tx_closed || self.writable == 0 || !self.open {
            return false;
        }
        self.queue(1);
        self.fin = true;
        self.tx_closed = true;
        true
    }

    /// The update that the core is to get, if there is any.
    pub(super) fn pending(&self) -> Option<AtxConnUpdate> {
        let any = self.rx_bump > 0 || self.tx_bump > 0 || self.fin;
        any.then_some(AtxConnUpdate {
            rx_bump: self.rx_bump,
            tx_bump: self.tx_bump,
            flow_id: self.flow,
            bump_seq: self.bump_seq,
            flags: if self.fin { FLEXTCP_PL_ATX_FLTXDONE } else { 0 },
        })
    }

    /// The update is on its way.
    pub(super) fn posted(&mut self) {
        self.bump_seq = self.bump_seq.wrapping_add(1);
        self.rx_bump = 0;
        self.tx_bump = 0;
        self.fin = false;
    }
}
