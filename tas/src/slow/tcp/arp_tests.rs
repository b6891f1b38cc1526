use super::*;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn cache() -> ArpCache {
    ArpCache::new(Micros(1000), Micros(8000))
}

fn waiter() -> FlowTuple {
    FlowTuple {
        local_ip: Ipv4Addr::new(10, 0, 0, 9),
        local_port: 40_000,
        remote_ip: FRIEND,
        remote_port: 80,
    }
}

fn stranger(n: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a01_0000 + n as u32)
}

/// So many stations that nobody here wants to talk to ask for us.
fn flood(arp: &mut ArpCache, from: usize, count: usize) {
    for n in from..from + count {
        arp.learn(stranger(n), MAC, true, Micros(1000 + n as u64));
    }
}

#[test]
fn the_cache_is_bounded() {
    let mut arp = cache();
    flood(&mut arp, 0, 3 * MAX_KNOWN);
    assert_eq!((arp.known.len(), arp.order.len()), (MAX_KNOWN, MAX_KNOWN));
    assert_eq!(arp.peek(stranger(3 * MAX_KNOWN - 1)), Some(MAC));
    assert_eq!(arp.peek(stranger(0)), None);
}

#[test]
fn who_was_asked_for_stays() {
    let mut arp = cache();
    assert!(arp.lookup(FRIEND, waiter(), Micros(0)).ask);
    assert_eq!(arp.learn(FRIEND, MAC, false, Micros(1)).waiting, [waiter()]);
    flood(&mut arp, 0, 3 * MAX_KNOWN);
    assert_eq!(arp.peek(FRIEND), Some(MAC));
}

#[test]
fn who_has_answered_is_waited_for_no_more() {
    let mut arp = cache();
    arp.lookup(FRIEND, waiter(), Micros(0));
    arp.lookup(stranger(1), waiter(), Micros(1));
    arp.learn(FRIEND, MAC, false, Micros(2));
    assert_eq!(arp.deadline(), Micros(1001), "the other's");
    arp.learn(stranger(1), MAC, false, Micros(3));
    assert_eq!(arp.deadline(), Micros::NEVER);
    assert_eq!(arp.poll(Micros(2000)), None);
}

#[test]
fn whose_connections_we_have_stays() {
    let mut arp = cache();
    arp.learn(FRIEND, MAC, true, Micros(1));
    arp.note_use(FRIEND);
    flood(&mut arp, 0, 3 * MAX_KNOWN);
    assert_eq!(arp.peek(FRIEND), Some(MAC));
}

#[test]
fn of_those_in_use_the_most_silent_makes_room() {
    let mut arp = cache();
    flood(&mut arp, 0, MAX_KNOWN);
    for n in 0..MAX_KNOWN {
        arp.note_use(stranger(n));
    }
    arp.learn(stranger(0), MAC, true, Micros(1_000_000));
    arp.learn(FRIEND, MAC, true, Micros(1_000_001));
    assert_eq!(arp.peek(stranger(0)), Some(MAC));
    assert_eq!(arp.peek(stranger(1)), None);
}

#[test]
fn only_changes_that_concern_connections_are_news() {
    let mut arp = cache();
    arp.learn(FRIEND, MAC, true, Micros(1));
    let later = Micros(1) + SETTLED;
    assert!(!arp.learn(FRIEND, OTHER, false, later).changed);
    arp.note_use(FRIEND);
    let later = later + SETTLED;
    assert!(arp.learn(FRIEND, MAC, false, later).changed);
    assert_eq!(arp.peek(FRIEND), Some(MAC));
}

#[test]
fn two_that_fight_over_an_address_do_not_keep_us_busy() {
    let mut arp = cache();
    arp.learn(FRIEND, MAC, true, Micros(1));
    arp.note_use(FRIEND);
    assert!(!arp.learn(FRIEND, OTHER, false, SETTLED).changed);
    assert_eq!(arp.peek(FRIEND), Some(MAC));
}

#[test]
fn who_does_not_answer_is_forgotten() {
    let mut arp = cache();
    arp.learn(FRIEND, MAC, true, Micros(0));
    let stale = FRESH + Micros(1);
    let lookup = arp.lookup(FRIEND, waiter(), stale);
    assert_eq!((lookup.mac, lookup.ask), (Some(MAC), true));
    let mut asked = 0;
    while arp.deadline() != Micros::NEVER {
        let now = arp.deadline();
        asked += usize::from(arp.poll(now) == Some(Due::Ask(FRIEND)));
    }
    assert_eq!((asked, arp.peek(FRIEND)), (3, None));
    assert!(arp.order.is_empty());
}
