use proptest::prelude::*;

use super::*;

fn seq(n: u32) -> SeqNum {
    SeqNum(n)
}

/// What was reported beyond 100.
fn board(reported: &[(u32, u32)]) -> Scoreboard {
    let mut board = Scoreboard::new_zeroed();
    board.begin(seq(100));
    for &(left, right) in reported {
        board.insert(seq(left), seq(right));
    }
    board
}

#[test]
fn reports_leave_holes() {
    let mut board = board(&[(200, 300), (400, 500)]);
    assert_eq!(board.holes(), [(100, 200), (300, 400)]);
    assert_eq!((board.edge(), board.sacked(seq(100))), (seq(500), 200));
    // In the middle, at either end, all of it.
    board.insert(seq(130), seq(150));
    assert_eq!(board.holes(), [(100, 130), (150, 200), (300, 400)]);
    board.insert(seq(150), seq(160));
    board.insert(seq(190), seq(310));
    assert_eq!(board.holes(), [(100, 130), (160, 190), (310, 400)]);
    board.insert(seq(150), seq(600));
    assert_eq!(board.holes(), [(100, 130)]);
    assert_eq!((board.edge(), board.sacked(seq(100))), (seq(600), 470));
}

#[test]
fn acknowledgements_fill_holes() {
    let mut board = board(&[(200, 300), (400, 500)]);
    board.advance(seq(150));
    assert_eq!(board.holes(), [(150, 200), (300, 400)]);
    board.advance(seq(300));
    assert_eq!(
        (board.holes(), board.sacked(seq(300))),
        (vec![(300, 400)], 100)
    );
    board.advance(seq(700));
    assert_eq!((board.holes(), board.edge()), (vec![], seq(700)));
    assert_eq!(board.sacked(seq(700)), 0);
}

#[test]
fn what_does_not_fit_is_ignored() {
    let mut board = board(&[]);
    for i in 0..MAX_HOLES as u32 {
        assert!(!board.insert(seq(110 + 20 * i), seq(120 + 20 * i)).full);
    }
    let (holes, edge) = (board.holes(), board.edge());
    assert_eq!(holes.len(), MAX_HOLES);
    assert!(board.insert(edge + 10, edge + 20).full);
    assert!(board.insert(seq(103), seq(105)).full);
    assert_eq!((board.holes(), board.edge()), (holes, edge));
    // What needs no place fits.
    assert!(!board.insert(seq(100), seq(105)).full);
    assert!(!board.insert(edge, edge + 20).full);
    assert_eq!(board.edge(), edge + 20);
}

/// RFC 6675 §4, IsLost: three segments' worth, or three blocks.
#[test]
fn enough_behind_it_tells_of_a_loss() {
    assert_eq!(board(&[(200, 210)]).lost_by_count(100), None);
    assert_eq!(board(&[(200, 400)]).lost_by_count(100), None);
    assert_eq!(board(&[(200, 401)]).lost_by_count(100), Some(seq(200)));
    assert_eq!(board(&[(200, 201), (300, 301)]).lost_by_count(100), None);
    assert_eq!(
        board(&[(200, 201), (300, 301), (400, 401)]).lost_by_count(100),
        Some(seq(200))
    );
    // The last hole has too little behind it.
    assert_eq!(
        board(&[(200, 400), (500, 600)]).lost_by_count(100),
        Some(seq(200))
    );
}

#[test]
fn lost_data_is_sent_again_in_order_and_once() {
    let mut board = board(&[(200, 300), (400, 500), (600, 700)]);
    let lost = seq(500);
    assert_eq!(board.lost(lost), 200);
    assert_eq!(board.next_lost(lost), Some((seq(100), seq(200))));
    board.note_resent(seq(160), seq(700), Micros(5));
    assert_eq!(board.next_lost(lost), Some((seq(160), seq(200))));
    assert_eq!(board.lost(lost), 140);
    board.note_resent(seq(200), seq(700), Micros(5));
    assert_eq!(board.next_lost(lost), Some((seq(300), seq(400))));
    board.note_resent(seq(400), seq(700), Micros(6));
    assert_eq!(board.next_lost(lost), None);
    assert_eq!(board.next_lost(seq(700)), Some((seq(500), seq(600))));
}

mod lost_retransmissions_rfc8985_6_2 {
    use super::*;

    const LOST: SeqNum = SeqNum(500);
    const LATER: Micros = Micros(50);

    /// Two holes, of which both were sent again.
    fn resent() -> Scoreboard {
        let mut board = board(&[(200, 300), (400, 500)]);
        board.note_resent(seq(200), seq(500), Micros(10));
        board.note_resent(seq(400), seq(500), Micros(10));
        board
    }

    #[test]
    fn not_while_nothing_sent_later_has_arrived() {
        let mut board = resent();
        assert!(!board.lose_retransmissions(LATER, Micros(0)));
        assert_eq!(board.next_lost(LOST), None);
    }

    #[test]
    fn when_new_data_sent_later_has_arrived() {
        let mut board = resent();
        board.insert(seq(500), seq(510));
        assert!(
            !board.lose_retransmissions(Micros(9), Micros(0)),
            "too young"
        );
        assert!(board.lose_retransmissions(LATER, Micros(0)));
        assert_eq!(board.next_lost(LOST), Some((seq(100), seq(200))));
        // Once.
        assert!(!board.lose_retransmissions(LATER, Micros(0)));
    }

    #[test]
    fn when_a_retransmission_sent_later_has_arrived() {
        let mut board = resent();
        board.insert(seq(300), seq(400));
        assert!(board.lose_retransmissions(LATER, Micros(0)));
        assert_eq!(board.next_lost(LOST), Some((seq(100), seq(200))));
    }

    #[test]
    fn not_when_one_sent_earlier_has() {
        let mut board = resent();
        board.advance(seq(300));
        assert!(!board.lose_retransmissions(LATER, Micros(0)));
        assert_eq!(board.next_lost(LOST), None);
    }

    #[test]
    fn what_arrived_too_soon_was_the_original() {
        let mut board = resent();
        board.insert(seq(300), seq(400));
        board.forget_latest_since(Micros(9));
        assert!(!board.lose_retransmissions(LATER, Micros(0)));
    }
}

#[test]
fn reordering_is_what_arrives_late_and_was_sent_once() {
    let learned = |board: &mut Scoreboard, left, right| board.insert(seq(left), seq(right));
    let mut late = board(&[(200, 300)]);
    assert!(learned(&mut late, 100, 200).reordered);
    let mut again = board(&[(200, 300)]);
    again.note_resent(seq(150), seq(300), Micros(1));
    assert!(!learned(&mut again, 100, 150).reordered);
    assert!(learned(&mut again, 150, 160).reordered);
    // Nor what a timeout took for lost.
    let mut lost = board(&[(200, 300)]);
    lost.miss_up_to(seq(400));
    assert!(!lost.advance(seq(350)).reordered);
}

mod reneging_rfc2018_8 {
    use super::*;

    #[test]
    fn shows_when_what_was_reported_is_not_acknowledged() {
        let mut board = board(&[(200, 300), (400, 500)]);
        assert!(!board.has_reneged(seq(100)));
        board.advance(seq(300));
        assert!(!board.has_reneged(seq(300)));
        board.advance(seq(400));
        assert!(board.has_reneged(seq(400)));
        board.renege(seq(400), seq(500));
        assert_eq!(board.holes(), [(400, 500)]);
        assert!(!board.has_reneged(seq(400)));
    }

    #[test]
    fn not_once_all_is_acknowledged() {
        let mut board = board(&[(200, 300)]);
        board.advance(seq(300));
        assert!(!board.has_reneged(seq(300)));
    }
}

#[test]
fn after_a_timeout_the_tail_is_a_hole_too() {
    let mut held = board(&[(200, 300)]);
    held.note_resent(seq(200), seq(400), Micros(1));
    held.miss_up_to(seq(400));
    assert_eq!(held.holes(), [(100, 200), (300, 400)]);
    assert_eq!(held.next_lost(seq(400)), Some((seq(100), seq(200))));
    assert_eq!((held.edge(), held.sacked(seq(100))), (seq(400), 100));
    // Without a place for it, the last hole takes in what was reported behind it.
    let mut full = board(&[]);
    for i in 0..MAX_HOLES as u32 {
        full.insert(seq(110 + 20 * i), seq(120 + 20 * i));
    }
    let end = full.edge() + 50;
    full.miss_up_to(end);
    assert_eq!(full.holes().last(), Some(&(100 + 20 * 31, end.0)));
    assert_eq!(full.holes().len(), MAX_HOLES);
}

/// A number on the wire, in the naive model.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Byte {
    Missing,
    SentAgain,
    Reported,
}

#[derive(Clone, Debug)]
enum Op {
    Report(u32, u32),
    Advance(u32),
    Resend(u32),
    Timeout(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1u32..300, 1u32..40).prop_map(|(at, len)| Op::Report(at, len)),
        2 => (1u32..40).prop_map(Op::Advance),
        4 => (1u32..30).prop_map(Op::Resend),
        1 => (0u32..30).prop_map(Op::Timeout),
    ]
}

const SPACE: u32 = 1200;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// A list of bytes says the same, wherever in the sequence space it happens.
    #[test]
    fn same_as_a_list_of_bytes(base in any::<u32>(), ops in prop::collection::vec(op(), 1..80)) {
        let at = |n: u32| seq(base.wrapping_add(n));
        let mut board = Scoreboard::new_zeroed();
        board.begin(at(0));
        let mut model = [Byte::Missing; SPACE as usize];
        let (mut una, mut edge) = (0u32, 0u32);
        for op in ops {
            match op {
                Op::Report(from, len) => {
                    let (left, right) = (una + from, (una + from + len).min(SPACE));
                    if left >= right {
                        continue;
                    }
                    if !board.insert(at(left), at(right)).full {
                        model[left as usize..right as usize].fill(Byte::Reported);
                        edge = edge.max(right);
                    } else {
                        prop_assert!(board.holes().len() == MAX_HOLES);
                        // Some of it may have been taken: the board says what.
                        for (start, end) in board.holes() {
                            let missing = start.wrapping_sub(base)..end.wrapping_sub(base);
                            prop_assert!(missing.end <= SPACE);
                        }
                        return Ok(());
                    }
                }
                Op::Advance(by) => {
                    // Up to what is missing: anything else would be reneging.
                    let mut to = (una + by).min(SPACE);
                    while to < edge && model[to as usize] == Byte::Reported {
                        to += 1;
                    }
                    una = to;
                    edge = edge.max(una);
                    board.advance(at(una));
                }
                Op::Resend(most) => {
                    let Some((start, end)) = board.next_lost(board.edge()) else {
                        continue;
                    };
                    let end = end.min(start + most);
                    board.note_resent(end, board.edge(), Micros(1));
                    for n in start.since(at(0))..end.since(at(0)) {
                        prop_assert_eq!(model[n as usize], Byte::Missing);
                        model[n as usize] = Byte::SentAgain;
                    }
                }
                Op::Timeout(more) => {
                    edge = (edge + more).min(SPACE);
                    if board.holes().len() == MAX_HOLES {
                        return Ok(());
                    }
                    board.miss_up_to(at(edge));
                    for byte in &mut model[una as usize..edge as usize] {
                        if *byte == Byte::SentAgain {
                            *byte = Byte::Missing;
                        }
                    }
                }
            }
            let outstanding = &model[una as usize..edge as usize];
            let count = |wanted| outstanding.iter().filter(|byte| **byte == wanted).count() as u32;
            prop_assert_eq!(board.edge(), at(edge));
            prop_assert_eq!(board.sacked(at(una)), count(Byte::Reported));
            prop_assert_eq!(board.lost(board.edge()), count(Byte::Missing));
            let first = outstanding.iter().position(|byte| *byte == Byte::Missing);
            prop_assert_eq!(
                board.next_lost(board.edge()).map(|(start, _)| start.since(at(una))),
                first.map(|n| n as u32)
            );
            prop_assert!(!board.has_reneged(at(una)));
        }
    }
}
