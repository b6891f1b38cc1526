//! TIME-WAIT (RFC 9293 §3.6.1).

use tas_wire::{FlowTuple, SegmentFields, SeqNum, TcpFlags, TcpPacket, Timestamps};

use super::TcpControl;
use super::conn::{Conn, TimeWait};
use super::world::World;
use crate::link::Ended;
use crate::proto::End;
use crate::proto::handshake::{is_opening, timestamp};
use crate::types::{CoreId, Micros};

/// Most connections in TIME-WAIT; those beyond it are forgotten at once.
const MAX_TIME_WAIT: u64 = 262_144;

impl TcpControl {
    /// Keeps the tuple of a flow that ended in TIME-WAIT.
    pub(super) fn begin_time_wait(&mut self, tuple: &FlowTuple, ended: &Ended, now: Micros) {
        if ended.end != End::TimeWait
            || self.cfg.time_wait == Micros(0)
            || self.counts.time_wait >= MAX_TIME_WAIT
            || self.conns.contains_key(tuple)
        {
            return;
        }
        let wait = TimeWait {
            expires: now + self.cfg.time_wait,
            since: now,
            snd_nxt: ended.snd_nxt,
            rcv_nxt: ended.rcv_nxt,
            ts_recent: ended.ts_recent,
        };
        self.conns.insert(*tuple, Conn::TimeWait(wait));
        self.counts.time_wait += 1;
        self.arm(tuple);
    }

    /// A segment for a connection in TIME-WAIT.
    pub(super) fn on_time_wait_segment(
        &mut self,
        w: &mut impl World,
        core: CoreId,
        packet: &TcpPacket<'_>,
    ) {
        let tuple = packet.tuple();
        let Some(Conn::TimeWait(wait)) = self.conns.get_mut(&tuple) else {
            return;
        };
        let flags = packet.tcp.flags;
        if flags.contains(TcpFlags::RST) {
            // RFC 1337 §3: an old RST must not end TIME-WAIT.
            return;
        }
        if is_opening(flags) && is_newer(packet, wait) {
            let previous = wait.snd_nxt;
            self.counts.time_wait_reused += 1;
            self.forget_time_wait(&tuple);
            return self.on_new_segment(w, core, packet, Some(previous));
        }
        if packet.seq_len() == 0 {
            // Answering bare ACKs could make two such ends talk for ever.
            return;
        }
        if flags.contains(TcpFlags::FIN) {
            // The peer has not seen our last ACK.
            wait.expires = w.now() + self.cfg.time_wait;
        }
        wait.since = w.now();
        let offset = self.isn.timestamp_offset(tuple.local_ip, tuple.remote_ip);
        let ack = SegmentFields {
            seq: wait.snd_nxt,
            ack: wait.rcv_nxt,
            flags: TcpFlags::ACK,
            // Without them the peer may ignore it (RFC 7323 §3.2).
            timestamps: wait.ts_recent.map(|ecr| Timestamps {
                val: timestamp(wait.since, offset),
                ecr,
            }),
            ..SegmentFields::default()
        };
        self.transmit(w, core, packet.eth.src, &tuple, &ack);
    }

    /// Ends TIME-WAIT for a connection that we open; returns where its sequence numbers ended.
    pub(super) fn reuse_time_wait(&mut self, tuple: &FlowTuple) -> Option<SeqNum> {
        let Some(Conn::TimeWait(wait)) = self.conns.get(tuple) else {
            return None;
        };
        let previous = wait.snd_nxt;
        self.counts.time_wait_reused += 1;
        self.forget_time_wait(tuple);
        Some(previous)
    }

    pub(super) fn forget_time_wait(&mut self, tuple: &FlowTuple) {
        if matches!(self.conns.get(tuple), Some(Conn::TimeWait(_))) {
            self.conns.remove(tuple);
            self.counts.time_wait -= 1;
        }
    }
}

impl TimeWait {
    /// Whether a new connection can be opened in its place: by their timestamps the peer knows its
    /// segments from all old ones (RFC 6191 §2, RFC 7323 §5).
    pub(super) fn is_reusable(&self, now: Micros) -> bool {
        self.ts_recent.is_some() && timestamp(now, 0) != timestamp(self.since, 0)
    }
}

/// Whether a SYN must belong to a new connection (RFC 6191 §2): by its timestamp if it has one,
/// otherwise by its sequence number, which lies above all that the old one sent.
fn is_newer(syn: &TcpPacket<'_>, wait: &TimeWait) -> bool {
    let by_number = syn.tcp.seq.gt(wait.rcv_nxt);
    match (syn.options.timestamps, wait.ts_recent) {
        (Some(ts), Some(recent)) if ts.val == recent => by_number,
        (Some(ts), Some(recent)) => SeqNum(ts.val).gt(SeqNum(recent)),
        // The old connection's segments had none, which the new one drops.
        (Some(_), None) => true,
        (None, _) => by_number,
    }
}
