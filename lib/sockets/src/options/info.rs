//! What the service knows of a connection, and Linux's `tcp_info`.

use std::ffi::c_int;
use std::mem::offset_of;
use std::time::Duration;

use libc::tcp_info;
use tas_abi::appif::{
    AppinConnInfo, TAS_CONN_INFO_ECN, TAS_CONN_INFO_SACK, TAS_CONN_INFO_TIMESTAMPS,
};
use tas_abi::ll::FlextcpConnection;
use tas_ll::{calls, conn};

use crate::engine::Locked;
use crate::fork;
use crate::operation::{self, Try};
use crate::socket::{Phase, State};
use crate::wait::{OnSignal, Until};

/// The service answers between two of its turns; a program that asks waits for
/// that, but not for ever.
const PATIENCE: Duration = Duration::from_millis(500);

/// States of TCP, as Linux numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum TcpState {
    Established = 1,
    SynSent = 2,
    FinWait1 = 4,
    FinWait2 = 5,
    Close = 7,
    CloseWait = 8,
    LastAck = 9,
    Listen = 10,
    Closing = 11,
}

/// Bits of `tcpi_options`.
const TCPI_OPT_TIMESTAMPS: u8 = 1;
const TCPI_OPT_SACK: u8 = 2;
const TCPI_OPT_WSCALE: u8 = 4;
const TCPI_OPT_ECN: u8 = 8;

/// What the service told of a connection.
pub type Info = AppinConnInfo;

/// Asks the service how the connection is doing; `None` if there is none, or no answer.
pub fn ask(fd: c_int) -> Option<Info> {
    let mut locked = operation::lock(fd).ok()?;
    drop(fork::claim(&mut locked).ok()?);
    let socket = locked.socket();
    let (state, ctx) = locked.parts();
    if state.phase != Phase::Connected {
        return None;
    }
    state.info = None;
    calls::request_info(ctx?, socket.conn()).ok()?;
    drop(locked);
    let answered = |locked: &mut Locked| {
        let state = locked.state();
        Ok(match (state.info, state.phase) {
            (None, Phase::Connected) => Try::Wait,
            (info, _) => Try::Done(info),
        })
    };
    let until = |_: &mut Locked| Until::after(Some(PATIENCE));
    operation::run(fd, until, OnSignal::Restart, answered)
        .ok()
        .flatten()
        .filter(|info| info.status == 0)
}

/// The state of a socket's connection.
fn tcp_state(state: &State, c: &FlextcpConnection, told: Option<u8>) -> TcpState {
    match state.phase {
        Phase::Fresh | Phase::Over | Phase::Closing => TcpState::Close,
        Phase::Connecting => TcpState::SynSent,
        Phase::Listening => TcpState::Listen,
        Phase::Connected => {
            let acked = conn::has(c, conn::TX_EOS_ACKED);
            match (state.write_shut, state.peer_closed) {
                (false, false) => TcpState::Established,
                (false, true) => TcpState::CloseWait,
                (true, false) if acked => TcpState::FinWait2,
                (true, false) => TcpState::FinWait1,
                // Linux forgets TIME-WAIT's socket at once.
                (true, true) if acked => TcpState::Close,
                (true, true) if told == Some(TcpState::Closing as u8) => TcpState::Closing,
                (true, true) => TcpState::LastAck,
            }
        }
    }
}

/// Overwrites what is known better here in the `tcp_info` that the kernel wrote
/// for the placeholder, of which `bytes` are as many as the program wanted.
pub fn fill(bytes: &mut [u8], state: &State, c: &FlextcpConnection, info: Option<&Info>) {
    let told = info.map(|info| info.state);
    put(
        bytes,
        offset_of!(tcp_info, tcpi_state),
        &[tcp_state(state, c, told) as u8],
    );
    let Some(info) = info else { return };
    let mut options = TCPI_OPT_WSCALE;
    for (theirs, ours) in [
        (TAS_CONN_INFO_TIMESTAMPS, TCPI_OPT_TIMESTAMPS),
        (TAS_CONN_INFO_SACK, TCPI_OPT_SACK),
        (TAS_CONN_INFO_ECN, TCPI_OPT_ECN),
    ] {
        if info.options & theirs != 0 {
            options |= ours;
        }
    }
    put(
        bytes,
        offset_of!(tcp_info, tcpi_retransmits),
        &[info.retries],
    );
    put(bytes, offset_of!(tcp_info, tcpi_options), &[options]);
    // Two numbers of four bits.
    let scales = info.snd_wscale & 0xf | info.rcv_wscale << 4;
    put(bytes, SCALES, &[scales]);
    let mss = u32::from(info.mss).max(1);
    let words = [
        (offset_of!(tcp_info, tcpi_rto), info.rto),
        (offset_of!(tcp_info, tcpi_snd_mss), mss),
        (offset_of!(tcp_info, tcpi_rcv_mss), info.rcv_mss.into()),
        (
            offset_of!(tcp_info, tcpi_unacked),
            { info.in_flight }.div_ceil(mss),
        ),
        (offset_of!(tcp_info, tcpi_pmtu), path_mtu(info)),
        (offset_of!(tcp_info, tcpi_rtt), info.rtt),
        (offset_of!(tcp_info, tcpi_rttvar), info.rtt_var),
        (
            offset_of!(tcp_info, tcpi_snd_cwnd),
            (info.cwnd / mss).max(1),
        ),
        (offset_of!(tcp_info, tcpi_advmss), info.rcv_mss.into()),
        (offset_of!(tcp_info, tcpi_rcv_space), c.rxb_len),
        (offset_of!(tcp_info, tcpi_total_retrans), info.retransmits),
        (NOT_SENT, { info.unsent }.saturating_add(c.txb_allocated)),
        (SEND_WINDOW, info.snd_wnd),
    ];
    for (at, word) in words {
        put(bytes, at, &word.to_ne_bytes());
    }
    if info.rate != 0 {
        let rate = u64::from(info.rate) * 1000 / 8;
        put(bytes, PACING_RATE, &rate.to_ne_bytes());
    }
}

/// Fields behind those that the C library's older structure has, and one that
/// is made of bits.
const SCALES: usize = 6;
const PACING_RATE: usize = 104;
const NOT_SENT: usize = 144;
const SEND_WINDOW: usize = 228;

/// Overwrites bytes, as many as the program wanted.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(rest) = bytes.get_mut(at..) {
        let len = rest.len().min(value.len());
        if let (Some(to), Some(from)) = (rest.get_mut(..len), value.get(..len)) {
            to.copy_from_slice(from);
        }
    }
}

/// The largest packet of the path: data, and headers of IP and TCP.
pub fn path_mtu(info: &Info) -> u32 {
    let timestamps = if info.options & TAS_CONN_INFO_TIMESTAMPS != 0 {
        12
    } else {
        0
    };
    u32::from(info.mss) + 40 + timestamps
}
