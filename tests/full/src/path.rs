//! A path of a network: how long it takes, what it loses, what it mixes up.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What happens to frames in one direction. Only those of IPv4 suffer: what is measured is TCP,
/// not how long ARP takes to ask again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Path {
    /// From one end to the other.
    pub delay: Duration,
    /// Bits per second.
    pub rate: u64,
    /// Bytes that may wait for the line; what comes then is dropped.
    pub queue: u64,
    /// Frames lost, of a million.
    pub loss: u32,
    /// Frames that come late, of a million.
    pub late: u32,
    /// By how much, at most.
    pub late_by: Duration,
    /// Of the choices.
    pub seed: u64,
}

impl Default for Path {
    /// Does nothing to frames.
    fn default() -> Path {
        Path {
            delay: Duration::ZERO,
            rate: 10_000_000_000,
            queue: u64::MAX,
            loss: 0,
            late: 0,
            late_by: Duration::ZERO,
            seed: 1,
        }
    }
}

/// As it stands on a command line: numbers with colons between them.
impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}:{}:{}:{}:{}",
            self.delay.as_micros(),
            self.rate,
            self.queue,
            self.loss,
            self.late,
            self.late_by.as_micros(),
            self.seed
        )
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Path, String> {
        let numbers: Result<Vec<u64>, _> = text.split(':').map(u64::from_str).collect();
        let Ok([delay, rate, queue, loss, late, late_by, seed]) =
            <[u64; 7]>::try_from(numbers.unwrap_or_default())
        else {
            return Err(format!("'{text}' is not seven numbers"));
        };
        let share = |n: u64| u32::try_from(n).map_err(|_| format!("{n} of a million"));
        Ok(Path {
            delay: Duration::from_micros(delay),
            rate: rate.max(1),
            queue,
            loss: share(loss)?,
            late: share(late)?,
            late_by: Duration::from_micros(late_by),
            seed,
        })
    }
}

/// One direction of a path at work.
#[derive(Debug)]
pub struct Line {
    path: Path,
    random: Random,
    /// When the last frame will have left the queue, in nanoseconds.
    busy_until: u64,
    /// When the last frame that is not late arrives.
    arrival: u64,
}

/// What is on the wire besides the frame: preamble, check sequence, gap.
const WIRE_OVERHEAD: u64 = 24;
const MILLION: u32 = 1_000_000;

impl Line {
    /// An idle line.
    pub fn new(path: Path) -> Line {
        Line {
            path,
            random: Random(path.seed),
            busy_until: 0,
            arrival: 0,
        }
    }

    /// When a frame of IPv4 of this length arrives that is sent at `now`, in nanoseconds; `None`:
    /// never.
    pub fn send(&mut self, now: u64, len: u64) -> Option<u64> {
        let path = self.path;
        let lost = self.random.chance(path.loss);
        let late = self.random.chance(path.late);
        let begin = self.busy_until.max(now);
        let waiting = (begin - now).saturating_mul(path.rate) / 8_000_000_000;
        if lost || waiting.saturating_add(len) > path.queue {
            return None;
        }
        self.busy_until = begin + (len + WIRE_OVERHEAD) * 8_000_000_000 / path.rate;
        let at = self.busy_until + nanos(path.delay);
        if late {
            return Some(at + self.random.below(nanos(path.late_by).max(1)));
        }
        self.arrival = self.arrival.max(at);
        Some(self.arrival)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// SplitMix64.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, of_million: u32) -> bool {
        self.below(MILLION.into()) < of_million.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn path() -> Path {
        Path {
            delay: Duration::from_millis(5),
            rate: 8_000_000,
            queue: 10_000,
            ..Path::default()
        }
    }

    #[test]
    fn frames_take_their_time_on_the_line_and_the_delay() {
        let mut line = Line::new(path());
        assert_eq!(line.send(0, 976), Some(6 * MS));
        assert_eq!(line.send(0, 976), Some(7 * MS));
        assert_eq!(line.send(10 * MS, 976), Some(16 * MS));
    }

    #[test]
    fn a_full_queue_drops() {
        let mut line = Line::new(path());
        let taken = (0..100).filter(|_| line.send(0, 976).is_some()).count();
        assert_eq!(taken, 10);
        assert!(line.send(2 * MS, 976).is_some());
    }

    #[test]
    fn as_many_are_lost_as_asked_for() {
        let mut line = Line::new(Path {
            loss: 50_000,
            ..Path::default()
        });
        let lost = (0..100_000)
            .filter(|i| line.send(i * MS, 1000).is_none())
            .count();
        assert!((4_500..5_500).contains(&lost), "{lost}");
    }

    #[test]
    fn what_is_late_is_overtaken() {
        let mut line = Line::new(Path {
            late: 100_000,
            late_by: Duration::from_millis(50),
            ..path()
        });
        let arrivals: Vec<u64> = (0..1000)
            .filter_map(|i| line.send(i * 2 * MS, 1000))
            .collect();
        assert_eq!(arrivals.len(), 1000);
        let overtaken = arrivals.windows(2).filter(|pair| pair[1] < pair[0]).count();
        // One in ten is late, and the next one overtakes it unless that is late, too.
        assert!((50..=150).contains(&overtaken), "{overtaken}");
    }

    #[test]
    fn a_path_is_read_as_it_is_written() {
        let written = Path {
            loss: 7,
            late: 8,
            late_by: Duration::from_micros(9),
            seed: 10,
            ..path()
        };
        assert_eq!(written.to_string().parse(), Ok(written));
        assert!("1:2".parse::<Path>().is_err());
        assert!("x".parse::<Path>().is_err());
    }
}
