//! Listeners and connections that several processes hold.

use tas_abi::appif::{AppinConnAdopted, AppinMsg, TAS_ADOPTED_RESET, TAS_ADOPTED_RXDONE};
use tas_wire::FlowTuple;

use super::testing::*;
use super::{Client, Errno, Inheritance};
use crate::link::{CloseHow, ToFast};
use crate::proto::{End, FlowPlace};
use crate::types::{ContextId, FlowId, TenantId};

/// A child of [`APP`], and a child of that.
const CHILD: Client = client(3, 30);
const GRANDCHILD: Client = client(4, 40);

const PLACE: FlowPlace = FlowPlace {
    rx_pos: 100,
    rx_used: 7,
    tx_pos: 50,
    tx_used: 3,
    bump_seq: 9,
    rx_closed: false,
    tx_closed: false,
};

fn heirloom(opaque: u64, tuple: &FlowTuple, flow: FlowId) -> Inheritance {
    Inheritance {
        listeners: Vec::new(),
        conns: vec![(name(opaque, tuple), flow)],
    }
}

/// A connection that APP has opened and CHILD inherited.
fn shared() -> (Net, FlowTuple, FlowId) {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(APP, 5);
    net.tcp
        .inherit(APP.tenant, CHILD.tenant, &heirloom(5, &tuple, flow));
    (net, tuple, flow)
}

impl Net {
    fn took(&mut self, flow: FlowId, by: Option<ContextId>) {
        match self.next_message() {
            Some((_, ToFast::Take(of, for_whom))) => assert_eq!((of, for_whom), (flow, by)),
            _ => panic!("not taken"),
        }
    }

    fn taken(&mut self, flow: FlowId) {
        self.tcp.on_taken(&mut self.w, flow, PLACE);
    }

    fn attached(&mut self, flow: FlowId, to: Client) {
        match self.next_message() {
            Some((_, ToFast::Attach(of, link))) => {
                assert_eq!((of, link.context), (flow, to.context));
            }
            _ => panic!("not attached"),
        }
    }

    fn closed(&mut self, flow: FlowId, how: CloseHow) {
        match self.next_message() {
            Some((_, ToFast::Close(of, as_asked))) => assert_eq!((of, as_asked), (flow, how)),
            _ => panic!("not closed"),
        }
    }

    fn adopted(&mut self, client: Client) -> AppinConnAdopted {
        match self.answered(client) {
            AppinMsg::ConnAdopted(adopted) => adopted,
            other => panic!("{other:?}"),
        }
    }

    fn told_of_loss(&mut self, client: Client) {
        assert!(matches!(self.answered(client), AppinMsg::ConnTaken(_)));
    }

    /// `to` becomes the user instead of `from`.
    fn adopts(&mut self, tuple: &FlowTuple, flow: FlowId, from: Option<Client>, to: Client) {
        self.tcp.adopt(&mut self.w, to, name(5, tuple), flow);
        self.took(flow, Some(to.context));
        self.taken(flow);
        self.attached(flow, to);
        if let Some(from) = from {
            self.told_of_loss(from);
        }
        assert_eq!({ self.adopted(to).status }, 0);
    }

    fn close(&mut self, client: Client, tuple: &FlowTuple, how: CloseHow) {
        self.tcp.close(&mut self.w, client, name(5, tuple), how);
    }

    fn adoption_fails(&mut self, client: Client, tuple: &FlowTuple, flow: FlowId, errno: Errno) {
        self.tcp.adopt(&mut self.w, client, name(5, tuple), flow);
        assert_eq!({ self.adopted(client).status }, errno.status());
        self.quiet();
    }

    /// The core gives the slot back, and nothing is left.
    fn ends(&mut self, flow: FlowId) {
        self.released(flow);
        self.w.forget_answers();
        assert!(self.tcp.held.is_empty());
        self.empty();
        assert!(self.tcp.tenant_idle(CHILD.tenant));
    }
}

#[test]
fn the_answer_says_where_the_connection_stands() {
    let (mut net, tuple, flow) = shared();
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    net.quiet();
    net.taken(flow);
    // The core knows who may post before that one learns of it.
    net.attached(flow, CHILD);
    net.told_of_loss(APP);
    let adopted = net.adopted(CHILD);
    assert_eq!(({ adopted.opaque }, { adopted.flow_id }), (5, flow.0));
    assert_eq!(({ adopted.rx_pos }, { adopted.rx_used }), (100, 7));
    assert_eq!(({ adopted.tx_pos }, { adopted.tx_used }), (50, 3));
    assert_eq!(({ adopted.bump_seq }, adopted.flags), (9, 0));
    assert_eq!(({ adopted.rx_len }, { adopted.tx_len }), (8192, 4096));
    assert_eq!(net.tcp.connections_of(CHILD.tenant), 1);
    net.quiet();
}

#[test]
fn only_holders_adopt_and_only_what_they_do_not_use() {
    let (mut net, tuple, flow) = shared();
    net.adoption_fails(STRANGER, &tuple, flow, Errno::NOTCONN);
    net.adoption_fails(APP, &tuple, flow, Errno::ALREADY);
    net.adoption_fails(CHILD, &tuple, FlowId(flow.0 + 1), Errno::NOTCONN);
    let other = FlowTuple {
        remote_port: tuple.remote_port + 1,
        ..tuple
    };
    net.adoption_fails(CHILD, &other, flow, Errno::NOTCONN);
    net.adopts(&tuple, flow, Some(APP), CHILD);
    net.adoption_fails(CHILD, &tuple, flow, Errno::ALREADY);
    net.adopts(&tuple, flow, Some(CHILD), APP);
}

#[test]
fn one_adoption_at_a_time() {
    let (mut net, tuple, flow) = shared();
    net.tcp
        .inherit(CHILD.tenant, GRANDCHILD.tenant, &heirloom(5, &tuple, flow));
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    net.adoption_fails(GRANDCHILD, &tuple, flow, Errno::AGAIN);
    net.taken(flow);
    net.attached(flow, CHILD);
    net.told_of_loss(APP);
    assert_eq!({ net.adopted(CHILD).status }, 0);
    net.adopts(&tuple, flow, Some(CHILD), GRANDCHILD);
}

#[test]
fn the_last_holder_closes_as_it_asks() {
    for (first, last) in [(APP, CHILD), (CHILD, APP)] {
        let (mut net, tuple, flow) = shared();
        net.close(first, &tuple, CloseHow::Reset);
        if first == APP {
            // It was the user: the answer comes when nothing more will.
            net.took(flow, None);
            net.quiet();
            net.taken(flow);
        }
        assert_eq!(net.status(first), (5, 0));
        net.quiet();
        assert_eq!(net.tcp.connections_of(last.tenant), 1);
        assert!(net.tcp.tenant_idle(first.tenant));
        net.close(last, &tuple, CloseHow::Graceful);
        // Nobody uses it: the core finds out whether all was read.
        let how = if last == CHILD {
            CloseHow::Abandon
        } else {
            CloseHow::Graceful
        };
        net.closed(flow, how);
        net.ends(flow);
    }
}

#[test]
fn all_let_go_while_it_is_taken() {
    let (mut net, tuple, flow) = shared();
    net.close(APP, &tuple, CloseHow::Reset);
    net.took(flow, None);
    net.close(CHILD, &tuple, CloseHow::Graceful);
    net.quiet();
    net.taken(flow);
    assert_eq!(net.status(APP), (5, 0));
    net.closed(flow, CloseHow::Abandon);
    net.tcp.on_detached(&mut net.w, flow);
    assert_eq!(net.status(CHILD), (5, 0));
    net.ends(flow);
}

#[test]
fn who_asked_to_adopt_may_close_before_it_is_answered() {
    let (mut net, tuple, flow) = shared();
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    net.close(CHILD, &tuple, CloseHow::Reset);
    assert_eq!(net.status(CHILD), (5, 0));
    net.taken(flow);
    net.told_of_loss(APP);
    net.quiet();
    // It is parked, and the other one's.
    net.adopts(&tuple, flow, None, APP);
    net.close(APP, &tuple, CloseHow::Reset);
    net.closed(flow, CloseHow::Reset);
    net.ends(flow);
}

#[test]
fn the_user_may_close_while_it_is_adopted() {
    let (mut net, tuple, flow) = shared();
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    net.close(APP, &tuple, CloseHow::Graceful);
    net.quiet();
    net.taken(flow);
    assert_eq!(net.status(APP), (5, 0));
    net.attached(flow, CHILD);
    assert_eq!({ net.adopted(CHILD).status }, 0);
    // Nobody shares it any more.
    assert!(net.tcp.held.is_empty());
    net.close(CHILD, &tuple, CloseHow::Graceful);
    net.closed(flow, CloseHow::Graceful);
    net.ends(flow);
}

#[test]
fn a_process_ends_and_others_go_on() {
    // The user, and one that is not.
    for gone in [APP, CHILD] {
        let (mut net, tuple, flow) = shared();
        let left = if gone == APP { CHILD } else { APP };
        net.tcp.tenant_gone(&mut net.w, gone.tenant);
        if gone == APP {
            net.took(flow, None);
            net.taken(flow);
        }
        net.quiet();
        assert!(net.tcp.tenant_idle(gone.tenant));
        if gone == APP {
            net.adopts(&tuple, flow, None, left);
        }
        net.tcp.tenant_gone(&mut net.w, left.tenant);
        net.closed(flow, CloseHow::Reset);
        net.ends(flow);
    }
}

#[test]
fn all_processes_end_while_it_is_taken() {
    let (mut net, tuple, flow) = shared();
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    net.tcp.tenant_gone(&mut net.w, CHILD.tenant);
    net.tcp.tenant_gone(&mut net.w, APP.tenant);
    net.quiet();
    net.taken(flow);
    net.closed(flow, CloseHow::Reset);
    net.ends(flow);
}

#[test]
fn a_reset_while_it_is_parked_is_told_to_who_adopts() {
    let (mut net, tuple, flow) = shared();
    net.close(APP, &tuple, CloseHow::Reset);
    net.took(flow, None);
    net.taken(flow);
    assert_eq!(net.status(APP), (5, 0));
    net.ended(flow, End::Reset);
    net.tcp.adopt(&mut net.w, CHILD, name(5, &tuple), flow);
    net.took(flow, Some(CHILD.context));
    let place = FlowPlace {
        rx_closed: true,
        ..PLACE
    };
    net.tcp.on_taken(&mut net.w, flow, place);
    net.attached(flow, CHILD);
    let adopted = net.adopted(CHILD);
    assert_eq!(adopted.flags, TAS_ADOPTED_RXDONE | TAS_ADOPTED_RESET);
    // Its addresses may be another connection's by now.
    net.close(CHILD, &tuple, CloseHow::Reset);
    net.closed(flow, CloseHow::Reset);
    net.released(flow);
    assert_eq!(net.status(CHILD), (5, 0));
}

#[test]
fn a_parked_connection_that_has_ended_is_closed_by_its_name() {
    let (mut net, tuple, flow) = shared();
    net.ended(flow, End::Reset);
    net.close(CHILD, &tuple, CloseHow::Graceful);
    assert_eq!(net.status(CHILD), (5, 0));
    net.close(APP, &tuple, CloseHow::Graceful);
    net.closed(flow, CloseHow::Graceful);
    net.released(flow);
    assert_eq!(net.status(APP), (5, 0));
    assert!(net.tcp.held.is_empty());
}

#[test]
fn what_the_parent_does_not_hold_is_not_inherited() {
    let mut net = Net::resolved();
    let (tuple, flow) = net.established(STRANGER, 5);
    let all = Inheritance {
        listeners: vec![(1, 80), (9, 9)],
        conns: vec![
            (name(5, &tuple), flow),
            (name(5, &tuple), FlowId(60)),
            (name(5, &tuple), FlowId(u32::MAX)),
        ],
    };
    net.listen(STRANGER, 1, 80, 4);
    net.tcp.inherit(APP.tenant, CHILD.tenant, &all);
    net.adoption_fails(CHILD, &tuple, flow, Errno::NOTCONN);
    assert!(net.tcp.held.is_empty());
    assert_eq!(net.tcp.listeners_of(CHILD.tenant), 0);
}

/// A listener of APP's that CHILD has inherited.
fn shared_listener() -> Net {
    let mut net = Net::resolved();
    net.listen(APP, 1, 80, 4);
    let all = Inheritance {
        listeners: vec![(1, 80)],
        conns: Vec::new(),
    };
    net.tcp.inherit(APP.tenant, CHILD.tenant, &all);
    net
}

fn newconn(net: &mut Net, client: Client) {
    assert!(matches!(net.answered(client), AppinMsg::ListenNewconn(_)));
}

#[test]
fn all_that_watch_are_told_and_the_first_accepts() {
    let mut net = shared_listener();
    // Until it says otherwise, who opened it is told.
    let tuple = net.peer_connects(80, 2000);
    let (_, setup) = net.installed();
    newconn(&mut net, APP);
    // At once, since one waits.
    net.tcp.listen_watch(&mut net.w, CHILD, 1, 80, true);
    newconn(&mut net, CHILD);
    net.tcp.listen_watch(&mut net.w, APP, 1, 80, false);
    net.quiet();
    net.tcp.accept_now(&mut net.w, CHILD, 1, 8, 80);
    let accepted = net.accepted(CHILD);
    assert_eq!(
        ({ accepted.status }, { accepted.flow_id }),
        (0, setup.flow.0)
    );
    assert_eq!(net.tcp.connections_of(CHILD.tenant), 1);
    net.attached(setup.flow, CHILD);
    net.tcp.accept_now(&mut net.w, APP, 1, 8, 80);
    assert_eq!({ net.accepted(APP).status }, Errno::AGAIN.status());
    // Only the child wants to know now.
    net.peer_connects(80, 2001);
    net.installed();
    newconn(&mut net, CHILD);
    net.quiet();
    assert_ne!(tuple.remote_port, 2001);
}

#[test]
fn a_holder_lets_go_and_others_listen_on() {
    for (first, last) in [(APP, CHILD), (CHILD, APP)] {
        let mut net = shared_listener();
        net.tcp.accept(&mut net.w, first, 1, 8, 80);
        net.tcp.listen_watch(&mut net.w, last, 1, 80, true);
        net.tcp.listen_close(&mut net.w, first, 1, 80);
        assert_eq!({ net.accepted(first).status }, Errno::CONNABORTED.status());
        assert_eq!(net.status(first), (1, 0));
        assert_eq!(net.tcp.listeners_of(first.tenant), 0);
        // What waits counts as the other's.
        net.peer_connects(80, 2000);
        net.installed();
        newconn(&mut net, last);
        assert!(net.tcp.tenant_idle(first.tenant));
        net.tcp.accept(&mut net.w, first, 1, 9, 80);
        assert_eq!({ net.accepted(first).status }, Errno::INVAL.status());
        net.tcp.listen_close(&mut net.w, last, 1, 80);
        assert_eq!(net.status(last), (1, 0));
        assert_eq!(net.tcp.counts().listeners, 0);
    }
}

#[test]
fn a_process_ends_and_others_listen_on() {
    for (gone, left) in [(APP, CHILD), (CHILD, APP)] {
        let mut net = shared_listener();
        net.peer_connects(80, 2000);
        let (_, setup) = net.installed();
        net.w.forget_answers();
        net.tcp.accept(&mut net.w, gone, 1, 8, 80);
        net.attached(setup.flow, gone);
        net.peer_connects(80, 2001);
        let (_, waiting) = net.installed();
        net.w.forget_answers();
        net.tcp.tenant_gone(&mut net.w, gone.tenant);
        net.closed(setup.flow, CloseHow::Reset);
        net.released(setup.flow);
        // The connection that waits is the other's, with its memory.
        assert!(net.tcp.tenant_idle(gone.tenant));
        net.tcp.accept(&mut net.w, left, 1, 8, 80);
        net.attached(waiting.flow, left);
        assert_eq!({ net.accepted(left).status }, 0);
        net.tcp.tenant_gone(&mut net.w, left.tenant);
        net.closed(waiting.flow, CloseHow::Reset);
        net.ends(waiting.flow);
        assert_eq!(net.tcp.counts().listeners, 0);
    }
}

#[test]
fn tenants_have_nothing_to_do_with_it_unless_they_share() {
    assert_ne!(TenantId(1), CHILD.tenant);
    let mut net = shared_listener();
    net.tcp.listen_watch(&mut net.w, STRANGER, 1, 80, true);
    net.peer_connects(80, 2000);
    net.installed();
    newconn(&mut net, APP);
    net.quiet();
    net.tcp.accept_now(&mut net.w, STRANGER, 1, 8, 80);
    assert_eq!({ net.accepted(STRANGER).status }, Errno::INVAL.status());
}
