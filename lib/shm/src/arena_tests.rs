use super::*;

const MIB: u64 = 1 << 20;

fn mapped(len: u64) -> Arc<Arena> {
    let arena = Arena::reserve(8 * MIB).unwrap();
    let backing = Backing::memfd("test", len, false).unwrap();
    arena.map(ShmOffset(2 * MIB), &backing, len).unwrap();
    arena
}

#[test]
fn reservation_is_aligned_and_rounded_up() {
    let arena = Arena::reserve(1).unwrap();
    assert_eq!(arena.len(), HUGE_PAGE);
    assert!((arena.base.as_ptr().addr() as u64).is_multiple_of(HUGE_PAGE));
    assert!(Arena::reserve(u64::MAX).is_err());
    assert!(Arena::reserve(u64::MAX - HUGE_PAGE).is_err());
}

#[test]
fn a_terabyte_of_addresses_costs_nothing() {
    let arena = Arena::reserve(1 << 40).unwrap();
    let backing = Backing::memfd("test", PAGE, false).unwrap();
    let far = ShmOffset((1 << 40) - PAGE);
    arena.map(far, &backing, PAGE).unwrap();
    arena.write(far + 4000, b"far").unwrap();
}

#[test]
fn bytes_come_back_and_reach_the_backing() {
    let arena = Arena::reserve(4 * MIB).unwrap();
    let backing = Backing::memfd("test", MIB, false).unwrap();
    arena.map(ShmOffset(0), &backing, MIB).unwrap();
    arena.map(ShmOffset(2 * MIB), &backing, MIB).unwrap();
    arena.write(ShmOffset(100), b"hello").unwrap();
    let mut got = [0; 5];
    arena.read(ShmOffset(2 * MIB + 100), &mut got).unwrap();
    assert_eq!(&got, b"hello");
    arena.zero(ShmOffset(101), 3).unwrap();
    arena.read(ShmOffset(100), &mut got).unwrap();
    assert_eq!(&got, b"h\0\0\0o");
}

#[test]
fn released_memory_reads_as_zero() {
    let arena = Arena::reserve(2 * MIB).unwrap();
    let backing = Backing::memfd("test", MIB, false).unwrap();
    arena.map(ShmOffset(0), &backing, MIB).unwrap();
    arena.write(ShmOffset(5000), b"x").unwrap();
    backing.reserve(0, MIB).unwrap();
    backing.release(4096, 4096);
    let mut got = [1];
    arena.read(ShmOffset(5000), &mut got).unwrap();
    assert_eq!(got, [0]);
}

#[test]
fn places_outside_are_refused() {
    let arena = mapped(MIB);
    let end = arena.len();
    let mut buf = [0; 8];
    for at in [end - 7, end, end + 1, u64::MAX - 3, u64::MAX] {
        assert_eq!(arena.read(ShmOffset(at), &mut buf), Err(OutOfBounds));
        assert_eq!(arena.write(ShmOffset(at), &buf), Err(OutOfBounds));
        assert_eq!(arena.zero(ShmOffset(at), 8), Err(OutOfBounds));
        arena.prefetch(ShmOffset(at));
    }
    assert_eq!(arena.read(ShmOffset(end), &mut []), Ok(()));
}

#[test]
fn mappings_stay_inside_and_on_page_bounds() {
    let arena = mapped(MIB);
    let backing = Backing::memfd("test", MIB, false).unwrap();
    for (at, len) in [
        (1, PAGE),
        (0, 0),
        (0, 100),
        (0, 2 * MIB),
        (8 * MIB, PAGE),
        (u64::MAX, PAGE),
    ] {
        assert!(
            arena.map(ShmOffset(at), &backing, len).is_err(),
            "{at} {len}"
        );
    }
    arena.unmap(ShmOffset(2 * MIB), MIB).unwrap();
    assert!(arena.unmap(ShmOffset(8 * MIB), PAGE).is_err());
    // A place that was given up takes another region.
    arena.map(ShmOffset(2 * MIB), &backing, MIB).unwrap();
    arena.write(ShmOffset(2 * MIB), b"again").unwrap();
}

#[test]
fn addresses_and_places_convert() {
    let arena = mapped(MIB);
    let place = ShmOffset(2 * MIB + 17);
    let address = arena.as_ptr(place, 1).unwrap();
    assert_eq!(arena.offset_of(address.as_ptr()), Some(place));
    assert_eq!(arena.offset_of(std::ptr::null()), None);
    assert_eq!(
        arena.offset_of(arena.as_ptr(ShmOffset(arena.len()), 0).unwrap().as_ptr()),
        None
    );
}
