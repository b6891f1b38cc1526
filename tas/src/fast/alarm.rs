//! Whether the port wakes a core that sleeps.
//!
//! Some drivers offer a receive interrupt that never comes: net_e1000_em arms one message of an
//! 82574L and the NIC sends another, and DPDK takes every device for one with MSI-X. A core that
//! counted on it would find frames only when it looks by itself. So each core watches what ends its
//! sleeps.

use crate::types::Micros;

/// A sleep that lasted so long. After a shorter one, frames may be there whose interrupt the NIC
/// still holds back to send one for several.
const LONG: Micros = Micros::from_millis(10);
/// Long sleeps in a row that should have ended before they did.
const ENOUGH: u8 = 3;

/// What ended a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// The port.
    Port,
    /// Somebody else.
    Bell,
    /// Time.
    Timer,
    /// The port's descriptors tell of an error, which would end every sleep at once.
    Failure,
}

/// Why a core no longer counts on the port to wake it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its interface is down or gone.
    Gone,
    /// It does not tell of frames.
    Silent,
}

/// What a core knows of its port's way of waking it.
#[derive(Debug, Default)]
pub(super) struct PortAlarm {
    slept_in: u8,
    fault: Option<Fault>,
}

impl PortAlarm {
    /// It can be relied on.
    pub(super) fn works(&self) -> bool {
        self.fault.is_none()
    }

    /// Whether frames at the end of a sleep would show that the port should have ended it.
    pub(super) fn doubts(asleep: Micros, woken: Woken) -> bool {
        woken == Woken::Timer && asleep >= LONG
    }

    /// A sleep ended, of which the port was to wake the core; `frames` waited there at its end.
    /// Returns what that shows to be wrong, once.
    pub(super) fn slept(&mut self, asleep: Micros, woken: Woken, frames: bool) -> Option<Fault> {
        match woken {
            Woken::Port => self.slept_in = 0,
            _ if frames && Self::doubts(asleep, woken) => {
                self.slept_in = self.slept_in.saturating_add(1);
            }
            Woken::Bell | Woken::Timer | Woken::Failure => {}
        }
        let fault = match woken {
            Woken::Failure => Some(Fault::Gone),
            _ if self.slept_in >= ENOUGH => Some(Fault::Silent),
            _ => None,
        };
        if self.works() {
            self.fault = fault;
            fault
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Micros = Micros(900);

    /// What comes of a row of sleeps.
    fn fault(sleeps: &[(Micros, Woken, bool)]) -> Option<Fault> {
        let mut alarm = PortAlarm::default();
        let found: Vec<_> = sleeps
            .iter()
            .filter_map(|&(asleep, woken, frames)| alarm.slept(asleep, woken, frames))
            .collect();
        assert_eq!(alarm.works(), found.is_empty());
        assert!(found.len() <= 1, "{found:?}");
        found.first().copied()
    }

    #[test]
    fn frames_that_wait_for_the_end_of_long_sleeps_show_that_nothing_tells_of_them() {
        let missed = (LONG, Woken::Timer, true);
        assert_eq!(fault(&[missed; 2]), None);
        assert_eq!(fault(&[missed; 3]), Some(Fault::Silent));
        assert_eq!(fault(&[missed; 300]), Some(Fault::Silent));
        let nothing = (LONG, Woken::Timer, false);
        let rung = (LONG, Woken::Bell, true);
        let row = [missed, nothing, missed, rung, missed];
        assert_eq!(fault(&row), Some(Fault::Silent));
    }

    #[test]
    fn a_port_that_wakes_now_and_then_works() {
        let row = [
            (LONG, Woken::Timer, true),
            (LONG, Woken::Timer, true),
            (SHORT, Woken::Port, true),
        ];
        assert_eq!(fault(&row.repeat(100)), None);
    }

    #[test]
    fn short_sleeps_idle_ones_and_those_that_others_end_show_nothing() {
        for sleep in [
            (SHORT, Woken::Timer, true),
            (LONG, Woken::Timer, false),
            (LONG, Woken::Bell, true),
        ] {
            assert_eq!(fault(&[sleep; 100]), None, "{sleep:?}");
        }
    }

    #[test]
    fn a_failure_counts_at_once() {
        assert_eq!(
            fault(&[(SHORT, Woken::Failure, false); 2]),
            Some(Fault::Gone)
        );
    }
}
