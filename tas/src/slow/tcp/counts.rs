//! What TCP control counts.

use crate::stats::columns;

columns! {
    /// Numbers for the statistics. The first five are present values, the others only grow.
    pub struct Counts {
        /// Installed flows.
        Gauge connections,
        /// Connections being opened, by either side.
        Gauge opening,
        /// Connections in TIME-WAIT.
        Gauge time_wait,
        /// Listeners.
        Gauge listeners,
        /// Hosts that are remembered to be reached by smaller packets only.
        Gauge path_mtus,
        /// Active opens that succeeded.
        Counter opened,
        /// Passive opens that succeeded.
        Counter accepted,
        /// Active opens that failed.
        Counter open_failed,
        /// SYN and SYN-ACK segments sent again.
        Counter syn_retransmits,
        /// Connections that took the addresses and ports of one in TIME-WAIT.
        Counter time_wait_reused,
        /// RST segments sent to segments without a connection.
        Counter resets_sent,
        /// Frames that could not be parsed.
        Counter malformed,
        /// Frames addressed to others.
        Counter not_ours,
        /// Frames from an impossible source.
        Counter bad_source,
        /// Packets of protocols that are not served.
        Counter unknown_protocol,
        /// Connections dropped or held back because a backlog was full.
        Counter backlog_full,
        /// SYNs answered by a cookie, since too many connections were half-open.
        Counter cookies_sent,
        /// Connections that came of cookies.
        Counter cookies_accepted,
        /// ACKs that might have been of cookies and were not.
        Counter cookies_bad,
        /// Connections held back because flows, buffers or table places ran out.
        Counter no_buffers,
        /// Other stations that claim an address of ours.
        Counter arp_conflicts,
        /// Neighbours that did not answer.
        Counter arp_failures,
        /// Reports of too large packets that quote no packet of a connection, or make no sense; ignored.
        Counter bad_path_mtus,
        /// Echo requests answered.
        Counter echoes,
    }
}
