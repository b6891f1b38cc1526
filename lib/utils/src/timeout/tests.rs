use proptest::prelude::*;

use super::*;

#[derive(Clone, Copy, Default)]
struct Node {
    due: u32,
    next: Option<usize>,
    prev: Option<usize>,
}

struct Nodes(Vec<Node>);

impl Links for Nodes {
    type Id = usize;

    fn due(&self, id: usize) -> u32 {
        self.0[id].due
    }
    fn next(&self, id: usize) -> Option<usize> {
        self.0[id].next
    }
    fn prev(&self, id: usize) -> Option<usize> {
        self.0[id].prev
    }
    fn set_due(&mut self, id: usize, due: u32) {
        self.0[id].due = due;
    }
    fn set_next(&mut self, id: usize, next: Option<usize>) {
        self.0[id].next = next;
    }
    fn set_prev(&mut self, id: usize, prev: Option<usize>) {
        self.0[id].prev = prev;
    }
}

fn nodes(n: usize) -> Nodes {
    Nodes(vec![Node::default(); n])
}

fn poll(timeouts: &mut Timeouts<usize>, nodes: &mut Nodes, now: u32) -> Vec<usize> {
    timeouts.expire(nodes, now);
    std::iter::from_fn(|| timeouts.pop_due(nodes)).collect()
}

#[test]
fn due_in_order_and_once() {
    let (mut t, mut n) = (Timeouts::new(), nodes(4));
    for (id, us) in [(0, 30), (1, 10), (2, 20), (3, 10)] {
        t.arm(&mut n, id, us, 100);
    }
    assert_eq!(t.until_next(&n, 105), Some(5));
    assert_eq!(poll(&mut t, &mut n, 109), []);
    assert_eq!(poll(&mut t, &mut n, 120), [1, 3, 2]);
    assert_eq!(poll(&mut t, &mut n, 120), []);
    assert_eq!(t.until_next(&n, 140), Some(0));
    assert_eq!(poll(&mut t, &mut n, 140), [0]);
    assert_eq!(t.until_next(&n, 140), None);
}

#[test]
fn order_holds_when_the_clock_wraps() {
    let (mut t, mut n) = (Timeouts::new(), nodes(3));
    let now = u32::MAX - 5;
    t.arm(&mut n, 0, 10, now);
    t.arm(&mut n, 1, 3, now);
    t.arm(&mut n, 2, u32::MAX, now);
    assert_eq!(poll(&mut t, &mut n, u32::MAX), [1]);
    assert_eq!(t.until_next(&n, 0), Some(4));
    assert_eq!(poll(&mut t, &mut n, 4), [0]);
    assert_eq!(t.until_next(&n, now), Some(TIMEOUT_MAX));
}

#[test]
fn waiting_for_the_handler_may_be_disarmed_and_armed() {
    let (mut t, mut n) = (Timeouts::new(), nodes(4));
    for id in 0..4 {
        t.arm(&mut n, id, 1, 0);
    }
    t.expire(&mut n, 1);
    assert_eq!(t.pop_due(&mut n), Some(0));
    t.disarm(&mut n, 1);
    t.disarm(&mut n, 3);
    t.arm(&mut n, 3, 0, 1);
    t.arm(&mut n, 0, 0, 1);
    assert_eq!(t.pop_due(&mut n), Some(2));
    // Armed while the others were handled: due at the next poll.
    assert_eq!(t.pop_due(&mut n), None);
    assert_eq!(poll(&mut t, &mut n, 1), [3, 0]);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Arm(usize, u32),
    Disarm(usize),
    Expire,
    Pop,
    Pass(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0..8usize, 0..50u32).prop_map(|(id, us)| Op::Arm(id, us)),
        (0..8usize).prop_map(Op::Disarm),
        Just(Op::Expire),
        Just(Op::Pop),
        (0..30u32).prop_map(Op::Pass),
    ]
}

proptest! {
    /// Against a model: plain vectors, stably sorted by 64-bit due times.
    #[test]
    fn behaves_as_sorted_vectors(start: u32, ops in prop::collection::vec(op(), 0..200)) {
        let (mut t, mut n) = (Timeouts::new(), nodes(8));
        let (mut armed, mut due): (Vec<(u64, usize)>, Vec<usize>) = Default::default();
        let mut passed = 0u64;
        for op in ops {
            let now = start.wrapping_add(passed as u32);
            match op {
                Op::Arm(id, us) => {
                    t.disarm(&mut n, id);
                    t.arm(&mut n, id, us, now);
                    armed.retain(|a| a.1 != id);
                    due.retain(|d| *d != id);
                    armed.push((passed + u64::from(us), id));
                    armed.sort_by_key(|a| a.0);
                }
                Op::Disarm(id) => {
                    t.disarm(&mut n, id);
                    armed.retain(|a| a.1 != id);
                    due.retain(|d| *d != id);
                }
                Op::Expire => {
                    t.expire(&mut n, now);
                    due.extend(armed.iter().filter(|a| a.0 <= passed).map(|a| a.1));
                    armed.retain(|a| a.0 > passed);
                }
                Op::Pop => {
                    let expected = (!due.is_empty()).then(|| due.remove(0));
                    prop_assert_eq!(t.pop_due(&mut n), expected);
                }
                Op::Pass(us) => passed += u64::from(us),
            }
            let now = start.wrapping_add(passed as u32);
            let next = if due.is_empty() {
                armed.first().map(|a| a.0.saturating_sub(passed) as u32)
            } else {
                Some(0)
            };
            prop_assert_eq!(t.until_next(&n, now), next);
        }
    }
}
