use std::io::ErrorKind;
use std::thread;

use super::*;
use crate::Backing;

const LEN: u64 = 32 << 20;

#[derive(FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C, align(64))]
struct Public([u64; 16]);

#[derive(FromZeros)]
struct Private {
    count: u64,
    wide: [u64; 20],
}

fn mapping() -> Arc<Mapping> {
    let backing = Backing::memfd("test", LEN, false).unwrap();
    Arc::new(Mapping::new(backing.fd(), LEN, true).unwrap())
}

fn flows() -> FlowSlots<Public, Private> {
    FlowSlots::map_array(&mapping(), 13312, 131072).unwrap()
}

#[test]
fn flows_belong_to_the_first_owner_and_start_as_zeros() {
    let flows = flows();
    let mut tokens = flows.tokens(2);
    assert!(flows.tokens(2).is_empty());
    assert_eq!(flows.count(), 131072);
    let (public, private) = flows.get(&mut tokens[0], 131071).unwrap();
    assert_eq!((public.0[15], private.count, private.wide[19]), (0, 0, 0));
    assert!(flows.get(&mut tokens[0], 131072).is_none());
    assert!(flows.get(&mut tokens[1], 0).is_none());
    assert_eq!(flows.owner(0), Some(OwnerId(0)));
    assert_eq!(flows.owner(u32::MAX), None);
    flows.prefetch(131071, 0..usize::MAX);
    flows.prefetch(u32::MAX, 0..1);
}

#[test]
fn only_the_owner_gives_a_flow_away() {
    let flows = flows();
    let mut tokens = flows.tokens(2);
    assert!(!flows.transfer(&mut tokens[1], 5, OwnerId(1)));
    assert!(flows.transfer(&mut tokens[0], 5, OwnerId(1)));
    assert!(flows.get(&mut tokens[0], 5).is_none());
    assert!(!flows.transfer(&mut tokens[0], 5, OwnerId(0)));
    assert!(flows.get(&mut tokens[1], 5).is_some());
    assert_eq!(flows.owner(5), Some(OwnerId(1)));
}

#[test]
fn tokens_open_their_own_table_only() {
    let (one, two) = (flows(), flows());
    let mut token = one.tokens(1).remove(0);
    assert!(two.get(&mut token, 0).is_none());
    assert!(!two.transfer(&mut token, 0, OwnerId(1)));
    assert!(one.get(&mut token, 0).is_some());
}

#[test]
fn public_states_lie_where_other_processes_look() {
    let backing = Backing::memfd("test", LEN, false).unwrap();
    let ours = Arc::new(Mapping::new(backing.fd(), LEN, true).unwrap());
    let flows: FlowSlots<Public, Private> = FlowSlots::map_array(&ours, 13312, 131072).unwrap();
    let table = SharedTable::map_table(&ours, 16790528, 262144).unwrap();
    let mut token = flows.tokens(1).remove(0);
    flows.get(&mut token, 3).unwrap().0.0[1] = 77;
    table.store(2, 88);
    drop((flows, table));
    assert_eq!(ours.read_at::<u64>(13312 + 3 * 128 + 8), Ok(77));
    assert_eq!(ours.read_at::<u64>(16790528 + 2 * 8), Ok(88));
}

#[test]
fn nothing_else_reaches_claimed_states() {
    let backing = Backing::memfd("test", LEN, false).unwrap();
    let map = || Arc::new(Mapping::new(backing.fd(), LEN, true).unwrap());
    let (ours, again) = (map(), map());
    let flows: FlowSlots<Public, Private> = FlowSlots::map_array(&ours, 64, 16).unwrap();
    let second = FlowSlots::<Public, Private>::map_array(&again, 64 + 15 * 128, 16);
    assert_eq!(second.err().unwrap().kind(), ErrorKind::AddrInUse);
    assert_eq!(again.write_at(64 + 100, &1u8), Err(OutOfBounds));
    assert_eq!(again.load_u64(64), Err(OutOfBounds));
    assert_eq!(again.write_at(63, &1u8), Ok(()));
    assert_eq!(again.write_at(64 + 16 * 128, &1u8), Ok(()));
    drop(flows);
    assert_eq!(again.write_at(64 + 100, &1u8), Ok(()));
}

#[test]
fn arrays_that_cannot_be_are_refused() {
    let backing = Backing::memfd("test", 4096, false).unwrap();
    let map = Arc::new(Mapping::new(backing.fd(), 4096, true).unwrap());
    let view = Arc::new(Mapping::new(backing.fd(), 4096, false).unwrap());
    let make = |map, at, count| FlowSlots::<Public, Private>::map_array(map, at, count).is_ok();
    assert!(make(&map, 0, 32));
    assert!(!make(&map, 0, 33));
    assert!(!make(&map, 32, 1));
    assert!(!make(&map, u64::MAX - 63, 1));
    assert!(!make(&view, 0, 1));
}

#[test]
fn tables_are_bounded() {
    for table in [
        SharedTable::private(8),
        SharedTable::map_table(&mapping(), 8, 8).unwrap(),
    ] {
        assert_eq!(table.count(), 8);
        table.store(7, u64::MAX);
        table.store(8, 1);
        table.prefetch(8);
        assert_eq!(
            (table.load(6), table.load(7), table.load(8)),
            (0, u64::MAX, 0)
        );
    }
}

#[test]
fn threads_pass_a_flow_around() {
    const TURNS: u64 = 2000;
    let flows: FlowSlots<Public, Private> = FlowSlots::private(4).unwrap();
    thread::scope(|scope| {
        for mut token in flows.tokens(3) {
            let flows = &flows;
            scope.spawn(move || {
                let id = token.id();
                for turn in 0..TURNS {
                    loop {
                        if let Some((public, private)) = flows.get(&mut token, 1) {
                            assert_eq!(private.count, turn * 3 + u64::from(id.0));
                            private.count += 1;
                            public.0[0] += 1;
                            break;
                        }
                        thread::yield_now();
                    }
                    assert!(flows.transfer(&mut token, 1, OwnerId((id.0 + 1) % 3)));
                }
            });
        }
    });
    assert_eq!(flows.owner(1), Some(OwnerId(0)));
}

/// Page faults of this thread that took memory or entered it into the page tables.
fn faults() -> i64 {
    // SAFETY: zeros are a valid value, into a live place of which the kernel writes.
    let usage = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage), 0);
        usage
    };
    usage.ru_minflt
}

#[test]
fn flows_that_have_memory_are_touched_without_a_fault() {
    const FLOWS: u32 = 4096;
    let flows = flows();
    let mut token = flows.tokens(1).remove(0);
    let mut touch = |some: Range<u32>| {
        let before = faults();
        for idx in some {
            let (public, private) = flows.get(&mut token, idx).unwrap();
            public.0[0] = 1;
            private.count = 1;
        }
        faults() - before
    };
    assert!(touch(2 * FLOWS..3 * FLOWS) > 0);
    flows.take_memory(0..FLOWS);
    flows.take_memory(100..100);
    flows.take_memory(131_000..u32::MAX);
    assert_eq!(touch(0..FLOWS), 0);
    assert_eq!(touch(131_000..131_072), 0);
}

#[test]
fn a_table_that_has_memory_is_read_without_a_fault() {
    let table = SharedTable::map_table(&mapping(), 0, 100_000).unwrap();
    table.take_memory();
    let before = faults();
    let sum: u64 = (0..table.count()).map(|idx| table.load(idx)).sum();
    assert_eq!((sum, faults() - before), (0, 0));
}
