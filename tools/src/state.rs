//! The flow states as text, in the format that scripts parse, and as JSON.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;

use serde::Serialize;
use tas_abi::memif::{
    FLEXNIC_PL_FLOWST_ECN, FLEXNIC_PL_FLOWST_NUM, FLEXNIC_PL_FLOWST_RX_MASK,
    FLEXNIC_PL_FLOWST_RXFIN, FLEXNIC_PL_FLOWST_SLOWPATH, FLEXNIC_PL_FLOWST_TXFIN, FlowSt, PlMem,
};
use tas_shm::Mapping;

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

/// Calls `each` with every flow state in use, in order of id.
///
/// # Errors
/// Those of `each`; or the memory is too short.
pub fn each_flow(
    internal: &Mapping,
    mut each: impl FnMut(u32, &FlowSt) -> io::Result<()>,
) -> io::Result<()> {
    for id in 0..FLEXNIC_PL_FLOWST_NUM {
        let at = std::mem::offset_of!(PlMem, flowst) + id * size_of::<FlowSt>();
        let state: FlowSt = internal.read_at(at as u64)?;
        if in_use(&state) {
            each(id as u32, &state)?;
        }
    }
    Ok(())
}

/// A flow state for JSON. Fields have the names of the text, addresses their usual form.
#[derive(Debug, Serialize)]
pub struct FlowJson {
    id: u32,
    opaque: u64,
    db_id: u16,
    flag_slowpath: bool,
    flag_ecn: bool,
    flag_txfin: bool,
    flag_rxfin: bool,
    bump_seq: u16,
    addr: AddrJson,
    rx: RxJson,
    tx: TxJson,
    cc: CcJson,
}

#[derive(Debug, Serialize)]
struct AddrJson {
    local_ip: Ipv4Addr,
    local_port: u16,
    remote_ip: Ipv4Addr,
    remote_port: u16,
    remote_mac: String,
}

#[derive(Debug, Serialize)]
struct RxJson {
    base: u64,
    len: u32,
    avail: u32,
    remote_avail: u32,
    next_pos: u32,
    next_seq: u32,
    dupack_cnt: u32,
    ooo_start: u32,
    ooo_len: u32,
}

#[derive(Debug, Serialize)]
struct TxJson {
    base: u64,
    len: u32,
    avail: u32,
    sent: u32,
    next_pos: u32,
    next_seq: u32,
    next_ts: u32,
}

#[derive(Debug, Serialize)]
struct CcJson {
    tx_rate: u32,
    tx_drops: u16,
    rx_acks: u16,
    rx_ack_bytes: u32,
    rx_ecn_bytes: u32,
    rtt_est: u32,
}

impl FlowJson {
    /// Of a flow.
    pub fn new(id: u32, st: &FlowSt) -> FlowJson {
        let flag = |bit: u64| st.rx_base_sp & bit != 0;
        let [a, b, c, d, e, f] = st.remote_mac.addr;
        FlowJson {
            id,
            opaque: st.opaque,
            db_id: st.db_id,
            flag_slowpath: flag(FLEXNIC_PL_FLOWST_SLOWPATH),
            flag_ecn: flag(FLEXNIC_PL_FLOWST_ECN),
            flag_txfin: flag(FLEXNIC_PL_FLOWST_TXFIN),
            flag_rxfin: flag(FLEXNIC_PL_FLOWST_RXFIN),
            bump_seq: st.bump_seq,
            addr: AddrJson {
                local_ip: st.local_ip.get().into(),
                local_port: st.local_port.get(),
                remote_ip: st.remote_ip.get().into(),
                remote_port: st.remote_port.get(),
                remote_mac: format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
            },
            rx: RxJson {
                base: st.rx_base_sp & FLEXNIC_PL_FLOWST_RX_MASK,
                len: st.rx_len,
                avail: st.rx_avail,
                remote_avail: st.rx_remote_avail,
                next_pos: st.rx_next_pos,
                next_seq: st.rx_next_seq,
                dupack_cnt: st.rx_dupack_cnt,
                ooo_start: st.rx_ooo_start,
                ooo_len: st.rx_ooo_len,
            },
            tx: TxJson {
                base: st.tx_base,
                len: st.tx_len,
                avail: st.tx_avail,
                sent: st.tx_sent,
                next_pos: st.tx_next_pos,
                next_seq: st.tx_next_seq,
                next_ts: st.tx_next_ts,
            },
            cc: CcJson {
                tx_rate: st.tx_rate,
                tx_drops: st.cnt_tx_drops,
                rx_acks: st.cnt_rx_acks,
                rx_ack_bytes: st.cnt_rx_ack_bytes,
                rx_ecn_bytes: st.cnt_rx_ecn_bytes,
                rtt_est: st.rtt_est,
            },
        }
    }
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

    fn flow() -> FlowSt {
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
        st
    }

    #[test]
    fn every_field_in_its_place() {
        let st = flow();
        let expected = include_str!("../tests/flow.txt");
        assert_eq!(FlowText { id: 3, state: &st }.to_string(), expected);
    }

    #[test]
    fn json_has_the_same_fields() {
        let json = serde_json::to_value(FlowJson::new(3, &flow())).unwrap();
        assert_eq!(json["addr"]["local_ip"], "10.0.0.1");
        assert_eq!(json["addr"]["remote_mac"], "01:02:03:04:05:06");
        assert_eq!(json["rx"]["base"], 0x1_2340);
        assert_eq!((&json["id"], &json["flag_ecn"]), (&3.into(), &true.into()));
        // Every name of the text is there, on its level.
        let text = include_str!("../tests/flow.txt");
        let mut group = &json;
        for line in text.lines().map(str::trim).skip(1) {
            if let Some(name) = line.strip_suffix(" {") {
                group = &json[name];
            } else if line == "}" {
                group = &json;
            } else {
                let (name, _) = line.split_once('=').unwrap();
                assert!(group.get(name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn free_states_are_known_by_their_buffers() {
        let mut st = FlowSt::new_zeroed();
        assert!(!in_use(&st));
        st.tx_len = 64;
        assert!(in_use(&st));
    }
}
