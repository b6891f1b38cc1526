use super::*;
use crate::fast::counters::CoreCounters;

fn table(groups: usize) -> Vec<CoreId> {
    vec![CoreId(0); groups]
}

fn shares(table: &[CoreId]) -> Vec<usize> {
    let most = table.iter().map(|core| core.0).max().unwrap();
    (0..=most)
        .map(|core| table.iter().filter(|c| c.0 == core).count())
        .collect()
}

#[test]
fn shares_are_even_and_few_groups_move() {
    for groups in [128, 64, 100, 16] {
        let mut table = table(groups);
        for active in [1u16, 2, 3, 16, 7, 8, 5, 1, 12, 11, 2] {
            let before = table.clone();
            share_out(&mut table, active);
            let shares = shares(&table);
            assert_eq!(shares.len(), usize::from(active));
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(
                most - least <= 1,
                "{groups} groups, {active} cores: {shares:?}"
            );
            let moved = table.iter().zip(&before).filter(|(a, b)| a != b).count();
            let cores_before = before.iter().map(|core| core.0).max().unwrap() + 1;
            let (few, many) = (active.min(cores_before), active.max(cores_before));
            // What the cores that come or go have, and a group each to make shares even.
            let needed = groups * usize::from(many - few) / usize::from(many);
            assert!(
                moved <= needed + usize::from(many),
                "{groups}: {cores_before} to {active}"
            );
        }
    }
}

#[test]
fn nothing_moves_when_nothing_changes() {
    let mut table = table(128);
    share_out(&mut table, 6);
    let before = table.clone();
    share_out(&mut table, 6);
    assert_eq!(table, before);
}

#[test]
fn load_decides() {
    assert_eq!(judge(1, 4, 850), 2, "150 are idle");
    assert_eq!(judge(1, 4, 750), 1);
    assert_eq!(judge(4, 4, 4000), 4, "there are no more");
    assert_eq!(judge(2, 4, 700), 1, "1300 are idle");
    assert_eq!(judge(2, 4, 800), 2);
    assert_eq!(judge(1, 4, 0), 1, "one is always on");
    // A core more does not make one too many.
    for active in 1..16 {
        let load = u64::from(active) * 1000 - IDLE_TOO_LITTLE + 1;
        let more = judge(active, 16, load);
        assert_eq!(judge(more, 16, load), more);
    }
}

struct Bench {
    scaler: Scaler,
    counters: Vec<Placed<CoreCounters>>,
    now: Micros,
}

impl Bench {
    fn new(autoscale: bool) -> Bench {
        let counters: Vec<_> = (0..4).map(|_| Placed::<CoreCounters>::default()).collect();
        let parts = ScalerParts {
            steering: Arc::new(Steering::new(None)),
            cores: 4,
            autoscale: autoscale.then(|| (counters.clone(), 1000)),
            redirect: None,
            internal: None,
        };
        Bench {
            scaler: Scaler::new(parts, Micros(0)),
            counters,
            now: Micros(0),
        }
    }

    /// Passes time in which the cores have this load together, in thousandths.
    fn pass(&mut self, ms: u64, load: u64) {
        for _ in 0..ms {
            self.now += Micros::from_millis(1);
            self.counters[0].busy_cycles.add(1000 * load);
            self.scaler.turn(self.now, &mut []);
            while self.scaler.in_round > 0 {
                self.scaler.rebalanced();
            }
        }
    }
}

#[test]
fn cores_come_and_go_with_the_load() {
    let mut bench = Bench::new(true);
    assert_eq!(bench.scaler.active(), 1);
    bench.pass(1000, 950);
    assert_eq!(bench.scaler.active(), 2);
    bench.pass(2000, 4000);
    assert_eq!(bench.scaler.active(), 4);
    bench.pass(2000, 1900);
    assert_eq!(bench.scaler.active(), 3);
    bench.pass(3000, 10);
    assert_eq!(bench.scaler.active(), 1);
    let table = bench.scaler.steering.table();
    assert!(table.iter().all(|core| *core == CoreId(0)));
}

/// It has no time to spare, though it is seldom seen to work.
#[test]
fn a_core_that_is_kept_from_its_cpu_gets_help() {
    let mut bench = Bench::new(true);
    for _ in 0..1000 {
        bench.counters[0].kept_away_cycles.add(750_000);
        bench.pass(1, 200);
    }
    assert_eq!(bench.scaler.active(), 2);
}

#[test]
fn what_was_asked_for_stays_for_a_while() {
    let mut bench = Bench::new(true);
    assert!(!bench.scaler.ask(0, bench.now));
    assert!(!bench.scaler.ask(5, bench.now));
    assert!(!bench.scaler.ask(u32::MAX, bench.now));
    assert!(bench.scaler.ask(3, bench.now));
    bench.pass(9000, 0);
    assert_eq!(bench.scaler.active(), 3);
    bench.pass(3000, 0);
    assert_eq!(bench.scaler.active(), 1);
}

#[test]
fn without_autoscaling_only_requests_count() {
    let mut bench = Bench::new(false);
    assert_eq!(bench.scaler.active(), 4);
    assert_eq!(bench.scaler.next_deadline(), Micros::NEVER);
    bench.pass(1000, 0);
    assert_eq!(bench.scaler.active(), 4);
    assert!(bench.scaler.ask(2, bench.now));
    bench.pass(30_000, 4000);
    assert_eq!(bench.scaler.active(), 2);
}

/// A round that is under way is not overtaken by the next.
#[test]
fn one_round_at_a_time() {
    let mut bench = Bench::new(false);
    bench.scaler.ask(2, bench.now);
    bench.scaler.turn(bench.now, &mut []);
    assert_eq!(bench.scaler.steering.round(), 1);
    bench.scaler.ask(3, bench.now);
    for left in (0..4).rev() {
        bench.scaler.turn(bench.now, &mut []);
        assert_eq!(bench.scaler.steering.round(), 1);
        bench.scaler.rebalanced();
        assert_eq!(bench.scaler.in_round, left);
    }
    bench.scaler.turn(bench.now, &mut []);
    assert_eq!(bench.scaler.steering.round(), 2);
    assert_eq!(bench.scaler.active(), 3);
}
