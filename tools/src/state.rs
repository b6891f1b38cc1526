//! The flow states as text, in the format that scripts parse.

use std::fmt;

use tas_abi::memif::{
    FLEXNIC_PL_FLOWST_ECN, FLEXNIC_PL_FLOWST_RX_MASK, FLEXNIC_PL_FLOWST_RXFIN,
    FLEXNIC_PL_FLOWST_SLOWPATH, FLEXNIC_PL_FLOWST_TXFIN, FlowSt,
};

/// A flow state and its id, to be displayed.
pub struct FlowText<'a> {
    /// Flow id.
    pub id: u32,
    /// A copy of the state.
    pub state: &'a FlowSt,
}

/// Whether a state is that of a flow at all: free ones have no buffers.
pub fn in_use(state: &FlowSt) -> bool {
    state.rx_len != 0 || state.tx_len != 0
}

/// The Ethernet address as the number that its bytes are in little-endian order.
fn mac_number(state: &FlowSt) -> u64 {
    let mut bytes = [0; 8];
    bytes[..6].copy_from_slice(&state.remote_mac.addr);
    u64::from_le_bytes(bytes)
}

impl fmt::Display for FlowText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let st = self.state;
        let flag = |bit: u64| u8::from(st.rx_base_sp & bit != 0);
        writeln!(f, "flow {} {{", self.id)?;
        writeln!(f, "  opaque={:016x}", st.opaque)?;
        writeln!(f, "  db_id={:03}", st.db_id)?;
        writeln!(f, "  flag_slowpath={}", flag(FLEXNIC_PL_FLOWST_SLOWPATH))?;
        writeln!(f, "  flag_ecn={}", flag(FLEXNIC_PL_FLOWST_ECN))?;
        writeln!(f, "  flag_txfin={}", flag(FLEXNIC_PL_FLOWST_TXFIN))?;
        writeln!(f, "  flag_rxfin={}", flag(FLEXNIC_PL_FLOWST_RXFIN))?;
        writeln!(f, "  bump_seq={:010}", st.bump_seq)?;
        self.addresses(f)?;
        self.receive(f)?;
        self.transmit(f)?;
        self.congestion(f)?;
        writeln!(f, "}}")
    }
}

impl FlowText<'_> {
    fn addresses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let st = self.state;
        writeln!(f, "  addr {{")?;
        writeln!(f, "       local_ip={:08x}", st.local_ip.get())?;
        writeln!(f, "     local_port={:05}", st.local_port.get())?;
        writeln!(f, "      remote_ip={:08x}", st.remote_ip.get())?;
        writeln!(f, "    remote_port={:05}", st.remote_port.get())?;
        writeln!(f, "     remote_mac={:012x}", mac_number(st))?;
        writeln!(f, "  }}")
    }

    fn receive(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let st = self.state;
        writeln!(f, "  rx {{")?;
        writeln!(
            f,
            "            base={:016x}",
            st.rx_base_sp & FLEXNIC_PL_FLOWST_RX_MASK
        )?;
        writeln!(f, "             len={:08x}", st.rx_len)?;
        writeln!(f, "           avail={:08x}", st.rx_avail)?;
        writeln!(f, "    remote_avail={:08x}", st.rx_remote_avail)?;
        writeln!(f, "        next_pos={:08x}", st.rx_next_pos)?;
        writeln!(f, "        next_seq={:010}", st.rx_next_seq)?;
        writeln!(f, "      dupack_cnt={:08x}", st.rx_dupack_cnt)?;
        writeln!(f, "       ooo_start={:08x}", st.rx_ooo_start)?;
        writeln!(f, "         ooo_len={:08x}", st.rx_ooo_len)?;
        writeln!(f, "  }}")
    }

    fn transmit(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let st = self.state;
        writeln!(f, "  tx {{")?;
        writeln!(f, "            base={:016x}", st.tx_base)?;
        writeln!(f, "             len={:08x}", st.tx_len)?;
        writeln!(f, "           avail={:08x}", st.tx_avail)?;
        writeln!(f, "            sent={:08x}", st.tx_sent)?;
        writeln!(f, "        next_pos={:08x}", st.tx_next_pos)?;
        writeln!(f, "        next_seq={:010}", st.tx_next_seq)?;
        writeln!(f, "         next_ts={:08x}", st.tx_next_ts)?;
        writeln!(f, "  }}")
    }

    fn congestion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let st = self.state;
        writeln!(f, "  cc {{")?;
        writeln!(f, "         tx_rate={:10}", st.tx_rate)?;
        writeln!(f, "        tx_drops={:10}", st.cnt_tx_drops)?;
        writeln!(f, "         rx_acks={:10}", st.cnt_rx_acks)?;
        writeln!(f, "    rx_ack_bytes={:10}", st.cnt_rx_ack_bytes)?;
        writeln!(f, "    rx_ecn_bytes={:10}", st.cnt_rx_ecn_bytes)?;
        writeln!(f, "         rtt_est={:10}", st.rtt_est)?;
        writeln!(f, "  }}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    #[test]
    fn every_field_in_its_place() {
        let mut st = FlowSt::new_zeroed();
        st.opaque = 0xdead_beef;
        st.db_id = 7;
        st.rx_base_sp = 0x1_2340 | FLEXNIC_PL_FLOWST_ECN | FLEXNIC_PL_FLOWST_TXFIN;
        st.bump_seq = 9;
        st.local_ip.set(0x0a00_0001);
        st.local_port.set(80);
        st.remote_ip.set(0x0a00_0002);
        st.remote_port.set(54321);
        st.remote_mac.addr = [1, 2, 3, 4, 5, 6];
        st.rx_len = 0x2000;
        st.rx_next_seq = 77;
        st.tx_base = 0x4_0000;
        st.tx_next_ts = 0xab;
        st.tx_rate = 10000;
        st.rtt_est = 50;
        let expected = include_str!("../tests/flow.txt");
        assert_eq!(FlowText { id: 3, state: &st }.to_string(), expected);
    }

    #[test]
    fn free_states_are_known_by_their_buffers() {
        let mut st = FlowSt::new_zeroed();
        assert!(!in_use(&st));
        st.tx_len = 64;
        assert!(in_use(&st));
    }
}
