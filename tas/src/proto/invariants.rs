//! What holds of a flow between any two calls, whatever happens to it: for tests and fuzzers.

use tas_abi::memif::{FLEXNIC_PL_FLOWST_TXFIN, FlowSt};
use tas_wire::SeqNum;

use super::ext::{FlowExt, Recovery};
use super::flow::Flow;

/// What does not hold.
pub type Broken = &'static str;

/// `what` is said unless it holds.
pub(super) fn ensure(holds: bool, what: Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(what) }
}

impl Flow<'_> {
    /// Checks what holds between any two calls.
    ///
    /// # Errors
    /// Something does not.
    pub fn check(&self) -> Result<(), Broken> {
        check(self.st, self.ext)?;
        if self.state().is_over() {
            return Ok(());
        }
        // Nobody waits for ever: what can be sent is, or a timer runs.
        let waits = self.st.tx_avail > 0 || self.st.tx_sent > 0;
        let timer = self.ext.rexmit_timer.is_set();
        ensure(
            !waits || self.sendable() > 0 || timer,
            "data waits without a timer",
        )?;
        let told = self.st.rx_next_seq == self.ext.last_ack;
        ensure(
            told || self.ext.ack_due || self.ext.ack_timer.is_set(),
            "what arrived is not acknowledged",
        )
    }
}

/// What the state alone tells.
pub(super) fn check(st: &FlowSt, ext: &FlowExt) -> Result<(), Broken> {
    ensure(st.rx_avail <= st.rx_len, "more is free than there is")?;
    ensure(
        st.rx_next_pos < st.rx_len && st.tx_next_pos < st.tx_len,
        "a position beyond its ring",
    )?;
    let queued = u64::from(st.tx_avail) + u64::from(st.tx_sent);
    // The byte that stands for FIN is never read, so it may follow a full ring.
    let closed = st.rx_base_sp & FLEXNIC_PL_FLOWST_TXFIN != 0;
    let room = u64::from(st.tx_len) + u64::from(closed);
    ensure(queued <= room, "more is queued than there is room for")?;
    let una = SeqNum(st.tx_next_seq) - st.tx_sent;
    let outstanding = SeqNum(ext.snd_max).since(una);
    ensure(
        outstanding >= st.tx_sent && u64::from(outstanding) <= queued,
        "more is outstanding than was queued",
    )?;
    ensure(ext.mss > 0, "segments without room for data")?;
    ext.ranges.check()?;
    ensure(
        (st.rx_ooo_len > 0) != ext.ranges.is_empty(),
        "the first range shown is not that held",
    )?;
    if let Some(end) = ext.ranges.end() {
        let next = SeqNum(st.rx_next_seq);
        ensure(
            SeqNum(st.rx_ooo_start).gt(next),
            "a range is in order already",
        )?;
        ensure(
            end.since(next) <= st.rx_avail,
            "a range beyond the receive ring",
        )?;
    }
    if !ext.sack || ext.recovery == Recovery::None {
        return Ok(());
    }
    ext.board.check(una, SeqNum(ext.snd_max))
}
