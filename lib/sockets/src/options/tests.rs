use libc::{
    IPPROTO_TCP, SO_KEEPALIVE, SO_LINGER, SO_RCVBUF, SO_RCVTIMEO, SO_REUSEADDR, SO_SNDBUF,
    SOL_SOCKET, TCP_CORK, TCP_DEFER_ACCEPT, TCP_KEEPIDLE, TCP_NODELAY, TCP_USER_TIMEOUT,
};
use tas_ll::conn::TELL_ROOM;
use zerocopy::FromZeros;

use super::meaning::{inherited_len, meaning};
use super::*;
use crate::socket::{Phase, State};

/// Takes an option as setsockopt does.
fn set(options: &mut Options, level: i32, name: i32, value: &[u8]) {
    let meaning = meaning(level, name).unwrap();
    options.take(meaning, value);
}

fn int(value: i32) -> [u8; 4] {
    value.to_ne_bytes()
}

fn timeval(seconds: i64, micros: i64) -> Vec<u8> {
    [seconds.to_ne_bytes(), micros.to_ne_bytes()].concat()
}

fn connection(rx: u32, tx: u32) -> FlextcpConnection {
    let mut c = FlextcpConnection::new_zeroed();
    (c.rxb_len, c.txb_len) = (rx, tx);
    c
}

#[test]
fn timeouts_of_zero_are_none_and_negative_ones_are_over() {
    let mut options = Options::default();
    for (value, timeout) in [
        (timeval(1, 500_000), Some(Duration::from_millis(1500))),
        (timeval(0, 1), Some(Duration::from_micros(1))),
        (timeval(0, 0), None),
        (timeval(-1, 0), Some(Duration::ZERO)),
        (
            timeval(i64::MAX, 0),
            Some(Duration::from_secs(i64::MAX as u64)),
        ),
    ] {
        set(&mut options, SOL_SOCKET, SO_RCVTIMEO, &value);
        assert_eq!(options.receive_timeout, timeout, "{value:?}");
    }
    assert_eq!(options.send_timeout, None);
}

#[test]
fn linger_off_is_not_linger_for_nothing() {
    let mut options = Options::default();
    for (on, seconds, linger) in [
        (1, 5, Linger::For(Duration::from_secs(5))),
        (1, 0, Linger::For(Duration::ZERO)),
        (0, 5, Linger::Background),
    ] {
        let value = [int(on), int(seconds)].concat();
        set(&mut options, SOL_SOCKET, SO_LINGER, &value);
        assert_eq!(options.linger, linger);
    }
}

#[test]
fn buffers_have_bounds_and_are_told_twice_as_long() {
    let mut options = Options::default();
    assert_eq!(options.buffers(), BufferLens { rx: 0, tx: 0 });
    for (asked, len) in [
        (0, 2048),
        (4096, 4096),
        (i32::MAX, BUFFER_MAX),
        // Taken for unsigned.
        (-1, BUFFER_MAX),
    ] {
        set(&mut options, SOL_SOCKET, SO_RCVBUF, &int(asked));
        assert_eq!(options.buffers(), BufferLens { rx: len, tx: 0 });
        assert_eq!(BufferLen::told(len), 2 * len as i32);
    }
}

#[test]
fn a_shorter_send_buffer_limits_what_is_on_its_way() {
    let mut options = Options::default();
    let mut c = connection(8192, 8192);
    c.txb_sent = 1000;
    assert_eq!(options.send_room(&c), 7192);
    set(&mut options, SOL_SOCKET, SO_SNDBUF, &int(4096));
    assert_eq!(options.send_room(&c), 7192, "not of this connection yet");
    options.limit_sending(&mut c);
    assert_eq!(options.send_room(&c), 3096);
    assert_eq!(c.flags & TELL_ROOM, TELL_ROOM);
    c.txb_allocated = 4000;
    assert_eq!(options.send_room(&c), 0);
    // A connection accepted later has such a buffer from the beginning.
    assert_eq!(options.inherited().send_room(&connection(8192, 4096)), 4096);
    set(&mut options, SOL_SOCKET, SO_SNDBUF, &int(1 << 20));
    options.limit_sending(&mut c);
    assert_eq!((options.send_room(&c), c.flags), (3192, 0));
}

#[test]
fn receiving_waits_for_no_more_than_the_buffer_holds() {
    let mut options = Options::default();
    let c = connection(8192, 8192);
    assert_eq!(options.receive_at_least(&c, 100), 1);
    set(&mut options, SOL_SOCKET, libc::SO_RCVLOWAT, &int(50));
    assert_eq!(options.receive_at_least(&c, 100), 50);
    assert_eq!(options.receive_at_least(&c, 20), 20);
    set(&mut options, SOL_SOCKET, libc::SO_RCVLOWAT, &int(i32::MAX));
    assert_eq!(options.receive_at_least(&c, u32::MAX), 8192);
    set(&mut options, SOL_SOCKET, libc::SO_RCVLOWAT, &int(0));
    assert_eq!(options.receive_at_least(&c, 100), 1);
}

#[test]
fn the_service_is_told_of_probes_and_the_user_timeout_alone() {
    let mut options = Options::default();
    set(&mut options, IPPROTO_TCP, TCP_CORK, &int(1));
    set(&mut options, IPPROTO_TCP, TCP_KEEPIDLE, &int(33));
    assert_eq!(options.for_service(), None);
    set(&mut options, SOL_SOCKET, SO_KEEPALIVE, &int(1));
    let keepalive = Keepalive {
        idle: 33,
        interval: 75,
        count: 9,
    };
    let told = options.for_service().unwrap();
    assert_eq!((told.keepalive, told.user_timeout), (Some(keepalive), 0));
    set(&mut options, SOL_SOCKET, SO_KEEPALIVE, &int(0));
    set(&mut options, IPPROTO_TCP, TCP_USER_TIMEOUT, &int(12345));
    let told = options.for_service().unwrap();
    assert_eq!((told.keepalive, told.user_timeout), (None, 12345));
}

#[test]
fn connections_inherit_what_was_set_last() {
    let mut inherited = Inherited::default();
    for (name, value) in [(TCP_NODELAY, 1), (TCP_KEEPIDLE, 5), (TCP_NODELAY, 0)] {
        assert_eq!(inherited_len(IPPROTO_TCP, name), Some(4));
        inherited.note(IPPROTO_TCP, name, &int(value));
    }
    let mut accepted = inherited.for_connection();
    assert_eq!(accepted.names(), [TCP_KEEPIDLE, TCP_NODELAY]);
    // Its own are its own.
    accepted.note(SOL_SOCKET, SO_REUSEADDR, &int(1));
    assert_eq!(inherited.names().len(), 2);
    assert_eq!(inherited_len(IPPROTO_TCP, TCP_DEFER_ACCEPT), None);
}

#[test]
fn linux_counts_time_in_the_value_of_the_option_itself() {
    assert_eq!(wanted_len(SOL_SOCKET, SO_RCVTIMEO), 16);
    assert_eq!(wanted_len(SOL_SOCKET, SO_LINGER), 8);
    assert_eq!(wanted_len(IPPROTO_TCP, TCP_CORK), 4);
    assert_eq!(wanted_len(SOL_SOCKET, libc::SO_ATTACH_FILTER), 0);
}

/// The state in a `tcp_info` as long as a program wants it.
fn info_of(state: &State, c: &FlextcpConnection, info: Option<&Info>, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xff; len];
    info::fill(&mut bytes, state, c, info);
    bytes
}

#[test]
fn states_are_those_of_linux() {
    let mut c = connection(8192, 8192);
    let mut state = State::default();
    let mut tcp_state = |state: &State, flags| {
        c.flags = flags;
        info_of(state, &c, None, 1)[0]
    };
    for (phase, number) in [
        (Phase::Fresh, 7),
        (Phase::Connecting, 2),
        (Phase::Connected, 1),
        (Phase::Listening, 10),
        (Phase::Over, 7),
    ] {
        state.phase = phase;
        assert_eq!(tcp_state(&state, 0), number, "{phase:?}");
    }
    state.phase = Phase::Connected;
    state.write_shut = true;
    assert_eq!(tcp_state(&state, 0), 4);
    assert_eq!(tcp_state(&state, conn::TX_EOS_ACKED), 5);
    state.peer_closed = true;
    assert_eq!(tcp_state(&state, 0), 9);
    assert_eq!(tcp_state(&state, conn::TX_EOS_ACKED), 7);
    state.write_shut = false;
    assert_eq!(tcp_state(&state, 0), 8);
}

#[test]
fn a_program_gets_no_more_of_tcp_info_than_it_wants() {
    let state = State {
        phase: Phase::Connected,
        ..State::default()
    };
    let info = Info {
        rtt: 250,
        in_flight: 3000,
        cwnd: 14480,
        mss: 1448,
        unsent: 7,
        ..Info::default()
    };
    let c = connection(8192, 8192);
    let word = |bytes: &[u8], at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    let whole = info_of(&state, &c, Some(&info), 232);
    assert_eq!(word(&whole, 68), 250, "round-trip time");
    assert_eq!(word(&whole, 24), 3, "segments in flight");
    assert_eq!(word(&whole, 80), 10, "window in segments");
    assert_eq!(word(&whole, 144), 7, "not sent");
    assert_eq!(word(&whole, 112), u32::MAX, "what is not known stays");
    for len in 0..whole.len() {
        let bytes = info_of(&state, &c, Some(&info), len);
        assert_eq!(bytes, whole[..len]);
    }
}

#[test]
fn the_largest_packet_has_its_headers() {
    let info = Info {
        mss: 1448,
        options: tas_abi::appif::TAS_CONN_INFO_TIMESTAMPS,
        ..Info::default()
    };
    assert_eq!(info::path_mtu(&info), 1500);
}
