//! The list of members that may be ready, with readiness made up by the test.

use super::*;
use crate::ready::IN;

fn source() -> Source {
    static SOCKET: std::sync::OnceLock<Socket> = std::sync::OnceLock::new();
    Source::Socket(SOCKET.get_or_init(Socket::default))
}

fn with(members: &mut Members, events: &[u32]) -> Vec<Key> {
    let added = events.iter().enumerate().map(|(at, events)| {
        let interest = Interest {
            events: *events,
            data: at as u64,
        };
        members.insert(source(), at as c_int, interest)
    });
    added.collect()
}

/// Collects up to `room` events while the members in `ready` are readable.
fn collect(members: &mut Members, room: usize, ready: &[u64]) -> Vec<u64> {
    let mut told = Vec::new();
    let holds = |member: &mut Member| if ready.contains(&member.data) { IN } else { 0 };
    members.collect(room, holds, |bits, data| {
        assert_eq!(bits, IN);
        told.push(data);
    });
    told
}

#[test]
fn level_triggered_members_stay_and_take_turns() {
    let mut members = Members::default();
    for key in with(&mut members, &[IN; 5]) {
        members.queue(key);
        members.queue(key);
    }
    let all = [0, 1, 2, 3, 4];
    assert_eq!(collect(&mut members, 2, &all), [0, 1]);
    assert_eq!(collect(&mut members, 2, &all), [2, 3]);
    assert_eq!(collect(&mut members, 2, &all), [4, 0]);
    assert_eq!(collect(&mut members, 9, &all), [1, 2, 3, 4, 0]);
    assert_eq!(collect(&mut members, 9, &[3]), [3]);
    assert_eq!(members.queued(), 1);
}

#[test]
fn edge_triggered_members_are_told_once() {
    let mut members = Members::default();
    let keys = with(&mut members, &[IN | ET]);
    members.queue(keys[0]);
    assert_eq!(collect(&mut members, 1, &[0]), [0]);
    assert_eq!(collect(&mut members, 1, &[0]), []);
    members.queue(keys[0]);
    assert_eq!(collect(&mut members, 1, &[0]), [0]);
}

#[test]
fn a_one_shot_member_is_silent_until_set_again() {
    let mut members = Members::default();
    let keys = with(&mut members, &[IN | ONESHOT]);
    members.queue(keys[0]);
    assert_eq!(collect(&mut members, 1, &[0]), [0]);
    members.queue(keys[0]);
    assert_eq!(collect(&mut members, 1, &[0]), []);
    let member = members.get(keys[0]).unwrap();
    assert_eq!(member.wanted(), 0);
    member.set_interest(Interest {
        events: IN | ONESHOT,
        data: 7,
    });
    members.queue(keys[0]);
    assert_eq!(collect(&mut members, 1, &[7]), [7]);
}

#[test]
fn members_leave_the_middle_of_the_list() {
    let mut members = Members::default();
    let keys = with(&mut members, &[IN; 4]);
    for key in &keys {
        members.queue(*key);
    }
    for (gone, left) in [(1, 3), (3, 2), (0, 1)] {
        members.remove(keys[gone]);
        assert_eq!(members.queued(), left);
        assert_eq!(members.len(), left);
    }
    assert_eq!(collect(&mut members, 4, &[0, 1, 2, 3]), [2]);
}

#[test]
fn the_key_of_a_removed_member_means_nothing_to_the_next() {
    let mut members = Members::default();
    let old = with(&mut members, &[IN])[0];
    members.remove(old);
    let new = with(&mut members, &[IN])[0];
    assert_ne!(old, new);
    assert!(members.get(old).is_none());
    members.queue(old);
    assert_eq!(members.queued(), 0);
    assert!(members.remove(old).is_none());
    assert_eq!(Key::from_word(new.to_word()), new);
}

#[test]
fn what_is_not_ready_leaves_the_list() {
    let mut members = Members::default();
    for key in with(&mut members, &[IN; 3]) {
        members.queue(key);
    }
    assert!(members.any_ready(|member| if member.data == 2 { IN } else { 0 }));
    assert_eq!(members.queued(), 1);
    assert!(!members.any_ready(|_| 0));
    assert_eq!(members.queued(), 0);
}
