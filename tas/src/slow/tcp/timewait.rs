//! TIME-WAIT (RFC 9293 §3.6.1).

use tas_wire::{FlowTuple, SegmentFields, SeqNum, TcpFlags, TcpPacket};

use super::TcpControl;
use super::conn::{Conn, TimeWait};
use super::world::World;
use crate::link::Ended;
use crate::proto::End;
use crate::proto::handshake::is_opening;
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
        let ack = SegmentFields {
            seq: wait.snd_nxt,
            ack: wait.rcv_nxt,
            flags: TcpFlags::ACK,
            ..SegmentFields::default()
        };
        self.transmit(w, core, packet.eth.src, &tuple, &ack);
    }

    pub(super) fn forget_time_wait(&mut self, tuple: &FlowTuple) {
        if matches!(self.conns.get(tuple), Some(Conn::TimeWait(_))) {
            self.conns.remove(tuple);
            self.counts.time_wait -= 1;
        }
    }
}

/// Whether a SYN must belong to a new connection: its timestamp or its sequence number lies
/// above everything of the old one (RFC 6191 §2, RFC 9293 §3.10.7.4).
fn is_newer(syn: &TcpPacket<'_>, wait: &TimeWait) -> bool {
    let by_time = match (syn.options.timestamps, wait.ts_recent) {
        (Some(ts), Some(recent)) => SeqNum(ts.val).gt(SeqNum(recent)),
        _ => false,
    };
    by_time || syn.tcp.seq.gt(wait.rcv_nxt)
}
