use std::io::Write;

use zerocopy::IntoBytes;

use super::*;

const TOKEN: u64 = 77;

fn pair() -> (UnixStream, Joining) {
    let (parent, service) = UnixStream::pair().unwrap();
    service.set_nonblocking(true).unwrap();
    (parent, Joining::new(service))
}

fn head(listeners: u32, conns: u32) -> JoinRequest {
    JoinRequest {
        version: TAS_JOIN_VERSION,
        listeners,
        conns,
        reserved: 0,
        token: TOKEN,
    }
}

fn read(joining: &mut Joining) -> Progress {
    joining.read(|token| token == TOKEN)
}

#[test]
fn everything_comes_in_pieces_of_any_size() {
    let (mut parent, mut joining) = pair();
    let mut bytes = head(2, 3).as_bytes().to_vec();
    for opaque in 1..=2u64 {
        let listener = JoinListener {
            opaque,
            local_port: 80 + opaque as u16,
            ..JoinListener::default()
        };
        bytes.extend_from_slice(listener.as_bytes());
    }
    for flow_id in 5..8u32 {
        let conn = JoinConn {
            opaque: u64::from(flow_id) * 10,
            flow_id,
            remote_port: 9,
            ..JoinConn::default()
        };
        bytes.extend_from_slice(conn.as_bytes());
    }
    let (last, before) = bytes.split_last().unwrap();
    for byte in before {
        parent.write_all(&[*byte]).unwrap();
        assert!(matches!(read(&mut joining), Progress::Unfinished));
    }
    // What follows is the child's.
    parent.write_all(&[*last, 1, 2, 3]).unwrap();
    let Progress::Complete(all) = read(&mut joining) else {
        panic!("not complete");
    };
    assert_eq!(all.token, TOKEN);
    assert_eq!(all.inherited.listeners, [(1, 81), (2, 82)]);
    let flows: Vec<_> = all.inherited.conns.iter().map(|(_, flow)| flow.0).collect();
    assert_eq!(flows, [5, 6, 7]);
    assert_eq!(all.inherited.conns[1].0.opaque, 60);
    let mut rest = [0; 8];
    assert_eq!(joining.into_stream().read(&mut rest).unwrap(), 3);
}

#[test]
fn nothing_is_read_from_who_has_no_token() {
    let (mut parent, mut joining) = pair();
    let stranger = JoinRequest {
        token: TOKEN + 1,
        ..head(1, 0)
    };
    parent.write_all(stranger.as_bytes()).unwrap();
    assert!(matches!(read(&mut joining), Progress::Broken));
}

#[test]
fn impossible_numbers_and_versions_are_refused() {
    let bad = [
        head(MOST + 1, 0),
        head(0, u32::MAX),
        JoinRequest {
            version: TAS_JOIN_VERSION + 1,
            ..head(0, 0)
        },
    ];
    for request in bad {
        let (mut parent, mut joining) = pair();
        parent.write_all(request.as_bytes()).unwrap();
        assert!(matches!(read(&mut joining), Progress::Broken));
    }
}

#[test]
fn who_goes_before_the_end_is_forgotten() {
    let (mut parent, mut joining) = pair();
    parent.write_all(head(1, 0).as_bytes()).unwrap();
    assert!(matches!(read(&mut joining), Progress::Unfinished));
    drop(parent);
    assert!(matches!(read(&mut joining), Progress::Broken));
}
