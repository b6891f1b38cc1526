//! Ends of connections, moves, TIME-WAIT, and applications that are gone.

use tas_abi::appif::AppinMsg;
use tas_wire::{FlowTuple, SeqNum, Timestamps};

use super::testing::*;
use super::{Client, Errno, Open};
use crate::link::{AppLink, CloseHow, Ended, ToFast};
use crate::proto::{End, LivenessOptions};
use crate::types::{FlowId, Micros};

fn told_to_close(net: &mut Net) -> (FlowId, CloseHow) {
    match net.next_message() {
        Some((CORE1, ToFast::Close(flow, how))) => (flow, how),
        _ => panic!("not closed"),
    }
}

#[test]
fn graceful_close_is_answered_when_the_application_is_out_of_it() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Graceful);
    assert_eq!(told_to_close(&mut net), (flow, CloseHow::Graceful));
    net.quiet();
    net.tcp.on_detached(&mut net.w, flow);
    assert_eq!(net.status(APP), (5, 0));
    // It goes on in the background, in the application's memory.
    assert!(!net.tcp.tenant_idle(APP.tenant));
    assert!(net.w.table.contains_key(&tuple));
    net.ended(flow, End::Closed);
    assert!(net.w.table.is_empty());
    net.released(flow);
    net.quiet();
    net.empty();
}

#[test]
fn reset_is_answered_when_the_slot_is_back() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    assert_eq!(told_to_close(&mut net), (flow, CloseHow::Reset));
    // Once is enough.
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    assert_eq!(net.status(APP), (5, Errno::NOTCONN.status()));
    net.quiet();
    net.released(flow);
    assert_eq!(net.status(APP), (5, 0));
    net.quiet();
    net.empty();
}

#[test]
fn only_the_owner_closes() {
    let mut net = Net::resolved();
    let (tuple, _) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, STRANGER, name(5, &tuple), CloseHow::Reset);
    assert_eq!(net.status(STRANGER), (5, Errno::NOTCONN.status()));
    net.tcp
        .close(&mut net.w, APP, name(6, &tuple), CloseHow::Reset);
    assert_eq!(net.status(APP), (6, Errno::NOTCONN.status()));
    net.quiet();
    // Through another context of its own it may; the answer goes where the request came from.
    net.tcp
        .close(&mut net.w, APP_OTHER, name(5, &tuple), CloseHow::Reset);
    let (flow, _) = told_to_close(&mut net);
    net.released(flow);
    assert_eq!(net.status(APP_OTHER), (5, 0));
    net.empty();
}

#[test]
fn the_application_may_hold_on_to_a_connection_that_is_over() {
    let mut net = Net::resolved();
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    let tuple = net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    net.accepted(APP);
    net.ended(setup.flow, End::Reset);
    net.quiet();

    // The peer connects from the same port; the new connection has nothing to do with the old.
    net.tcp.accept(&mut net.w, APP, 1, 6, 80);
    assert_eq!(net.peer_connects(80, 40000), tuple);
    let (_, new) = net.installed();
    net.accepted(APP);
    assert_ne!(new.flow, setup.flow);

    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    assert_eq!(told_to_close(&mut net).0, setup.flow);
    net.released(setup.flow);
    assert_eq!(net.status(APP), (5, 0));
    assert_eq!(net.w.table.get(&tuple), Some(&new.flow));
    net.tcp
        .close(&mut net.w, APP, name(6, &tuple), CloseHow::Reset);
    net.released(new.flow);
    assert_eq!(net.status(APP), (6, 0));
    net.empty();
}

#[test]
fn flow_ids_rest_before_they_are_used_again() {
    let mut net = Net::resolved();
    let (tuple, first) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    told_to_close(&mut net);
    net.released(first);
    net.status(APP);
    for _ in 1..64 {
        assert_ne!(net.established(APP, 6).1, first);
    }
    assert_eq!(net.established(APP, 7).1, first);
}

// ---- Moves

#[test]
fn moves_to_another_context() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .move_conn(&mut net.w, APP, name(5, &tuple), APP_OTHER.context);
    let link = AppLink {
        context: APP_OTHER.context,
        opaque: 5,
    };
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Move(f, l))) if f == flow && l == link
    ));
    net.quiet();
    // One at a time.
    net.tcp
        .move_conn(&mut net.w, APP, name(5, &tuple), APP.context);
    assert_eq!(net.status(APP), (5, Errno::INVAL.status()));
    net.tcp.on_moved(&mut net.w, flow, link);
    assert!(matches!(net.answered(APP_OTHER), AppinMsg::StatusConnMove(s) if s.status == 0));
    // The first event on the new context comes after the answer.
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::Attach(f, l))) if f == flow && l == link
    ));
    // Its old context can go without harm.
    net.tcp.context_gone(&mut net.w, APP.context);
    net.quiet();
    net.tcp
        .close(&mut net.w, APP_OTHER, unopened(5), CloseHow::Reset);
    told_to_close(&mut net);
    net.released(flow);
    assert_eq!(net.status(APP_OTHER), (5, 0));
    net.empty();
}

#[test]
fn a_close_overtakes_a_move() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .move_conn(&mut net.w, APP, name(5, &tuple), APP_OTHER.context);
    net.next_message();
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    told_to_close(&mut net);
    let link = AppLink {
        context: APP_OTHER.context,
        opaque: 5,
    };
    net.tcp.on_moved(&mut net.w, flow, link);
    net.quiet();
    net.released(flow);
    assert_eq!(net.status(APP), (5, 0));
    net.empty();
}

/// The application has not seen yet that it moved, and its tuple names it no more.
#[test]
fn a_close_overtakes_the_answer_to_a_move() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    let link = |client: Client| AppLink {
        context: client.context,
        opaque: 5,
    };
    for (from, to) in [(APP, APP_OTHER), (APP_OTHER, APP), (APP, APP_OTHER)] {
        net.tcp
            .move_conn(&mut net.w, from, name(5, &tuple), to.context);
        net.next_message();
        net.tcp.on_moved(&mut net.w, flow, link(to));
        net.answered(to);
        net.next_message();
    }
    net.ended(flow, End::Reset);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Reset);
    assert_eq!(told_to_close(&mut net), (flow, CloseHow::Reset));
    net.released(flow);
    assert_eq!(net.status(APP), (5, 0));
    // It is forgotten everywhere.
    for client in [APP, APP_OTHER] {
        net.tcp
            .close(&mut net.w, client, name(5, &tuple), CloseHow::Reset);
        assert_eq!(net.status(client), (5, Errno::NOTCONN.status()));
    }
    net.empty();
}

#[test]
fn a_context_dies_while_a_connection_moves() {
    for gone in [APP, APP_OTHER] {
        let mut net = Net::resolved();
        let (tuple, flow) = net.established(APP, 5);
        net.tcp
            .move_conn(&mut net.w, APP, name(5, &tuple), APP_OTHER.context);
        net.next_message();
        net.tcp.context_gone(&mut net.w, gone.context);
        assert_eq!(told_to_close(&mut net), (flow, CloseHow::Reset));
        if gone == APP {
            assert_eq!(net.status(APP_OTHER), (5, Errno::CONNABORTED.status()));
        }
        net.released(flow);
        net.quiet();
        net.empty();
    }
}

#[test]
fn moving_what_is_not_there() {
    let mut net = Net::resolved();
    net.tcp
        .move_conn(&mut net.w, APP, unopened(5), APP_OTHER.context);
    assert_eq!(net.status(APP_OTHER), (5, Errno::NOTCONN.status()));
    net.tcp.on_moved(
        &mut net.w,
        FlowId(3),
        AppLink {
            context: APP.context,
            opaque: 1,
        },
    );
    net.quiet();
}

// ---- Applications that are gone

#[test]
fn everything_of_a_tenant_goes() {
    let mut net = Net::resolved();
    let (_, attached) = net.established(APP, 5);
    let (_, other) = net.established(APP_OTHER, 5);
    let (kept_tuple, kept) = net.established(STRANGER, 5);
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    net.sent();
    net.listen(APP, 1, 80, 8);
    net.peer_connects(80, 40000);
    let (_, waiting) = net.installed();
    net.answered(APP);
    net.peer_syn(80, 40001);
    net.listen(APP_OTHER, 2, 81, 8);
    net.tcp.accept(&mut net.w, APP, 2, 7, 81);
    net.quiet();

    net.tcp.tenant_gone(&mut net.w, APP.tenant);
    let mut closed: Vec<FlowId> = (0..3).map(|_| told_to_close(&mut net).0).collect();
    closed.sort();
    let mut expected = vec![attached, other, waiting.flow];
    expected.sort();
    assert_eq!(closed, expected);
    net.w.forget_answers();
    assert!(!net.tcp.tenant_idle(APP.tenant));
    for flow in closed {
        net.released(flow);
    }
    net.quiet();
    assert!(net.tcp.tenant_idle(APP.tenant));
    assert_eq!(net.tcp.counts().listeners, 0);
    // The stranger's connection is as it was.
    assert_eq!(net.w.table.get(&kept_tuple), Some(&kept));
    net.tcp
        .close(&mut net.w, STRANGER, name(5, &kept_tuple), CloseHow::Reset);
    told_to_close(&mut net);
    net.released(kept);
    net.status(STRANGER);
    net.empty();
}

/// RFC 9293 §3.10.4 for each connection of a process that has ended.
#[test]
fn the_connections_of_sockets_finish_in_the_background() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.listen(APP, 1, 80, 8);
    net.peer_connects(80, 40000);
    let (_, waiting) = net.installed();
    net.answered(APP);
    net.tcp.open(&mut net.w, APP, &Open::to(6, (PEER, 80)));
    net.sent();

    net.tcp.sockets_gone(&mut net.w, APP.tenant);
    assert_eq!(told_to_close(&mut net), (waiting.flow, CloseHow::Reset));
    assert_eq!(told_to_close(&mut net), (flow, CloseHow::Abandon));
    net.released(waiting.flow);
    net.tcp.on_detached(&mut net.w, flow);
    net.quiet();
    assert!(!net.tcp.tenant_idle(APP.tenant));
    assert_eq!(net.w.table.get(&tuple), Some(&flow));

    // There is no time for it.
    net.tcp.cut_short(&mut net.w, APP.tenant);
    assert_eq!(told_to_close(&mut net), (flow, CloseHow::Reset));
    net.released(flow);
    net.quiet();
    net.empty();
}

#[test]
fn a_context_goes_and_the_tenant_stays() {
    let mut net = Net::resolved();
    let (_, flow) = net.established(APP, 5);
    let (_, other) = net.established(APP_OTHER, 6);
    net.listen(APP_OTHER, 2, 81, 8);
    net.tcp.accept(&mut net.w, APP, 2, 7, 81);
    net.tcp.context_gone(&mut net.w, APP.context);
    assert_eq!(told_to_close(&mut net).0, flow);
    net.released(flow);
    net.quiet();
    // The request of the context that is gone is not served.
    net.peer_connects(81, 40000);
    let (_, setup) = net.installed();
    assert!(setup.app.is_none());
    assert!(net.w.table.values().any(|f| *f == other));
}

#[test]
fn what_was_closed_before_the_application_died_finishes() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Graceful);
    told_to_close(&mut net);
    net.tcp.tenant_gone(&mut net.w, APP.tenant);
    // No reset: the data that was queued is still delivered.
    net.tcp.on_detached(&mut net.w, flow);
    net.quiet();
    net.ended(flow, End::Closed);
    net.released(flow);
    net.quiet();
    net.empty();
}

// ---- Options and information

#[test]
fn options_and_questions_go_to_the_flows_core() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    let options = LivenessOptions {
        keepalive: None,
        user_timeout_ms: 7,
    };
    net.tcp
        .set_options(&mut net.w, APP, name(5, &tuple), options);
    assert!(matches!(
        net.next_message(),
        Some((CORE1, ToFast::SetLiveness(f, o))) if f == flow && o == options
    ));
    // Not of others.
    net.tcp
        .set_options(&mut net.w, STRANGER, name(5, &tuple), options);
    net.tcp.inspect(&mut net.w, STRANGER, name(5, &tuple));
    assert_eq!(info(&mut net, STRANGER), (5, Errno::NOTCONN.status()));
    net.quiet();

    for _ in 0..2 {
        net.tcp.inspect(&mut net.w, APP, name(5, &tuple));
        assert!(matches!(
            net.next_message(),
            Some((CORE1, ToFast::Inspect(f))) if f == flow
        ));
    }
    // One that is released first says nothing more.
    net.released(flow);
    for _ in 0..2 {
        assert_eq!(info(&mut net, APP), (5, Errno::NOTCONN.status()));
    }
    net.quiet();
    net.empty();
}

/// The answer to a question about a connection: opaque and status.
fn info(net: &mut Net, client: Client) -> (u64, i32) {
    match net.answered(client) {
        AppinMsg::ConnInfo(info) => ({ info.opaque }, { info.status }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_flows_are_ignored() {
    let mut net = Net::new();
    net.ended(FlowId(9), End::Reset);
    net.tcp.on_detached(&mut net.w, FlowId(9));
    net.released(FlowId(9));
    net.quiet();
}

// ---- TIME-WAIT, RFC 9293 §3.6.1

/// A connection to our port 80 that we closed first.
fn time_wait(net: &mut Net) -> FlowTuple {
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    let tuple = net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    net.accepted(APP);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Graceful);
    told_to_close(net);
    net.tcp.on_detached(&mut net.w, setup.flow);
    net.status(APP);
    net.ended(setup.flow, End::TimeWait);
    net.released(setup.flow);
    assert_eq!(net.tcp.counts().time_wait, 1);
    assert!(net.w.memory.is_empty());
    tuple
}

#[test]
fn time_wait_answers_a_repeated_fin_and_starts_over() {
    let mut net = Net::new();
    let tuple = time_wait(&mut net);
    net.pass(900_000);
    net.recv(&tuple, FIN | ACK, IRS + 99, SeqNum(500));
    let ack = net.sent();
    assert_eq!((ack.flags, ack.seq, ack.ack), (ACK, SeqNum(500), IRS + 100));
    net.pass(900_000);
    assert_eq!(net.tcp.counts().time_wait, 1);
    net.pass(200_000);
    net.quiet();
    net.empty();
}

#[test]
fn time_wait_ignores_resets_and_bare_acks() {
    let mut net = Net::new();
    let tuple = time_wait(&mut net);
    net.recv(&tuple, RST, IRS + 100, SeqNum(0));
    net.recv(&tuple, ACK, IRS + 100, SeqNum(500));
    net.recv(&tuple, ACK, IRS + 3, SeqNum(500));
    net.quiet();
    assert_eq!(net.tcp.counts().time_wait, 1);
}

fn syn_in_time_wait(seq: SeqNum, timestamp: Option<u32>) -> (Net, FlowTuple) {
    let mut net = Net::new();
    let tuple = time_wait(&mut net);
    let mut syn = segment(SYN, seq, SeqNum(0));
    syn.timestamps = timestamp.map(|val| Timestamps { val, ecr: 0 });
    net.recv_fields(&tuple, &syn, &[]);
    (net, tuple)
}

#[test]
fn time_wait_gives_way_to_a_newer_syn() {
    // RFC 6191: a higher timestamp, or without one a higher sequence number.
    for (seq, timestamp) in [(IRS, Some(91)), (IRS + 101, None), (IRS + 101, Some(90))] {
        let (mut net, tuple) = syn_in_time_wait(seq, timestamp);
        let reply = net.sent();
        assert_eq!((reply.flags, reply.ack), (SYN_ACK, seq + 1));
        // Above everything that the old connection can have sent.
        assert!(reply.seq.gt(SeqNum(500)));
        assert_eq!(net.tcp.counts().time_wait, 0);
        net.tcp.accept(&mut net.w, APP, 1, 6, 80);
        let mut ack = segment(ACK, seq + 1, reply.seq + 1);
        ack.timestamps = timestamp.map(|val| Timestamps { val, ecr: 0 });
        net.recv_fields(&tuple, &ack, &[]);
        net.installed();
    }
}

#[test]
fn time_wait_answers_an_old_syn() {
    // A timestamp that is too old says more than a sequence number (RFC 6191 §2).
    for (seq, timestamp) in [
        (IRS, None),
        (IRS, Some(90)),
        (IRS + 100, Some(3)),
        (IRS + 101, Some(89)),
        (IRS + 101, Some(u32::MAX)),
    ] {
        let (mut net, _) = syn_in_time_wait(seq, timestamp);
        let ack = net.sent();
        assert_eq!((ack.flags, ack.ack), (ACK, IRS + 100));
        net.quiet();
    }
}

/// RFC 7323 §3.2: segments without timestamps are ignored by a peer that uses them.
#[test]
fn time_wait_answers_with_timestamps() {
    let mut net = Net::new();
    let tuple = time_wait(&mut net);
    net.recv(&tuple, FIN | ACK, IRS + 99, SeqNum(500));
    let (_, frame) = net.sent_frame();
    let Ok(tas_wire::Packet::Tcp(ack)) = tas_wire::parse(&frame) else {
        panic!("no segment");
    };
    assert_eq!(ack.options.timestamps.map(|ts| ts.ecr), Some(90));
}

/// The tuple of an open in TIME-WAIT, and the application's request for it.
fn time_wait_of_ours(timestamps: Option<u32>) -> (Net, FlowTuple, Open) {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .close(&mut net.w, APP, name(5, &tuple), CloseHow::Graceful);
    told_to_close(&mut net);
    net.tcp.on_detached(&mut net.w, flow);
    net.status(APP);
    let ended = Ended {
        end: End::TimeWait,
        snd_nxt: SeqNum(1 << 31),
        rcv_nxt: IRS + 100,
        ts_recent: timestamps,
    };
    net.tcp.on_ended(&mut net.w, flow, ended);
    net.released(flow);
    assert_eq!(net.tcp.counts().time_wait, 1);
    let open = Open {
        local_port: Some(tuple.local_port),
        ..Open::to(6, (PEER, 80))
    };
    (net, tuple, open)
}

/// RFC 6191 §2, from the side that opens again: by its timestamps the peer tells the connections
/// apart.
#[test]
fn time_wait_gives_way_to_an_open_with_later_timestamps() {
    let (mut net, tuple, open) = time_wait_of_ours(Some(90));
    // In the same millisecond they cannot be told apart.
    net.tcp.open(&mut net.w, APP, &open);
    assert_eq!({ net.opened(APP).status }, Errno::ADDRNOTAVAIL.status());
    net.w.now += Micros(1000);
    net.tcp.open(&mut net.w, APP, &open);
    let syn = net.sent();
    assert_eq!((syn.flags, syn.tuple), (SYN, tuple));
    assert!(syn.seq.gt(SeqNum(1 << 31) + 65_535));
    let counts = net.tcp.counts();
    assert_eq!((counts.time_wait, counts.time_wait_reused), (0, 1));
    net.recv(&tuple, SYN_ACK, IRS + 5000, syn.seq + 1);
    assert_eq!(net.sent().flags, ACK);
}

#[test]
fn time_wait_without_timestamps_is_waited_for() {
    let (mut net, _, open) = time_wait_of_ours(None);
    net.w.now += Micros(1000);
    net.tcp.open(&mut net.w, APP, &open);
    assert_eq!({ net.opened(APP).status }, Errno::ADDRNOTAVAIL.status());
    net.pass(1_000_000);
    net.tcp.open(&mut net.w, APP, &open);
    assert_eq!(net.sent().flags, SYN);
}

#[test]
fn no_time_wait_where_none_is_wanted() {
    let mut cfg = config();
    cfg.time_wait = crate::types::Micros(0);
    let mut net = Net::with(cfg);
    net.listen(APP, 1, 80, 8);
    net.tcp.accept(&mut net.w, APP, 1, 5, 80);
    net.peer_connects(80, 40000);
    let (_, setup) = net.installed();
    net.ended(setup.flow, End::TimeWait);
    assert_eq!(net.tcp.counts().time_wait, 0);
}
