use zerocopy::FromZeros;

use super::*;

fn part(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    }
}

fn vector(parts: &[libc::iovec]) -> Result<Iov<'_>> {
    // SAFETY: live descriptions; the bytes are only touched where they are live.
    unsafe { Iov::many(parts.as_ptr(), parts.len()) }
}

/// A connection whose buffers are these bytes.
fn connection(rx: &mut [u8], tx: &mut [u8]) -> FlextcpConnection {
    let mut c = FlextcpConnection::new_zeroed();
    (c.rxb_base, c.rxb_len) = (rx.as_mut_ptr().cast(), rx.len() as u32);
    (c.txb_base, c.txb_len) = (tx.as_mut_ptr().cast(), tx.len() as u32);
    c
}

#[test]
fn bytes_go_round_the_ring_into_parts_of_any_length() {
    let (mut rx, mut tx) = (*b"fgh.abcde", [0u8; 9]);
    let c = connection(&mut rx, &mut tx);
    let (mut one, mut two, mut three) = ([0u8; 3], [0u8; 0], [0u8; 6]);
    let parts = [part(&mut one), part(&mut two), part(&mut three)];
    let iov = vector(&parts).unwrap();
    assert_eq!(iov.len(), 9);
    iov.check().unwrap();
    // In two steps, across all borders.
    iov.take_received(0, &c, 4, 2);
    iov.take_received(2, &c, 6, 6);
    iov.give_to_send(1, &c, 5, 7);
    assert_eq!((&one, &three), (b"abc", b"defgh\0"));
    assert_eq!(&tx, b"fgh\0\0bcde");
}

#[test]
fn no_more_is_copied_than_there_is() {
    let (mut rx, mut tx) = ([1u8; 4], [0u8; 4]);
    let c = connection(&mut rx, &mut tx);
    let mut bytes = [0u8; 2];
    let parts = [part(&mut bytes)];
    let iov = vector(&parts).unwrap();
    iov.take_received(0, &c, 0, 4);
    // Beyond the buffer: nothing at all.
    iov.give_to_send(0, &c, 0, 5);
    iov.give_to_send(0, &c, 5, 1);
    iov.put(1, &[7, 8]);
    assert_eq!((bytes, tx), ([1, 7], [0; 4]));
}

#[test]
fn vectors_are_judged_as_by_the_kernel() {
    let mut byte = [0u8; 1];
    let good = part(&mut byte);
    let of = |at: usize, len| libc::iovec {
        iov_base: std::ptr::without_provenance_mut(at),
        iov_len: len,
    };
    // Too many, or too long.
    assert_eq!(vector(&[good; 1025]).err(), Some(Errno::INVAL));
    assert_eq!(vector(&[of(4096, 1 << 63)]).err(), Some(Errno::INVAL));
    // SAFETY: the address is found out.
    let nowhere = unsafe { Iov::many(std::ptr::without_provenance(8), 1) };
    assert_eq!(nowhere.err(), Some(Errno::FAULT));
    // Where no program has memory: found out when bytes are copied.
    for stray in [of(8, 1), of(1 << 47, 1), of(0, 1)] {
        assert_eq!(vector(&[good, stray]).unwrap().check(), Err(Errno::FAULT));
    }
    // Nothing is anywhere.
    assert_eq!(vector(&[good, of(0, 0), of(8, 0)]).unwrap().check(), Ok(()));
    assert!(vector(&[of(0, 0)]).unwrap().is_empty());
    // More than a call transfers.
    let long = [of(4096, 1 << 40), of(4096, 1 << 40)];
    assert_eq!(vector(&long).unwrap().len(), BYTES_MAX);
}
