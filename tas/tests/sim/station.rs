//! A peer without a stack: it says exactly what a test has it say, and remembers what the service
//! sent.

use std::net::Ipv4Addr;

use tas::sim::{App, ConnName, Event, HostConf, HostIndex, World};
use tas::types::Micros;
use tas_wire::{
    ArpPacket, FlowTuple, MacAddr, Packet, SackBlock, SackBlocks, SegmentFields, SeqNum, TcpFlags,
    TcpOptions, Verify, arp, parse_with,
};

use crate::attack::{NOBODY, Victim};
use crate::{PORT, SERVER};

/// The station's address.
pub const STATION: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 66);
/// The port that it uses.
pub const STATION_PORT: u16 = 2000;
/// The MSS that it names.
pub const MSS: u16 = 1000;
/// The number of its SYN.
const IRS: SeqNum = SeqNum(5000);

/// A segment of the service.
#[derive(Clone, Debug)]
pub struct Segment {
    /// When it was sent.
    pub at: Micros,
    /// The neighbour that it was sent to.
    pub to: MacAddr,
    /// As the service sees it.
    pub tuple: FlowTuple,
    pub seq: SeqNum,
    pub ack: SeqNum,
    pub flags: TcpFlags,
    /// Bytes of data.
    pub len: u32,
    pub options: TcpOptions,
}

/// A service with an application, and a station on the same network.
pub struct Station {
    pub world: World,
    pub host: HostIndex,
    pub app: App,
    pub events: Vec<Event>,
    service: Victim,
}

impl Station {
    /// The service knows the station's address from the beginning.
    pub fn new(conf: impl Fn(HostConf) -> HostConf) -> Station {
        let mut world = World::new(1);
        let host = world.add(conf(HostConf::new(SERVER))).unwrap();
        let app = world.host(host).attach(1).unwrap();
        let service = Victim::of(&mut world, host);
        world.network.record();
        let mut station = Station {
            world,
            host,
            app,
            events: Vec::new(),
            service,
        };
        let mut frame = vec![0; arp::FRAME_LEN];
        ArpPacket::request(NOBODY, STATION, SERVER.into())
            .emit(&mut frame)
            .unwrap();
        station.inject(&frame);
        station.run(100);
        station
    }

    pub fn service_mac(&self) -> MacAddr {
        self.service.mac
    }

    /// Runs for so many microseconds.
    pub fn run(&mut self, us: u64) {
        let until = self.world.now() + Micros(us);
        while self.world.now() < until {
            let mut worked = self.world.turn();
            let events = self.app.poll();
            worked |= !events.is_empty();
            self.events.extend(events);
            self.world.pass(worked, until);
        }
    }

    pub fn inject(&self, frame: &[u8]) {
        self.world.network.inject(self.service.port, frame);
    }

    /// Says something to the service, to which the connection is known as `tuple`.
    pub fn say(&self, tuple: &FlowTuple, fields: &SegmentFields<'_>, payload: &[u8]) {
        self.inject(&self.service.forge(tuple, fields, payload));
    }

    /// All frames that the service has sent since this was asked the last time.
    pub fn frames(&self) -> Vec<(Micros, Vec<u8>)> {
        let seen = self.world.network.seen().into_iter();
        seen.map(|seen| (seen.at, seen.frame)).collect()
    }

    /// The segments among them.
    pub fn heard(&self) -> Vec<Segment> {
        let frames = self.frames();
        let segment = |(at, frame): &(Micros, Vec<u8>)| match parse_with(frame, Verify::ALL) {
            Ok(Packet::Tcp(packet)) => Some(Segment {
                at: *at,
                to: packet.eth.dst,
                tuple: packet.tuple().reversed(),
                seq: packet.tcp.seq,
                ack: packet.tcp.ack,
                flags: packet.tcp.flags,
                len: packet.payload.len() as u32,
                options: packet.options,
            }),
            _ => None,
        };
        frames.iter().filter_map(segment).collect()
    }

    /// The one segment among them.
    pub fn heard_one(&self) -> Segment {
        let heard = self.heard();
        assert_eq!(heard.len(), 1, "{heard:?}");
        heard[0].clone()
    }

    /// A counter of the service's cores.
    pub fn counted(&mut self, name: &str) -> u64 {
        let counters = self.world.host(self.host).counters();
        let each = counters.iter().flat_map(|core| core.each());
        each.filter(|(other, _)| *other == name)
            .map(|(_, n)| n)
            .sum()
    }
}

/// The addresses and ports of a connection to the service's listener.
pub fn to_listener(port: u16) -> FlowTuple {
    FlowTuple {
        local_ip: SERVER.into(),
        local_port: PORT,
        remote_ip: STATION,
        remote_port: port,
    }
}

/// The station's SYN.
pub fn syn() -> SegmentFields<'static> {
    SegmentFields {
        seq: IRS,
        flags: TcpFlags::SYN,
        window: 60_000,
        mss: Some(MSS),
        ..SegmentFields::default()
    }
}

/// A connection between the application and the station.
pub struct Talk {
    pub station: Station,
    pub conn: ConnName,
    tuple: FlowTuple,
    /// The first number of the station's data.
    pub first: SeqNum,
    /// What the station sends next.
    pub next: SeqNum,
    /// The first number of the service's data.
    pub theirs: SeqNum,
    /// What the station acknowledges.
    pub acked: SeqNum,
}

impl Talk {
    /// The station opens it.
    pub fn new(sack_permitted: bool) -> Talk {
        Talk::on(sack_permitted, |conf| conf)
    }

    /// The same, to a host of this kind.
    pub fn on(sack_permitted: bool, conf: impl Fn(HostConf) -> HostConf) -> Talk {
        let mut station = Station::new(|host| {
            conf(host)
                .with("--tcp-rxbuf-len=32768")
                .with("--tcp-txbuf-len=32768")
        });
        let listener = station.app.listen(0, PORT, 4);
        let conn = station.app.accept(0, listener);
        station.run(100);
        station.frames();
        let tuple = to_listener(STATION_PORT);
        let syn = SegmentFields {
            sack_permitted,
            ..syn()
        };
        station.say(&tuple, &syn, &[]);
        station.run(100);
        let theirs = station.heard_one().seq + 1;
        let mut talk = Talk {
            station,
            conn,
            tuple,
            first: IRS + 1,
            next: IRS + 1,
            theirs,
            acked: theirs,
        };
        talk.acknowledge(0, &[]);
        assert!(talk.station.app.conn(conn).is_some_and(|conn| conn.open));
        talk
    }

    fn say(&mut self, flags: TcpFlags, seq: SeqNum, sack: &[SackBlock], payload: &[u8]) {
        let fields = SegmentFields {
            seq,
            ack: self.acked,
            flags: flags | TcpFlags::ACK,
            window: 60_000,
            sack,
            ..SegmentFields::default()
        };
        self.station.say(&self.tuple, &fields, payload);
        self.station.run(20);
    }

    /// Acknowledges the first so many full segments, and reports those in these ranges.
    pub fn acknowledge(&mut self, segments: u32, ranges: &[(u32, u32)]) {
        let at = |segments| self.theirs + segments * u32::from(MSS);
        let blocks: Vec<SackBlock> = ranges
            .iter()
            .map(|(left, right)| SackBlock {
                left: at(*left),
                right: at(*right),
            })
            .collect();
        self.acked = at(segments);
        self.say(TcpFlags::EMPTY, self.next, &blocks, &[]);
    }

    /// The header of the next segment with data.
    fn next_fields(&self) -> SegmentFields<'static> {
        SegmentFields {
            seq: self.next,
            ack: self.acked,
            flags: TcpFlags::ACK,
            window: 60_000,
            ..SegmentFields::default()
        }
    }

    /// Sends full segments in a row, without a pause.
    pub fn send(&mut self, segments: u32) {
        for _ in 0..segments {
            let fields = self.next_fields();
            self.station.say(&self.tuple, &fields, &[7; MSS as usize]);
            self.next += u32::from(MSS);
        }
        self.station.run(20);
    }

    /// Sends the next full segment with a wrong bit in this byte of the frame.
    pub fn send_damaged(&mut self, byte: usize) {
        let fields = self.next_fields();
        let service = &self.station.service;
        let mut frame = service.forge(&self.tuple, &fields, &[7; MSS as usize]);
        frame[byte] ^= 4;
        self.station.inject(&frame);
        self.station.run(20);
    }

    /// Sends the full segment that begins at this number.
    pub fn send_at(&mut self, seq: SeqNum) {
        self.say(TcpFlags::EMPTY, seq, &[], &[7; MSS as usize]);
    }

    pub fn send_fin(&mut self) {
        self.say(TcpFlags::FIN, self.next, &[], &[]);
    }

    /// The application writes so many full segments.
    pub fn write(&mut self, segments: u32) {
        let bytes = vec![7; segments as usize * usize::from(MSS)];
        assert_eq!(self.station.app.send(self.conn, &bytes), bytes.len());
        self.station.run(100);
    }

    /// Which of the service's full segments were sent since this was asked the last time, from 0.
    pub fn segments(&self) -> Vec<u32> {
        let heard = self.station.heard().into_iter();
        heard
            .filter(|segment| segment.len > 0)
            .map(|segment| {
                assert_eq!(segment.len, MSS.into(), "{segment:?}");
                segment.seq.since(self.theirs) / u32::from(MSS)
            })
            .collect()
    }

    /// When the service has acknowledged something since this was asked the last time, and how
    /// many bytes.
    pub fn acks(&self) -> Vec<(Micros, u32)> {
        let heard = self.station.heard().into_iter();
        heard
            .map(|segment| (segment.at, segment.ack.since(self.first)))
            .collect()
    }
}

/// The blocks of a segment, as bytes after `first`.
pub fn blocks(sack: &SackBlocks, first: SeqNum) -> Vec<(u32, u32)> {
    let each = sack.as_slice().iter();
    each.map(|block| (block.left.since(first), block.right.since(first)))
        .collect()
}
