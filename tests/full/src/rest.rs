//! What a machine at rest costs, and whether it is the machine that dawdles.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::param::clock_ticks_per_second;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds this thread, and what it starts from now on, to the first CPU that it
/// may use.
///
/// # Panics
/// When the system refuses.
pub fn use_one_cpu() {
    let allowed = sched_getaffinity(None).expect("affinity");
    let first = (0..CpuSet::MAX_CPU).find(|&cpu| allowed.is_set(cpu));
    let mut one = CpuSet::new();
    one.set(first.expect("a CPU"));
    sched_setaffinity(None, &one).expect("affinity");
}

/// Seconds of processor time that a process has used.
///
/// # Panics
/// When there is no such process.
pub fn cpu_seconds(pid: u32) -> f64 {
    used(&format!("/proc/{pid}/stat"))
}

/// The same of its main thread alone.
///
/// # Panics
/// When there is no such process.
pub fn main_thread_cpu_seconds(pid: u32) -> f64 {
    used(&format!("/proc/{pid}/task/{pid}/stat"))
}

fn used(stat: &str) -> f64 {
    let text = fs::read_to_string(stat).expect(stat);
    // The name before may contain spaces; utime and stime are fields 14 and 15.
    let (_, fields) = text.rsplit_once(')').expect("a stat file");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let sum: u64 = ticks
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    sum as f64 / clock_ticks_per_second() as f64
}

/// Nanoseconds of the slices of the CPU that a process's threads get, with their names; nothing where
/// the kernel has no slices that a thread can choose, as before Linux 6.12.
///
/// # Panics
/// When there is no such process.
pub fn slices(pid: u32) -> Vec<(String, u64)> {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|n| n.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(6), Some(12)) {
        eprintln!("Linux {release} has no slices of a thread's own");
        return Vec::new();
    }
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let threads = tasks.flatten().filter_map(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        let state = fs::read_to_string(thread.path().join("sched")).ok()?;
        let slice = state.lines().find(|line| line.starts_with("se.slice"))?;
        let slice = slice.rsplit(' ').next()?.parse().ok()?;
        Some((name.trim().to_owned(), slice))
    });
    threads.collect()
}

/// A thread that sleeps a little over and over, where the thread runs that
/// starts it. If its sleeps are long, then not for want of a wake-up.
pub struct Watchdog {
    longest_us: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it.
    #[expect(clippy::new_without_default, reason = "it starts a thread")]
    pub fn new() -> Watchdog {
        let (longest_us, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (longest, end) = (Arc::clone(&longest_us), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                thread::sleep(Duration::from_millis(5));
                let took = began.elapsed().as_micros() as u64;
                longest.fetch_max(took, Ordering::Relaxed);
            }
        });
        Watchdog {
            longest_us,
            stop,
            thread: Some(thread),
        }
    }

    /// The longest of its sleeps, which were to last 5 ms each.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us.load(Ordering::Relaxed))
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
