//! A world for tests: TCP control on one side, the peer's frames and what was done on the other.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::Ipv4Addr;

use tas_abi::appif::{AppinAcceptConn, AppinConnOpened, AppinMsg};
use tas_shm::ShmOffset;
use tas_wire::{
    ArpPacket, ChecksumMode, FlowTuple, MacAddr, Packet, SegmentFields, SeqNum, TcpFlags,
    TcpTemplate, Timestamps, WindowScale,
};

use super::conn::Phase;
pub(super) use super::{BufferLens, Listen, Open};
use super::{Client, ConnName, Secrets, TcpControl, TcpControlConfig, World};
use crate::config::LocalAddr;
use crate::link::{Ended, FlowSetup, ToFast};
use crate::proto::End;
use crate::types::{ContextId, CoreId, FlowGroup, FlowId, Micros, TenantId};

pub(super) const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
pub(super) const PEER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
pub(super) const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(super) const CORE0: CoreId = CoreId(0);
pub(super) const CORE1: CoreId = CoreId(1);
/// The peer's initial sequence number.
pub(super) const IRS: SeqNum = SeqNum(7000);
/// Where memory begins.
const BASE: u64 = 1 << 20;

pub(super) const SYN: TcpFlags = TcpFlags::SYN;
pub(super) const ACK: TcpFlags = TcpFlags::ACK;
pub(super) const RST: TcpFlags = TcpFlags::RST;
pub(super) const FIN: TcpFlags = TcpFlags::FIN;
pub(super) const SYN_ACK: TcpFlags = SYN.union(ACK);

/// An application with one context.
pub(super) const APP: Client = client(1, 10);
/// The same application's other context.
pub(super) const APP_OTHER: Client = client(1, 11);
/// Another application.
pub(super) const STRANGER: Client = client(2, 20);

pub(super) const fn client(tenant: u32, context: u16) -> Client {
    Client {
        tenant: TenantId(tenant),
        context: ContextId(context),
    }
}

/// The tenant whose region a tenant uses: 3 and 4 are children of 1.
fn region(tenant: TenantId) -> TenantId {
    match tenant {
        TenantId(3 | 4) => TenantId(1),
        other => other,
    }
}

/// What TCP control did.
#[derive(Default)]
pub(super) struct Mock {
    pub(super) now: Micros,
    sent: VecDeque<(CoreId, ToFast)>,
    answers: VecDeque<(ContextId, AppinMsg)>,
    passed: Vec<(FlowId, CoreId)>,
    pub table: HashMap<FlowTuple, FlowId>,
    /// Half of everybody's memory is in use.
    pub half_used: bool,
    pub table_full: bool,
    /// Allocations by place.
    pub memory: HashMap<u64, (TenantId, u32)>,
    next_place: u64,
    /// Most allocations.
    pub memory_limit: Option<usize>,
    pub shared_ports: bool,
}

impl World for Mock {
    fn now(&self) -> Micros {
        self.now
    }

    fn send(&mut self, core: CoreId, msg: ToFast) {
        if let ToFast::Install(setup) = &msg {
            assert!(
                self.passed.contains(&(setup.flow, core)),
                "slot passed before the installation"
            );
        }
        self.sent.push_back((core, msg));
    }

    fn group(&self, _tuple: &FlowTuple) -> FlowGroup {
        FlowGroup(3)
    }

    fn core(&self, group: FlowGroup) -> CoreId {
        assert_eq!(group, FlowGroup(3));
        CORE1
    }

    fn pass_slot(&mut self, flow: FlowId, core: CoreId) {
        self.passed.push((flow, core));
    }

    fn answer(&mut self, ctx: ContextId, msg: AppinMsg) {
        self.answers.push_back((ctx, msg));
    }

    fn has_plenty(&self, _tenant: TenantId) -> bool {
        !self.half_used
    }

    fn alloc(&mut self, tenant: TenantId, len: u32, _zeroed: u32) -> Option<ShmOffset> {
        if self.memory_limit.is_some_and(|n| self.memory.len() >= n) {
            return None;
        }
        let at = BASE + self.next_place;
        self.next_place += u64::from(len);
        self.memory.insert(at, (region(tenant), len));
        Some(ShmOffset(at))
    }

    fn free(&mut self, tenant: TenantId, at: ShmOffset, len: u32) {
        assert_eq!(
            self.memory.remove(&at.0),
            Some((region(tenant), len)),
            "freed once, as allocated"
        );
    }

    fn relative(&self, _tenant: TenantId, at: ShmOffset) -> u64 {
        at.0 - BASE
    }

    fn table_insert(&mut self, tuple: &FlowTuple, flow: FlowId) -> bool {
        if !self.table_full {
            assert_eq!(
                self.table.insert(*tuple, flow),
                None,
                "one flow for a tuple"
            );
        }
        !self.table_full
    }

    fn table_remove(&mut self, tuple: &FlowTuple, flow: FlowId) {
        assert_eq!(self.table.remove(tuple), Some(flow), "removed once");
    }

    fn may_share_port(&self, a: TenantId, b: TenantId) -> bool {
        a == b || self.shared_ports
    }
}

impl Mock {
    pub(super) fn forget_answers(&mut self) {
        self.answers.clear();
    }
}

/// A TCP segment that was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seg {
    pub core: CoreId,
    pub mac: MacAddr,
    pub tuple: FlowTuple,
    pub flags: TcpFlags,
    pub seq: SeqNum,
    pub ack: SeqNum,
}

/// TCP control in its world.
pub(super) struct Net {
    pub tcp: TcpControl,
    pub w: Mock,
    /// Sequence number of the last segment that [`Net::drain`] saw.
    pub last_seq: SeqNum,
}

pub(super) fn config() -> TcpControlConfig {
    TcpControlConfig {
        addresses: vec![LocalAddr {
            ip: IP,
            prefix_len: 24,
        }],
        routes: vec![],
        mac: MAC,
        mtu: 1500,
        flows: 64,
        rx_len: 8192,
        tx_len: 4096,
        sockets: BufferLens {
            rx: 16_384,
            tx: 32_768,
        },
        handshake_timeout: Micros(10_000),
        handshake_retries: 3,
        time_wait: Micros(1_000_000),
        arp_timeout: Micros(500),
        arp_timeout_max: Micros(4_000),
        path_mtu_min: 552,
        ecn: true,
        half_open: 16_384,
    }
}

impl Net {
    pub(super) fn new() -> Net {
        Net::with(config())
    }

    pub(super) fn with(cfg: TcpControlConfig) -> Net {
        let secrets = Secrets {
            isn: [1; 16],
            random: [2; 16],
        };
        Net {
            tcp: TcpControl::new(cfg, secrets),
            w: Mock::default(),
            last_seq: SeqNum(0),
        }
    }

    /// The peer's Ethernet address is in the cache.
    pub(super) fn resolved() -> Net {
        let mut net = Net::new();
        net.recv_arp(&ArpPacket::request(PEER_MAC, PEER, IP));
        net.w.sent.clear();
        net
    }

    pub(super) fn pass(&mut self, span: u64) {
        self.w.now += Micros(span);
        self.tcp.poll_timers(&mut self.w);
    }

    /// Lets time pass until the next deadline; returns how long that was.
    pub(super) fn pass_to_deadline(&mut self) -> u64 {
        let span = self.tcp.next_deadline().since(self.w.now).0;
        self.pass(span);
        span
    }

    // ---- Frames of the peer

    pub(super) fn recv_raw(&mut self, core: CoreId, frame: &[u8]) {
        self.tcp.on_frame(&mut self.w, core, frame);
    }

    pub(super) fn recv_arp(&mut self, packet: &ArpPacket) {
        let mut frame = [0; 64];
        let len = packet.emit(&mut frame).unwrap();
        self.recv_raw(CORE0, &frame[..len]);
    }

    /// The peer's segment on `tuple`, as we see the connection, reaches core 1.
    pub(super) fn recv(&mut self, tuple: &FlowTuple, flags: TcpFlags, seq: SeqNum, ack: SeqNum) {
        self.recv_fields(tuple, &segment(flags, seq, ack), &[]);
    }

    pub(super) fn recv_fields(
        &mut self,
        tuple: &FlowTuple,
        fields: &SegmentFields<'_>,
        payload: &[u8],
    ) {
        self.recv_raw(CORE1, &frame(tuple, fields, payload));
    }

    // ---- What was sent

    /// The next message to a core, if any.
    pub(super) fn next_message(&mut self) -> Option<(CoreId, ToFast)> {
        self.w.sent.pop_front()
    }

    pub(super) fn sent_frame(&mut self) -> (CoreId, Box<[u8]>) {
        match self.next_message() {
            Some((core, ToFast::Transmit(frame))) => (core, frame),
            Some(_) => panic!("not a frame"),
            None => panic!("nothing sent"),
        }
    }

    /// The next message must be this segment.
    pub(super) fn sent(&mut self) -> Seg {
        let (core, frame) = self.sent_frame();
        match tas_wire::parse(&frame).unwrap() {
            Packet::Tcp(packet) => {
                assert_eq!(packet.eth.src, MAC);
                Seg {
                    core,
                    mac: packet.eth.dst,
                    tuple: packet.tuple().reversed(),
                    flags: packet.tcp.flags.without(TcpFlags::ECE | TcpFlags::CWR),
                    seq: packet.tcp.seq,
                    ack: packet.tcp.ack,
                }
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn sent_arp(&mut self) -> ArpPacket {
        match tas_wire::parse(&self.sent_frame().1).unwrap() {
            Packet::Arp(packet) => packet,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn installed(&mut self) -> (CoreId, Box<FlowSetup>) {
        match self.next_message() {
            Some((core, ToFast::Install(setup))) => (core, setup),
            Some(_) => panic!("not an installation"),
            None => panic!("nothing sent"),
        }
    }

    /// Nothing more was sent or answered.
    pub(super) fn quiet(&self) {
        assert!(
            self.w.sent.is_empty(),
            "{} messages left",
            self.w.sent.len()
        );
        assert!(self.w.answers.is_empty(), "{:?}", self.w.answers);
    }

    // ---- Answers to applications

    pub(super) fn answered(&mut self, client: Client) -> AppinMsg {
        let (context, msg) = self.w.answers.pop_front().expect("an answer");
        assert_eq!(context, client.context);
        msg
    }

    pub(super) fn opened(&mut self, client: Client) -> AppinConnOpened {
        match self.answered(client) {
            AppinMsg::ConnOpened(opened) => opened,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn accepted(&mut self, client: Client) -> AppinAcceptConn {
        match self.answered(client) {
            AppinMsg::AcceptedConn(accepted) => accepted,
            other => panic!("{other:?}"),
        }
    }

    /// The answer to a request that returns a status: opaque and status.
    pub(super) fn status(&mut self, client: Client) -> (u64, i32) {
        let status = match self.answered(client) {
            AppinMsg::StatusConnClose(s)
            | AppinMsg::StatusConnMove(s)
            | AppinMsg::StatusListenOpen(s)
            | AppinMsg::StatusListenClose(s) => s,
            other => panic!("{other:?}"),
        };
        (status.opaque, status.status)
    }

    /// The next answer to whomever.
    pub(super) fn w_answer(&mut self) -> (ContextId, AppinMsg) {
        self.w.answers.pop_front().expect("an answer")
    }

    // ---- For random tests

    /// Takes everything that was sent; enters installed flows into `flows`.
    pub(super) fn drain(&mut self, flows: &mut BTreeSet<FlowId>) {
        self.w.answers.clear();
        while let Some((_, message)) = self.next_message() {
            match message {
                ToFast::Install(setup) => {
                    flows.insert(setup.flow);
                }
                ToFast::Transmit(frame) => {
                    if let Ok(Packet::Tcp(packet)) = tas_wire::parse(&frame) {
                        self.last_seq = packet.tcp.seq;
                    }
                }
                _ => {}
            }
        }
    }

    /// Whether the core was told to close a flow, so that it may report its release.
    pub(super) fn is_closing(&self, flow: FlowId) -> bool {
        self.tcp
            .flows
            .get(&flow)
            .is_some_and(|record| matches!(record.phase, Phase::Closing(_)))
    }

    // ---- Whole steps

    pub(super) fn listen(&mut self, client: Client, opaque: u64, port: u16, backlog: u32) {
        self.tcp
            .listen_open(&mut self.w, client, &Listen::on(opaque, port, backlog));
        assert_eq!(self.status(client), (opaque, 0));
    }

    /// A peer's port connects to `port`; returns the tuple and our initial sequence number.
    pub(super) fn peer_syn(&mut self, port: u16, peer_port: u16) -> (FlowTuple, SeqNum) {
        let tuple = tuple(port, peer_port);
        self.recv(&tuple, SYN, IRS, SeqNum(0));
        let reply = self.sent();
        assert_eq!(
            (reply.flags, reply.ack, reply.mac),
            (SYN_ACK, IRS + 1, PEER_MAC)
        );
        (tuple, reply.seq)
    }

    /// The whole handshake of a peer; returns the tuple.
    pub(super) fn peer_connects(&mut self, port: u16, peer_port: u16) -> FlowTuple {
        let (tuple, iss) = self.peer_syn(port, peer_port);
        self.recv(&tuple, ACK, IRS + 1, iss + 1);
        tuple
    }

    /// A connection that `client` opened and the peer accepted.
    pub(super) fn established(&mut self, client: Client, opaque: u64) -> (FlowTuple, FlowId) {
        self.tcp
            .open(&mut self.w, client, &Open::to(opaque, (PEER, 80)));
        let syn = self.sent();
        assert_eq!(syn.flags, SYN);
        self.recv(&syn.tuple, SYN_ACK, IRS, syn.seq + 1);
        assert_eq!(self.sent().flags, ACK);
        let (_, setup) = self.installed();
        assert_eq!({ self.opened(client).status }, 0);
        (syn.tuple, setup.flow)
    }

    pub(super) fn ended(&mut self, flow: FlowId, end: End) {
        let ended = Ended {
            end,
            snd_nxt: SeqNum(500),
            rcv_nxt: IRS + 100,
            ts_recent: Some(90),
        };
        self.tcp.on_ended(&mut self.w, flow, ended);
    }

    pub(super) fn released(&mut self, flow: FlowId) {
        self.tcp.on_released(&mut self.w, flow);
    }

    /// Nothing is left of anything.
    pub(super) fn empty(&self) {
        assert_eq!(self.w.table, HashMap::new());
        assert_eq!(self.w.memory, HashMap::new());
        let counts = self.tcp.counts();
        assert_eq!(
            (counts.connections, counts.opening, counts.time_wait),
            (0, 0, 0)
        );
        assert!(self.tcp.names.is_empty());
        assert!(self.tcp.conns.is_empty());
        assert!(self.tcp.tenant_idle(APP.tenant));
        assert!(self.tcp.tenant_idle(STRANGER.tenant));
    }
}

pub(super) fn tuple(local_port: u16, remote_port: u16) -> FlowTuple {
    FlowTuple {
        local_ip: IP,
        local_port,
        remote_ip: PEER,
        remote_port,
    }
}

pub(super) fn name(opaque: u64, tuple: &FlowTuple) -> ConnName {
    ConnName {
        opaque,
        tuple: *tuple,
    }
}

/// The name of a connection that the application knows no tuple of yet.
pub(super) fn unopened(opaque: u64) -> ConnName {
    ConnName {
        opaque,
        tuple: FlowTuple {
            local_ip: Ipv4Addr::UNSPECIFIED,
            local_port: 0,
            remote_ip: Ipv4Addr::UNSPECIFIED,
            remote_port: 0,
        },
    }
}

/// A segment of the peer with usual options.
pub(super) fn segment(flags: TcpFlags, seq: SeqNum, ack: SeqNum) -> SegmentFields<'static> {
    let syn = flags.contains(SYN);
    SegmentFields {
        seq,
        ack,
        flags,
        window: 1000,
        timestamps: Some(Timestamps { val: 80, ecr: 0 }),
        mss: syn.then_some(1460),
        window_scale: syn.then(|| WindowScale::new(7)),
        ..SegmentFields::default()
    }
}

/// The peer's frame on `tuple`, as we see the connection.
pub(super) fn frame(tuple: &FlowTuple, fields: &SegmentFields<'_>, payload: &[u8]) -> Vec<u8> {
    let template = TcpTemplate::new(PEER_MAC, MAC, &tuple.reversed());
    let header = fields.header_len();
    let mut frame = vec![0; header + payload.len()];
    frame[header..].copy_from_slice(payload);
    template
        .emit(&mut frame, fields, payload.len(), 0, ChecksumMode::Full)
        .unwrap();
    frame
}

/// An ICMP error from the peer's station that quotes the first bytes of our segment.
pub(super) fn icmp_error(kind: u8, code: u8, rest: [u8; 4], quoted: &[u8]) -> Vec<u8> {
    let mut icmp = vec![kind, code, 0, 0];
    icmp.extend_from_slice(&rest);
    icmp.extend_from_slice(&quoted[14..14 + 28]);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1, 0, 0];
    packet[3] = (20 + icmp.len()) as u8;
    packet.extend_from_slice(&PEER.octets());
    packet.extend_from_slice(&IP.octets());
    let mut frame = [&MAC.0[..], &PEER_MAC.0, &[8, 0]].concat();
    frame.extend_from_slice(&packet);
    frame.extend_from_slice(&icmp);
    frame
}
