//! Random worlds: several hosts, some with a TCP that others wrote, on a bad network, with programs
//! that behave in many ways. Everything follows from a seed.
//!
//! `TAS_WORLDS` is how many seeds are tried and `TAS_WORLDS_FROM` the first; `TAS_WORLDS_DIR` is
//! where the packet traces of those that fail go.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

mod checker;
mod checker_tests;
mod end;
mod other;
mod pcap;
mod plan;
mod programs;
mod run;
mod talk;

use run::Summary;

/// Failures after which no more seeds are tried.
const ENOUGH: usize = 10;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs a seed; a panic is a failure like others.
fn attempt(seed: u64, trace: Option<&std::path::Path>) -> Result<Summary, String> {
    catch_unwind(AssertUnwindSafe(|| run::run(seed, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| Some((*panic.downcast_ref::<&str>()?).to_owned()));
        Err(text.unwrap_or_else(|| "a panic".to_owned()))
    })
}

/// Says what went wrong with a seed, and leaves its packets.
fn report(seed: u64, error: &str) {
    let dir = std::env::var_os("TAS_WORLDS_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let _ = std::fs::create_dir_all(&dir);
    let file = dir.join(format!("tas-world-{seed}.pcap"));
    let again = attempt(seed, Some(&file)).err();
    let same = if again.as_deref() == Some(error) {
        ""
    } else {
        "It did not fail the same way again!\n"
    };
    eprintln!(
        "seed {seed}: {error}\n{same}packets: {}\nagain: TAS_WORLDS=1 TAS_WORLDS_FROM={seed} make check-seeds\n",
        file.display()
    );
}

#[test]
fn random_worlds() {
    let first = number("TAS_WORLDS_FROM").unwrap_or(0);
    let count = number("TAS_WORLDS").unwrap_or(100);
    let next = AtomicU64::new(first);
    let failed: Mutex<Vec<u64>> = Mutex::new(Vec::new());
    let total = Mutex::new(Summary::default());
    let begin = Instant::now();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.lock().unwrap().len() >= ENOUGH {
                break;
            }
            match attempt(seed, None) {
                Ok(summary) => total.lock().unwrap().add(&summary),
                Err(error) => {
                    failed.lock().unwrap().push(seed);
                    report(seed, &error);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let took = begin.elapsed().as_secs_f64();
    println!("{count} seeds in {took:.1} s: {:?}", total.lock().unwrap());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds that failed: {failed:?}");
}

/// The same seed, the same world: otherwise no failure could be looked at.
#[test]
fn a_world_can_be_repeated() {
    for seed in 0..5 {
        let [one, other] = [(), ()].map(|()| attempt(seed, None).map(|s| format!("{s:?}")));
        assert_eq!(one, other, "seed {seed}");
    }
}
