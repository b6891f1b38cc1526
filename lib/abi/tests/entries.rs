//! Queue entries: what is encoded is decoded, bytes lie where C programs look
//! for them, and what has no meaning is refused.

#![forbid(unsafe_code)]

use tas_abi::UnknownType;
use tas_abi::appif::{
    AppinAcceptConn, AppinConnAdopted, AppinConnInfo, AppinConnOpened, AppinListenNewconn,
    AppinMsg, AppinStatus, AppoutAcceptConn, AppoutConnAdopt, AppoutConnClose, AppoutConnInfo,
    AppoutConnMove, AppoutConnOpen, AppoutConnOpenFrom, AppoutConnOptions, AppoutListenClose,
    AppoutListenOpen, AppoutListenOpenAt, AppoutListenWatch, AppoutMsg, AppoutReqScale,
    KERNEL_APPOUT_CLOSE_RESET, KernelAppin, KernelAppout,
};
use tas_abi::be::{BeU16, BeU32};
use tas_abi::memif::{Arx, ArxConnUpdate, ArxMsg, Atx, AtxConnUpdate, AtxMsg};
use zerocopy::FromBytes;

/// A message whose bytes are all different.
fn filled<T: FromBytes>() -> T {
    let bytes: Vec<u8> = (1..).take(size_of::<T>()).collect();
    T::read_from_bytes(&bytes).unwrap()
}

#[test]
fn requests_come_back_as_they_were() {
    let messages = [
        AppoutMsg::ConnOpen(filled::<AppoutConnOpen>()),
        AppoutMsg::ConnClose(filled::<AppoutConnClose>()),
        AppoutMsg::ConnMove(filled::<AppoutConnMove>()),
        AppoutMsg::ListenOpen(filled::<AppoutListenOpen>()),
        AppoutMsg::ListenClose(filled::<AppoutListenClose>()),
        AppoutMsg::AcceptConn(filled::<AppoutAcceptConn>()),
        AppoutMsg::ReqScale(filled::<AppoutReqScale>()),
        AppoutMsg::ConnOpenFrom(filled::<AppoutConnOpenFrom>()),
        AppoutMsg::ListenOpenAt(filled::<AppoutListenOpenAt>()),
        AppoutMsg::ConnOptions(filled::<AppoutConnOptions>()),
        AppoutMsg::ConnInfo(filled::<AppoutConnInfo>()),
    ];
    for (message, type_) in messages.into_iter().zip((1..8).chain(16..)) {
        let bytes = KernelAppout::from(message).to_bytes();
        assert_eq!(bytes[63], type_);
        let entry = KernelAppout::from_bytes(&bytes);
        assert_eq!(AppoutMsg::try_from(entry), Ok(message));
    }
}

#[test]
fn answers_come_back_as_they_were() {
    let messages = [
        AppinMsg::StatusConnClose(filled::<AppinStatus>()),
        AppinMsg::StatusConnMove(filled::<AppinStatus>()),
        AppinMsg::StatusListenOpen(filled::<AppinStatus>()),
        AppinMsg::StatusListenClose(filled::<AppinStatus>()),
        AppinMsg::StatusReqScale(filled::<AppinStatus>()),
        AppinMsg::ConnOpened(filled::<AppinConnOpened>()),
        AppinMsg::ListenNewconn(filled::<AppinListenNewconn>()),
        AppinMsg::AcceptedConn(filled::<AppinAcceptConn>()),
        AppinMsg::ConnInfo(filled::<AppinConnInfo>()),
    ];
    for (message, type_) in messages.into_iter().zip((1..9).chain(16..)) {
        let bytes = KernelAppin::from(message).to_bytes();
        assert_eq!(bytes[63], type_);
        let entry = KernelAppin::from_bytes(&bytes);
        assert_eq!(AppinMsg::try_from(entry), Ok(message));
    }
}

#[test]
fn messages_of_families_come_back_as_they_were() {
    let requests = [
        AppoutMsg::ListenWatch(filled::<AppoutListenWatch>()),
        AppoutMsg::AcceptNow(filled::<AppoutAcceptConn>()),
        AppoutMsg::ConnAdopt(filled::<AppoutConnAdopt>()),
    ];
    for (message, type_) in requests.into_iter().zip(24..) {
        let entry = KernelAppout::from(message);
        assert_eq!(entry.type_, type_);
        assert_eq!(AppoutMsg::try_from(entry), Ok(message));
    }
    let answers = [
        AppinMsg::ConnAdopted(filled::<AppinConnAdopted>()),
        AppinMsg::ConnTaken(filled::<AppinStatus>()),
    ];
    for (message, type_) in answers.into_iter().zip(24..) {
        let entry = KernelAppin::from(message);
        assert_eq!(entry.type_, type_);
        assert_eq!(AppinMsg::try_from(entry), Ok(message));
    }
}

#[test]
fn fields_lie_where_c_programs_look() {
    let close = AppoutConnClose {
        opaque: 0x0807_0605_0403_0201,
        remote_ip: 0x0a00_0001,
        local_ip: 0x0a00_0002,
        remote_port: 80,
        local_port: 0x1234,
        flags: KERNEL_APPOUT_CLOSE_RESET,
    };
    let bytes = KernelAppout::from(AppoutMsg::ConnClose(close)).to_bytes();
    assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[8..16], [1, 0, 0, 10, 2, 0, 0, 10]);
    assert_eq!(bytes[16..24], [80, 0, 0x34, 0x12, 1, 0, 0, 0]);
    assert!(bytes[24..63].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[63], 2);
}

#[test]
fn updates_come_back_as_they_were() {
    let update = filled::<AtxConnUpdate>();
    let entry = Atx::from(AtxMsg::ConnUpdate(update));
    assert_eq!(
        entry.to_bytes(),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1]
    );
    assert_eq!(AtxMsg::try_from(entry), Ok(AtxMsg::ConnUpdate(update)));

    let update = filled::<ArxConnUpdate>();
    let entry = Arx::from(ArxMsg::ConnUpdate(update));
    assert_eq!(ArxMsg::try_from(entry), Ok(ArxMsg::ConnUpdate(update)));
    assert_eq!(
        entry.to_bytes()[20..],
        [21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    );
}

#[test]
fn entries_without_meaning_are_refused() {
    for type_ in (0..=255).filter(|type_| *type_ != 1) {
        let entry = Atx {
            raw: [0; 15],
            type_,
        };
        assert_eq!(AtxMsg::try_from(entry), Err(UnknownType(type_)));
        let entry = Arx {
            raw: [0; 31],
            type_,
        };
        assert_eq!(ArxMsg::try_from(entry), Err(UnknownType(type_)));
    }
    for type_ in [0, 8, 9, 15, 255] {
        let entry = KernelAppout {
            raw: [0; 63],
            type_,
        };
        assert_eq!(AppoutMsg::try_from(entry), Err(UnknownType(type_)));
    }
    for type_ in [0, 9, 10, 15, 255] {
        let entry = KernelAppin {
            raw: [0; 63],
            type_,
        };
        assert_eq!(AppinMsg::try_from(entry), Err(UnknownType(type_)));
    }
}

#[test]
fn network_order_is_most_significant_byte_first() {
    let mut port = BeU16::new(0x1234);
    assert_eq!((port.0, port.get()), ([0x12, 0x34], 0x1234));
    port.set(80);
    assert_eq!(u16::from(port), 80);
    assert_eq!(BeU32::from(0x0a00_0001).0, [10, 0, 0, 1]);
}
