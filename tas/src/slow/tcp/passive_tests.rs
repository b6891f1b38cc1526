//! Passive opens: listeners, backlogs, accepting.

use tas_abi::appif::AppinMsg;
use tas_wire::{SeqNum, TcpFlags, Timestamps};

use super::testing::*;
use super::{Errno, Listen};
use crate::link::{CloseHow, ToFast};
use crate::proto::End;
use crate::types::FlowId;

fn newconn(net: &mut Net) -> (u64, u16) {
    match net.answered(APP) {
        AppinMsg::ListenNewconn(n) => ({ n.opaque }, { n.remote_port }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_service_answers_by_itself_and_the_application_accepts_later() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, iss) = net.peer_syn(80, 40000);
    net.quiet();
    net.recv(&tuple, ACK, IRS + 1, iss + 1);
    let (core, setup) = net.installed();
    assert_eq!(core, CORE1);
    assert!(setup.app.is_none());
    assert_eq!(setup.init.snd_wnd, 1000 << 7);
    assert_eq!(newconn(&mut net), (1, 40000));
    net.quiet();

    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    let Some((CORE1, ToFast::Attach(flow, link))) = net.next_message() else {
        panic!("not attached");
    };
    assert_eq!(flow, setup.flow);
    assert_eq!((link.context, link.opaque), (APP.context, 5));
    let accepted = net.accepted(APP);
    assert_eq!(({ accepted.opaque }, { accepted.status }), (5, 0));
    assert_eq!({ accepted.remote_ip }, PEER.to_bits());
    assert_eq!(({ accepted.remote_port }, { accepted.fn_core }), (40000, 1));
    assert_eq!({ accepted.seq_rx }, (IRS + 1).0);
    assert_eq!({ accepted.seq_tx }, (iss + 1).0);
    net.quiet();
}

#[test]
fn requests_to_accept_are_served_in_order() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.tcp.accept(&mut net.w, APP, 1, 6, 80);
    net.quiet();
    for (port, opaque) in [(40000, 5), (40001, 6)] {
        net.peer_connects(80, port);
        let (_, setup) = net.installed();
        assert_eq!(setup.app.unwrap().opaque, opaque);
        let accepted = net.accepted(APP);
        assert_eq!(
            ({ accepted.opaque }, { accepted.remote_port }),
            (opaque, port)
        );
        // Nobody is told of a connection that was asked for.
        net.quiet();
    }
}

#[test]
fn who_begins_to_watch_hears_of_each_connection_that_waits() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    for port in [40000, 40001] {
        net.peer_connects(80, port);
        net.installed();
        assert_eq!(newconn(&mut net), (1, port));
    }
    net.tcp.listen_watch(&mut net.w, APP, 1, 80, true);
    assert_eq!(newconn(&mut net), (1, 40000));
    assert_eq!(newconn(&mut net), (1, 40001));
    net.tcp.listen_watch(&mut net.w, APP, 1, 80, false);
    net.peer_connects(80, 40002);
    net.installed();
    net.quiet();
}

#[test]
fn another_context_accepts_for_itself() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP_OTHER, 1, 5, 80);
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    assert_eq!(setup.app.unwrap().context, APP_OTHER.context);
    assert_eq!({ net.accepted(APP_OTHER).status }, 0);
    // Another application may not.
    net.tcp.accept(&mut net.w, STRANGER, 1, 5, 80);
    assert_eq!({ net.accepted(STRANGER).status }, Errno::INVAL.status());
    net.quiet();
}

#[test]
fn data_on_the_completing_ack_reaches_the_flow() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, iss) = net.peer_syn(80, 40000);
    let fields = segment(ACK | FIN, IRS + 1, iss + 1);
    net.recv_fields(&tuple, &fields, b"request");
    net.installed();
    let Some((CORE1, ToFast::Reinject(got))) = net.next_message() else {
        panic!("not reinjected");
    };
    assert_eq!(*got, *frame(&tuple, &fields, b"request"));
}

#[test]
fn frames_that_were_under_way_go_to_the_core_that_owns_the_flow() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let tuple = net.peer_connects(80, 40000);
    net.installed();
    let data = frame(&tuple, &segment(ACK, IRS + 1, SeqNum(1)), b"x");
    net.recv_raw(CORE0, &data);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Reinject(_)))
    ));
}

#[test]
fn a_lost_syn_ack_is_sent_again_and_given_up() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, iss) = net.peer_syn(80, 40000);
    // The peer asks again, ...
    net.recv(&tuple, SYN, IRS, SeqNum(0));
    assert_eq!(net.sent().seq, iss);
    // ... or the time is over.
    for _ in 0..3 {
        net.pass_to_deadline();
        assert_eq!((net.sent().flags, net.tcp.counts().opening), (SYN_ACK, 1));
    }
    net.pass_to_deadline();
    net.quiet();
    net.empty();
}

#[test]
fn a_peer_takes_its_syn_back() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, _) = net.peer_syn(80, 40000);
    net.recv(&tuple, RST, IRS + 1, SeqNum(0));
    net.quiet();
    net.empty();
    net.peer_syn(80, 40000);
}

#[test]
fn a_peer_that_restarted_gets_a_new_connection() {
    // RFC 9293 §3.5.1: an old half-open connection meets a new SYN.
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, iss) = net.peer_syn(80, 40000);
    net.recv(&tuple, SYN, IRS + 1_000_000, SeqNum(0));
    let challenge = net.sent();
    assert_eq!((challenge.flags, challenge.seq), (ACK, iss + 1));
    net.recv(&tuple, RST, challenge.ack, SeqNum(0));
    net.recv(&tuple, SYN, IRS + 1_000_000, SeqNum(0));
    assert_eq!(net.sent().ack, IRS + 1_000_001);
}

// ---- Backlogs

#[test]
fn a_full_backlog_holds_connections_back() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 2);
    let (late, late_iss) = net.peer_syn(80, 40009);
    for port in [40000, 40001] {
        net.peer_connects(80, port);
        net.installed();
        newconn(&mut net);
    }
    // The third one's ACK counts as lost, and a SYN is not answered.
    net.recv(&late, ACK, IRS + 1, late_iss + 1);
    net.recv(&tuple(80, 40003), SYN, IRS, SeqNum(0));
    net.quiet();
    assert_eq!(net.tcp.counts().backlog_full, 2);

    // Once one is accepted, the peer's data completes the handshake.
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.next_message();
    assert_eq!({ net.accepted(APP).remote_port }, 40000);
    net.recv_fields(&late, &segment(ACK, IRS + 1, late_iss + 1), b"data");
    net.installed();
    assert!(matches!(net.next_message(), Some((_, ToFast::Reinject(_)))));
    assert_eq!(newconn(&mut net), (1, 40009));
}

#[test]
fn no_memory_counts_as_a_lost_ack() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (tuple, iss) = net.peer_syn(80, 40000);
    for limit in [0, 1] {
        net.w.memory_limit = Some(limit);
        net.recv(&tuple, ACK, IRS + 1, iss + 1);
        net.quiet();
        assert!(net.w.memory.is_empty());
    }
    net.w.memory_limit = None;
    net.w.table_full = true;
    net.recv(&tuple, ACK, IRS + 1, iss + 1);
    net.quiet();
    assert!(net.w.memory.is_empty());
    net.w.table_full = false;
    net.recv(&tuple, ACK, IRS + 1, iss + 1);
    net.installed();
    assert_eq!(net.tcp.counts().no_buffers, 3);
}

#[test]
fn sockets_have_longer_buffers_while_memory_is_plenty() {
    let mut net = Net::new();
    let listen = Listen {
        buffers: net.tcp.sockets_buffers(0, 64 << 10),
        ..Listen::on(1, 80, 8)
    };
    net.tcp.listen_open(&mut net.w, APP, &listen);
    assert_eq!(net.status(APP), (1, 0));
    for (port, half_used, lens) in [
        (40001, false, (16_384, 65_536)),
        (40002, true, (8192, 4096)),
        (40003, false, (16_384, 65_536)),
    ] {
        net.w.half_used = half_used;
        net.peer_connects(80, port);
        let (_, setup) = net.installed();
        assert_eq!((setup.init.rx_len, setup.init.tx_len), lens);
        newconn(&mut net);
    }
}

#[test]
fn reset_before_it_was_accepted() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 1);
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    newconn(&mut net);
    net.ended(setup.flow, End::Reset);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Close(flow, CloseHow::Reset))) if flow == setup.flow
    ));
    net.released(setup.flow);
    net.quiet();
    net.empty();
    // The request that comes too late waits for the next one.
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.quiet();
    net.peer_connects(80, 40001);
    net.installed();
    assert_eq!({ net.accepted(APP).remote_port }, 40001);
}

/// A connection that was accepted in the moment in which the request for it was withdrawn.
fn withdrawn_too_late(net: &mut Net) -> FlowId {
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    assert_eq!({ net.accepted(APP).status }, 0);
    net.tcp.close(&mut net.w, APP, unopened(5), CloseHow::Reset);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::PutBack(flow))) if flow == setup.flow
    ));
    net.quiet();
    setup.flow
}

#[test]
fn a_request_withdrawn_too_late_loses_no_connection() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let flow = withdrawn_too_late(&mut net);
    net.tcp.on_put_back(&mut net.w, flow);
    assert_eq!(net.status(APP), (5, 0));
    assert_eq!(newconn(&mut net), (1, 40000));
    net.tcp.accept(&mut net.w, APP_OTHER, 1, 6, 80);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Attach(f, link))) if f == flow && link.opaque == 6
    ));
    assert_eq!({ net.accepted(APP_OTHER).remote_port }, 40000);
    net.quiet();
}

#[test]
fn who_waits_gets_what_was_withdrawn() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let flow = withdrawn_too_late(&mut net);
    net.tcp.accept(&mut net.w, APP_OTHER, 1, 6, 80);
    net.tcp.on_put_back(&mut net.w, flow);
    assert_eq!(net.status(APP), (5, 0));
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Attach(f, _))) if f == flow
    ));
    assert_eq!({ net.accepted(APP_OTHER).opaque }, 6);
    net.quiet();
}

#[test]
fn a_connection_put_back_ends_with_its_listener_its_peer_or_all() {
    for end in 0..3 {
        let mut net = Net::new();
        net.listen(APP, 1, 80, 8);
        let flow = withdrawn_too_late(&mut net);
        match end {
            0 => {
                net.tcp.listen_close(&mut net.w, APP, 1, 80);
                assert_eq!(net.status(APP), (1, 0));
            }
            1 => net.ended(flow, End::Reset),
            _ => net.tcp.tenant_gone(&mut net.w, APP.tenant),
        }
        net.tcp.on_put_back(&mut net.w, flow);
        if end < 2 {
            assert_eq!(net.status(APP), (5, 0));
        }
        assert!(matches!(
            net.next_message(),
            Some((CORE1, ToFast::Close(f, CloseHow::Reset))) if f == flow
        ));
        net.released(flow);
        net.quiet();
        net.empty();
    }
}

// ---- Listeners

#[test]
fn ports_are_taken() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    for client in [APP, STRANGER] {
        net.tcp.listen_open(
            &mut net.w,
            client,
            &Listen {
                reuseport: true,
                ..Listen::on(2, 80, 8)
            },
        );
        assert_eq!(net.status(client), (2, Errno::ADDRINUSE.status()));
    }
    net.tcp.listen_open(&mut net.w, APP, &Listen::on(2, 0, 8));
    assert_eq!(net.status(APP), (2, Errno::INVAL.status()));
    net.tcp.listen_close(&mut net.w, STRANGER, 1, 80);
    assert_eq!(net.status(STRANGER), (1, Errno::INVAL.status()));
    net.tcp.listen_close(&mut net.w, APP, 1, 80);
    assert_eq!(net.status(APP), (1, 0));
    net.listen(STRANGER, 2, 80, 8);
    assert_eq!(net.tcp.counts().listeners, 1);
}

#[test]
fn listeners_share_a_port_if_all_say_so() {
    let mut net = Net::new();
    for (client, opaque) in [(APP, 1), (APP_OTHER, 2)] {
        net.tcp.listen_open(
            &mut net.w,
            client,
            &Listen {
                reuseport: true,
                ..Listen::on(opaque, 80, 64)
            },
        );
        assert_eq!(net.status(client), (opaque, 0));
    }
    net.tcp.listen_open(
        &mut net.w,
        STRANGER,
        &Listen {
            reuseport: true,
            ..Listen::on(3, 80, 8)
        },
    );
    assert_eq!(net.status(STRANGER), (3, Errno::ADDRINUSE.status()));
    net.w.shared_ports = true;
    net.tcp.listen_open(
        &mut net.w,
        STRANGER,
        &Listen {
            reuseport: true,
            ..Listen::on(3, 80, 64)
        },
    );
    assert_eq!(net.status(STRANGER), (3, 0));

    let mut got = [0; 3];
    for port in 40000..40060 {
        net.peer_connects(80, port);
        net.installed();
        let (context, _) = net.w_answer();
        got[[APP, APP_OTHER, STRANGER]
            .iter()
            .position(|c| c.context == context)
            .unwrap()] += 1;
    }
    assert!(got.iter().all(|n| *n > 5), "{got:?}");
}

#[test]
fn closing_a_listener_ends_what_it_held() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let (half, iss) = net.peer_syn(80, 40001);
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    newconn(&mut net);
    net.tcp.listen_close(&mut net.w, APP, 1, 80);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Close(_, CloseHow::Reset)))
    ));
    assert_eq!(net.status(APP), (1, 0));
    net.released(setup.flow);
    net.quiet();
    net.empty();
    net.recv(&half, ACK, IRS + 1, iss + 1);
    assert_eq!(net.sent().flags, RST);

    // Requests to accept are answered.
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.tcp.listen_close(&mut net.w, APP, 1, 80);
    assert_eq!({ net.accepted(APP).status }, Errno::CONNABORTED.status());
    assert_eq!(net.status(APP), (1, 0));
    net.empty();
}

#[test]
fn a_request_to_accept_is_withdrawn() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.tcp.accept(&mut net.w, APP, 1, 6, 80);
    net.tcp.close(&mut net.w, APP, unopened(5), CloseHow::Reset);
    assert_eq!(net.status(APP), (5, 0));
    net.peer_connects(80, 40000);
    net.installed();
    assert_eq!({ net.accepted(APP).opaque }, 6);
}

// ---- RFC 9293 §3.10.7.1 and §3.10.7.2

#[test]
fn closed_ports_reset() {
    let mut net = Net::new();
    let t = tuple(81, 40000);
    net.recv(&t, SYN, IRS, SeqNum(0));
    let rst = net.sent();
    assert_eq!(
        (rst.flags, rst.seq, rst.ack),
        (RST | ACK, SeqNum(0), IRS + 1)
    );
    net.recv_fields(&t, &segment(FIN, IRS, SeqNum(0)), b"abc");
    assert_eq!(net.sent().ack, IRS + 4);
    net.recv(&t, ACK, IRS, SeqNum(77));
    let rst = net.sent();
    assert_eq!((rst.flags, rst.seq), (RST, SeqNum(77)));
    net.recv(&t, RST | ACK, IRS, SeqNum(77));
    net.recv(&t, RST, IRS, SeqNum(0));
    net.quiet();
    assert_eq!(net.tcp.counts().resets_sent, 3);
}

#[test]
fn listeners_take_only_clean_syns() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let t = tuple(80, 40000);
    net.recv(&t, ACK, IRS, SeqNum(77));
    assert_eq!(net.sent().flags, RST);
    net.recv(&t, SYN_ACK, IRS, SeqNum(77));
    assert_eq!(net.sent().flags, RST);
    for flags in [TcpFlags::EMPTY, RST, SYN | FIN, SYN | RST] {
        net.recv(&t, flags, IRS, SeqNum(0));
    }
    net.quiet();
    net.empty();
}

#[test]
fn timestamps_rise_from_connection_to_connection() {
    let mut net = Net::new();
    net.listen(APP, 1, 80, 8);
    let value = |net: &mut Net, port| {
        net.recv_fields(
            &tuple(80, port),
            &tas_wire::SegmentFields {
                timestamps: Some(Timestamps { val: 1, ecr: 0 }),
                ..segment(SYN, IRS, SeqNum(0))
            },
            &[],
        );
        let (_, frame) = net.sent_frame();
        match tas_wire::parse(&frame).unwrap() {
            tas_wire::Packet::Tcp(p) => p.options.timestamps.unwrap().val,
            other => panic!("{other:?}"),
        }
    };
    let first = value(&mut net, 40000);
    net.pass(3_000);
    assert_eq!(value(&mut net, 40001), first.wrapping_add(3));
}
