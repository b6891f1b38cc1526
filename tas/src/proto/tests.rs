//! What the tests share.

use super::TcpParams;
use super::cc::CcParams;
use crate::config::{CcAlgorithm, ConstRateParams};
use crate::types::Micros;

pub(super) fn params() -> TcpParams {
    TcpParams {
        rto_min: Micros(1_000),
        rto_max: Micros(60_000_000),
        delayed_ack: Micros(500),
        persist_min: Micros(5_000),
        max_retries: 15,
        fin_wait2: Micros(60_000_000),
        cc: CcParams {
            algorithm: CcAlgorithm::ConstRate(ConstRateParams { rate_kbps: 0 }),
            granularity: Micros(50),
            interval_rtts: 2,
            rexmit_ints: 4,
            rtt_init: Micros(50),
        },
    }
}
