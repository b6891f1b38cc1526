use tas_abi::appif::AppinMsg;
use tas_wire::{FlowTuple, SeqNum};

use super::NO_FLOW;
use crate::link::{CloseHow, ToFast};
use crate::proto::FlowPlace;
use crate::slow::tcp::testing::*;
use crate::slow::tcp::{Client, ConnName, Errno, Inheritance, Open};
use crate::types::FlowId;

const CHILD: Client = client(3, 30);
const GRANDCHILD: Client = client(4, 40);

/// What a process calls the connection that it opens to port 80 of the peer.
fn opening() -> ConnName {
    let mut name = unopened(5);
    (name.tuple.remote_ip, name.tuple.remote_port) = (PEER, 80);
    name
}

impl Net {
    /// APP connects, and forks: the child holds the attempt. Its SYN is returned.
    fn forked() -> (Net, Seg) {
        let mut net = Net::resolved();
        net.tcp.open(&mut net.w, APP, &Open::to(5, (PEER, 80)));
        let syn = net.sent();
        net.fork(APP, CHILD);
        (net, syn)
    }

    fn fork(&mut self, parent: Client, child: Client) {
        let inherited = Inheritance {
            listeners: Vec::new(),
            conns: vec![(opening(), NO_FLOW)],
        };
        self.tcp.inherit(parent.tenant, child.tenant, &inherited);
    }

    fn asks(&mut self, client: Client) {
        self.tcp.adopt(&mut self.w, client, opening(), NO_FLOW);
    }

    /// The peer accepts.
    fn accepts(&mut self, syn: &Seg) -> FlowId {
        self.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
        assert_eq!(self.sent().flags, ACK);
        self.installed().1.flow
    }

    fn takes(&mut self, flow: FlowId) {
        match self.next_message() {
            Some((_, ToFast::Take(of, _))) => assert_eq!(of, flow),
            _ => panic!("not taken"),
        }
        self.tcp.on_taken(&mut self.w, flow, FlowPlace::default());
    }

    /// The child becomes the user of the open connection.
    fn child_adopts(&mut self, tuple: &FlowTuple, flow: FlowId) {
        self.tcp.adopt(&mut self.w, CHILD, name(5, tuple), flow);
        self.takes(flow);
        assert!(matches!(
            self.next_message(),
            Some((_, ToFast::Attach(of, _))) if of == flow
        ));
    }

    fn child_has_adopted(&mut self) {
        match self.answered(CHILD) {
            AppinMsg::ConnAdopted(adopted) => assert_eq!({ adopted.status }, 0),
            other => panic!("{other:?}"),
        }
    }

    fn leaves(&mut self, client: Client) {
        self.tcp
            .close(&mut self.w, client, opening(), CloseHow::Reset);
        assert_eq!(self.status(client), (5, 0));
    }
}

#[test]
fn both_have_the_open_connection() {
    for asks_early in [true, false] {
        let (mut net, syn) = Net::forked();
        if asks_early {
            net.asks(CHILD);
            net.quiet();
        }
        let flow = net.accepts(&syn);
        assert_eq!({ net.opened(APP).flow_id }, flow.0);
        if !asks_early {
            net.quiet();
            net.asks(CHILD);
        }
        let opened = net.opened(CHILD);
        assert_eq!(({ opened.status }, { opened.flow_id }), (0, flow.0));
        assert_eq!({ opened.local_port }, syn.tuple.local_port);
        net.child_adopts(&syn.tuple, flow);
        assert!(matches!(net.answered(APP), AppinMsg::ConnTaken(_)));
        net.child_has_adopted();
        net.quiet();
    }
}

#[test]
fn all_are_told_of_the_failure() {
    let (mut net, syn) = Net::forked();
    net.fork(CHILD, GRANDCHILD);
    net.asks(CHILD);
    net.recv(&syn.tuple, RST | ACK, SeqNum(0), syn.seq + 1);
    let refused = Errno::CONNREFUSED.status();
    assert_eq!({ net.opened(APP).status }, refused);
    assert_eq!({ net.opened(CHILD).status }, refused);
    net.quiet();
    net.asks(GRANDCHILD);
    assert_eq!({ net.opened(GRANDCHILD).status }, refused);
    assert!(net.tcp.inherited.is_empty());
    net.empty();
}

#[test]
fn the_child_goes_on_when_the_parent_lets_go_or_ends() {
    for ends in [true, false] {
        let (mut net, syn) = Net::forked();
        net.asks(CHILD);
        if ends {
            net.tcp.sockets_gone(&mut net.w, APP.tenant);
        } else {
            net.leaves(APP);
        }
        net.quiet();
        assert!(net.tcp.tenant_idle(APP.tenant));
        assert_eq!(net.tcp.connections_of(CHILD.tenant), 1);
        let flow = net.accepts(&syn);
        net.takes(flow);
        assert_eq!({ net.opened(CHILD).flow_id }, flow.0);
        net.quiet();
        net.child_adopts(&syn.tuple, flow);
        net.child_has_adopted();
        net.quiet();
    }
}

#[test]
fn the_parent_goes_on_when_the_child_lets_go_or_ends() {
    for ends in [true, false] {
        let (mut net, syn) = Net::forked();
        net.asks(CHILD);
        if ends {
            net.tcp.sockets_gone(&mut net.w, CHILD.tenant);
        } else {
            net.leaves(CHILD);
        }
        net.quiet();
        assert!(net.tcp.inherited.is_empty());
        let flow = net.accepts(&syn);
        assert_eq!({ net.opened(APP).flow_id }, flow.0);
        net.quiet();
        assert!(net.tcp.held.is_empty());
    }
}

#[test]
fn the_last_one_ends_the_attempt() {
    let (mut net, _) = Net::forked();
    net.leaves(APP);
    net.quiet();
    net.leaves(CHILD);
    net.quiet();
    net.empty();
    assert!(net.tcp.tenant_idle(CHILD.tenant));
}

/// The answer is on its way to the parent, which does not know yet.
#[test]
fn what_has_opened_just_now_is_inherited_too() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    let mut known = opening();
    known.tuple.remote_port = tuple.remote_port;
    let inherited = Inheritance {
        listeners: Vec::new(),
        conns: vec![(known, NO_FLOW)],
    };
    net.tcp.inherit(APP.tenant, CHILD.tenant, &inherited);
    net.asks(CHILD);
    assert_eq!({ net.opened(CHILD).flow_id }, flow.0);
    net.quiet();
}

#[test]
fn a_stranger_learns_nothing() {
    let (mut net, _) = Net::forked();
    net.asks(STRANGER);
    let aborted = Errno::CONNABORTED.status();
    assert_eq!({ net.opened(STRANGER).status }, aborted);
    net.tcp
        .close(&mut net.w, STRANGER, opening(), CloseHow::Reset);
    assert_eq!(net.status(STRANGER), (5, Errno::NOTCONN.status()));
    net.quiet();
}
