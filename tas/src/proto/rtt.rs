//! Round-trip time and retransmission timeout (RFC 6298).

use zerocopy::FromZeros;

use super::types::TcpParams;
use crate::types::Micros;

/// Before anything was measured (RFC 6298 §2.1).
const RTO_INITIAL: Micros = Micros(1_000_000);
/// More doublings than any longest timeout admits.
const BACKOFF_MAX: u8 = 32;

/// Estimates from the samples of a flow.
#[derive(Clone, Copy, Debug, Default, FromZeros)]
pub(super) struct RttEstimator {
    /// SRTT in eighths of a microsecond; 0 = not measured.
    srtt8: u32,
    /// RTTVAR in quarters of a microsecond.
    rttvar4: u32,
    /// Doublings of the timeout.
    backoff: u8,
}

impl RttEstimator {
    /// Takes the time that a segment sent once took to be acknowledged (RFC 6298 §2.2, §2.3).
    /// It also ends the back-off (§5, note at the end). Returns the time as it counts, in
    /// microseconds.
    pub(super) fn sample(&mut self, rtt: Micros) -> u32 {
        // 2²⁸ µs are more than 4 minutes; a zero would mean "not measured".
        let rtt = rtt.0.clamp(1, 1 << 28) as u32;
        self.backoff = 0;
        if self.srtt8 == 0 {
            self.srtt8 = rtt * 8;
            self.rttvar4 = rtt * 2;
            return rtt;
        }
        let deviation = (self.srtt8 / 8).abs_diff(rtt);
        self.rttvar4 = self.rttvar4 - self.rttvar4 / 4 + deviation;
        self.srtt8 = (self.srtt8 - self.srtt8 / 8 + rtt).max(1);
        rtt
    }

    /// SRTT in microseconds; 0 = not measured.
    pub(super) fn srtt_us(&self) -> u32 {
        // Rounded up; no sample is above 2²⁸ µs.
        (self.srtt8 + 7) >> 3
    }

    /// RTTVAR in microseconds.
    pub(super) fn rttvar_us(&self) -> u32 {
        self.rttvar4.div_ceil(4)
    }

    /// The retransmission timeout.
    pub(super) fn rto(&self, params: &TcpParams) -> Micros {
        let base = match self.srtt8 {
            0 => RTO_INITIAL,
            // The shortest timeout stands for the granularity G: queues and the peer's
            // scheduling vary by that much even when the variance has decayed to nothing. Long
            // queues vary by more than that: over thousands of connections a round trip is mostly
            // waiting for the others' turns, and a pause of the whole service would have them all
            // send again at once. Twice the round-trip time is what RFC 8985 §7.2 has a sender
            // wait before it probes, which is what the first timeout does.
            srtt8 => {
                let srtt = u64::from(srtt8 / 8);
                let margin = u64::from(self.rttvar4).max(params.rto_min.0).max(srtt);
                Micros((srtt8 / 8).into()) + Micros(margin)
            }
        };
        doubled(base.max(params.rto_min), self.backoff, params.rto_max)
    }

    /// Doubles the timeout (RFC 6298 §5.5).
    pub(super) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1).min(BACKOFF_MAX);
    }

    /// After `timeouts` in a row the peer made progress: keeps so many doublings, which were
    /// needed if none of the timeouts told of a loss. Karn would keep all until the next sample;
    /// under heavy loss, which spoils every sample, they would grow without end.
    pub(super) fn ease_off(&mut self, timeouts: u8) {
        self.backoff = self.backoff.min(timeouts);
    }
}

/// `base` doubled `times` times, at most `max`.
pub(super) fn doubled(base: Micros, times: u8, max: Micros) -> Micros {
    let factor = 1u64 << times.min(BACKOFF_MAX);
    Micros(base.0.saturating_mul(factor)).min(max)
}

#[cfg(test)]
mod tests {
    use super::super::tests::params;
    use super::*;

    #[test]
    fn rfc6298_2_1_one_second_before_the_first_sample() {
        assert_eq!(RttEstimator::default().rto(&params()), RTO_INITIAL);
    }

    #[test]
    fn rfc6298_2_2_first_sample() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Micros(10_000));
        assert_eq!(rtt.srtt_us(), 10_000);
        assert_eq!(rtt.rto(&params()), Micros(10_000 + 4 * 5_000));
    }

    #[test]
    fn rfc6298_2_3_later_samples_move_the_estimate_by_an_eighth() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Micros(8_000));
        rtt.sample(Micros(16_000));
        assert_eq!(rtt.srtt_us(), 9_000);
        // RTTVAR = 3/4 · 4000 + 1/4 · 8000 = 5000.
        assert_eq!(rtt.rto(&params()), Micros(9_000 + 4 * 5_000));
    }

    #[test]
    fn the_timeout_stays_above_a_constant_round_trip() {
        let mut rtt = RttEstimator::default();
        for _ in 0..1000 {
            rtt.sample(Micros(40_000));
        }
        assert!(rtt.rto(&params()) >= Micros(60_000));
    }

    #[test]
    fn rfc6298_5_5_doubles_up_to_the_longest() {
        let mut rtt = RttEstimator::default();
        rtt.sample(Micros(100));
        let base = rtt.rto(&params());
        rtt.back_off();
        assert_eq!(rtt.rto(&params()), Micros(base.0 * 2));
        for _ in 0..300 {
            rtt.back_off();
        }
        assert_eq!(rtt.rto(&params()), params().rto_max);
        rtt.sample(Micros(100));
        assert!(rtt.rto(&params()) <= base);
    }

    #[test]
    fn extreme_samples_do_not_overflow() {
        let mut rtt = RttEstimator::default();
        for sample in [u64::MAX, 0, u64::MAX, u64::MAX, 0, 0] {
            rtt.sample(Micros(sample));
            assert!(rtt.rto(&params()) <= params().rto_max);
        }
    }
}
