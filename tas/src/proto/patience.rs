//! How long ACKs wait for the application's answer, which would carry them.

use zerocopy::FromZeros;

use super::types::TcpParams;
use crate::types::Micros;

/// How often the answer came just after an ACK had been held back in vain; the next ACKs wait
/// longer for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromZeros)]
#[repr(transparent)]
pub(super) struct Patience(u8);

const STEPS: usize = 32;

/// Delays, in units of the shortest: at first one unit more each time, which is below the least
/// that any peer's timeout is above its round trips; then an eighth more. The peer's estimate of
/// the variance (RFC 6298 §2.3) grows along, so that its timeout stays ahead.
const DELAYS: [u16; STEPS] = delays();

const fn delays() -> [u16; STEPS] {
    let mut delays = [1; STEPS];
    let mut step = 1;
    while step < STEPS {
        let before = delays[step - 1];
        let eighth = before / 8;
        delays[step] = before + if eighth > 1 { eighth } else { 1 };
        step += 1;
    }
    delays
}

impl Patience {
    /// How long an ACK waits.
    pub(super) fn delay(self, params: &TcpParams) -> Micros {
        let units = DELAYS.get(usize::from(self.0)).copied().unwrap_or(1);
        Micros(params.delayed_ack.0.saturating_mul(units.into()))
    }

    /// The answer came after all, only too late.
    pub(super) fn grow(&mut self) {
        if usize::from(self.0) + 1 < STEPS {
            self.0 += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::params;
    use super::*;

    #[test]
    fn grows_by_steps_that_a_peer_can_follow() {
        let params = params();
        let mut patience = Patience::default();
        assert_eq!(patience.delay(&params), params.delayed_ack);
        let mut before = patience.delay(&params);
        for _ in 0..100 {
            patience.grow();
            let delay = patience.delay(&params);
            let growth = delay.since(before);
            assert!(growth.0 <= params.delayed_ack.0.max(before.0 / 8));
            before = delay;
        }
        // RFC 1122 §4.2.3.2: less than half a second.
        assert!(before > Micros::from_millis(30) && before < Micros::from_millis(100));
    }
}
