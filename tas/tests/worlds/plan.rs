//! What happens in a world, drawn from its seed.

use tas::nic::sim::{Path, PortConf, Random, RxChecks, Steering, TooLarge};
use tas::sim::{HostConf, Queues};
use tas::types::Micros;
use tas_wire::MacAddr;

/// How a side of a connection ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// Ends its direction when all is sent, reads until the peer's end, and closes when all is
    /// acknowledged.
    Orderly,
    /// The same, but closes without waiting for the acknowledgement.
    Hasty,
    /// Closes after so many bytes, whatever comes from the peer.
    CloseAfter(u64),
    /// Resets after so many bytes.
    ResetAfter(u64),
}

/// A side of a connection.
#[derive(Clone, Debug)]
pub struct SidePlan {
    /// Which program has it.
    pub program: usize,
    /// Bytes to send.
    pub total: u64,
    /// Most bytes written and read at one time, and the longest pause after it.
    pub write: (usize, Micros),
    pub read: (usize, Micros),
    /// Nothing is read for so long.
    pub deaf_for: Micros,
    pub finish: Finish,
    /// Moves between contexts now and then.
    pub moves: bool,
    pub keepalive: bool,
    /// Milliseconds; 0: none.
    pub user_timeout: u32,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Session {
    pub client: SidePlan,
    pub server: SidePlan,
    pub port: u16,
    pub begins: Micros,
}

/// A program of a host. Those of a host that is not ours are its sockets.
#[derive(Clone, Debug)]
pub struct Program {
    pub host: usize,
    pub contexts: usize,
    pub queues: Queues,
    /// Looks at its queues so often only.
    pub polls_every: Micros,
    /// Says that it has sockets, so that what it has sent outlives it.
    pub sockets: bool,
    pub dies: Option<Micros>,
}

/// A stack that somebody else wrote.
#[derive(Clone, Debug)]
pub struct OtherConf {
    pub port: PortConf,
    pub buffers: (usize, usize),
    pub nagle: bool,
    pub ack_delay: Option<Micros>,
    pub timestamps: bool,
    pub reno: bool,
    pub vanishes: Option<Micros>,
}

#[derive(Clone, Debug)]
pub enum Stack {
    Ours(Box<HostConf>),
    Other(OtherConf),
}

#[derive(Clone, Debug)]
pub struct HostPlan {
    pub stack: Stack,
    pub rx_len: u32,
    pub path: Path,
    /// When nothing leaves it, and for how long.
    pub partition: Option<(Micros, Micros)>,
    /// When it asks for how many cores.
    pub scales: Vec<(Micros, u32)>,
}

impl HostPlan {
    pub fn is_ours(&self) -> bool {
        matches!(self.stack, Stack::Ours(_))
    }

    pub fn ip(index: usize) -> [u8; 4] {
        [10, 0, 0, index as u8 + 1]
    }

    pub fn port(&self) -> &PortConf {
        match &self.stack {
            Stack::Ours(conf) => &conf.port,
            Stack::Other(conf) => &conf.port,
        }
    }
}

/// Everything that is drawn.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub tick: Micros,
    pub hosts: Vec<HostPlan>,
    pub programs: Vec<Program>,
    pub sessions: Vec<Session>,
}

impl Plan {
    #[must_use]
    pub fn draw(seed: u64) -> Plan {
        let mut random = Random::new(seed ^ 0x7761_6e64_6572_6e21);
        let calm = random.chance(250);
        let count = *pick(&mut random, &[2, 2, 2, 3, 3, 4, 5]);
        let ours = random.below(count as u64) as usize;
        let hosts: Vec<HostPlan> = (0..count)
            .map(|index| host(&mut random, index, index == ours, calm))
            .collect();
        let mut programs = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            for _ in 0..random.between(1, 2) {
                programs.push(program(&mut random, index, host));
            }
        }
        let rough = roughness(&hosts);
        let sessions = (0..random.between(1, 8))
            .map(|index| session(&mut random, index as u16, &programs, &hosts, rough))
            .collect();
        Plan {
            seed,
            tick: Micros(*pick(&mut random, &[1, 2, 5, 10, 20])),
            hosts,
            programs,
            sessions,
        }
    }

    /// How long nothing may happen on a connection whose program wants something. What is lost is
    /// sent again after a time that doubles; this is the time after so many attempts that losing
    /// all of them does not happen in practice.
    #[must_use]
    pub fn patience(&self) -> Micros {
        let bad = roughness(&self.hosts);
        let mut attempts = 0;
        let mut all_lost = 1.0;
        while bad > 0.0 && all_lost > 1e-10 {
            all_lost *= bad;
            attempts += 1;
        }
        // RFC 6298 §2: from a second to a minute.
        let waits: u64 = (0..attempts).map(|n| (1 << n).min(60)).sum();
        let cuts = self.hosts.iter().filter_map(|host| host.partition);
        let cut: u64 = cuts.map(|(_, span)| span.0).sum();
        let apart = self.hosts.iter().map(|host| host.path.delay.0).sum::<u64>();
        // RFC 4821 §7.7: only timeouts tell of a wire that loses what is large.
        let narrow = self.hosts.iter().any(|host| host.path.mtu > 0);
        let waits = waits + if narrow { 60 } else { 0 };
        // ARP of the other stack asks once a second, which also delays its ACKs.
        Micros(3_000_000 + waits * 1_000_000 + 6 * cut + 20 * apart)
    }

    /// Nothing is lost or late, and nobody is slow: there is no reason to send anything twice.
    #[must_use]
    pub fn is_ideal(&self) -> bool {
        let swift = |side: &SidePlan| {
            let pauses = side.deaf_for + side.read.1 + side.write.1;
            pauses == Micros(0) && side.user_timeout == 0
        };
        let ends = self
            .sessions
            .iter()
            .flat_map(|one| [&one.client, &one.server]);
        let patient = |conf: &HostConf| !conf.options.iter().any(|o| o == "--tcp-rto-min=200");
        roughness(&self.hosts) == 0.0
            && self.hosts.iter().all(|host| {
                let path = &host.path;
                let late = path.jitter.0 + u64::from(path.reorder + path.duplicate);
                let narrow = path.mtu > 0;
                let ours =
                    matches!(&host.stack, Stack::Ours(conf) if patient(conf) && conf.stalls == 0);
                ours && host.partition.is_none() && late == 0 && !narrow
            })
            && self
                .programs
                .iter()
                .all(|program| program.polls_every == Micros(0))
            && ends.into_iter().all(swift)
    }
}

/// The share of round trips that something happens to, between the two worst hosts.
fn roughness(hosts: &[HostPlan]) -> f64 {
    let mut bad: Vec<u32> = hosts
        .iter()
        .map(|host| {
            let path = &host.path;
            let congested = if path.rate_kbps > 0 { 100 } else { 0 };
            path.loss + path.corrupt + congested
        })
        .collect();
    bad.sort_unstable();
    let worst: u32 = bad.iter().rev().take(2).sum();
    f64::from(worst) / 1000.0
}

fn pick<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len() as u64) as usize]
}

/// A number up to `most` whose order of magnitude is drawn first.
fn spread(random: &mut Random, most: u64) -> u64 {
    let bits = 64 - most.leading_zeros();
    let bits = random.between(0, bits.into());
    random.below((1 << bits).min(most) + 1)
}

fn host(random: &mut Random, index: usize, must_be_ours: bool, calm: bool) -> HostPlan {
    let ours = random.chance(700) || must_be_ours;
    let mtu = *pick(random, &[1500, 1500, 1500, 576, 9000, 300]);
    let path = if calm {
        calm_path(random)
    } else {
        rough_path(random)
    };
    let partition = (!calm && random.chance(150)).then(|| {
        let begins = Micros(random.below(50_000));
        (begins, Micros(spread(random, 1_000_000)))
    });
    let path = if ours && random.chance(150) {
        // The other stack does not know of such wires.
        Path {
            mtu: *pick(random, &[576, 1000, 1300]),
            too_large: *pick(random, &[TooLarge::Told, TooLarge::Lost]),
            ..path
        }
    } else {
        path
    };
    let (stack, rx_len) = if ours {
        let (conf, rx_len) = our_conf(random, index, mtu, calm);
        (Stack::Ours(Box::new(conf)), rx_len)
    } else {
        let conf = other_conf(random, index, mtu);
        let rx_len = conf.buffers.0 as u32;
        (Stack::Other(conf), rx_len)
    };
    let scales = match &stack {
        Stack::Ours(conf) if random.chance(400) => {
            let most = cores(conf);
            let mut at = 0;
            (0..random.below(6))
                .map(|_| {
                    at += spread(random, 20_000);
                    (Micros(at), random.between(1, most) as u32)
                })
                .collect()
        }
        _ => Vec::new(),
    };
    HostPlan {
        stack,
        rx_len,
        path,
        partition,
        scales,
    }
}

fn cores(conf: &HostConf) -> u64 {
    let option = |option: &String| option.strip_prefix("--fp-cores-max=")?.parse().ok();
    conf.options.iter().find_map(option).unwrap_or(1)
}

fn calm_path(random: &mut Random) -> Path {
    Path {
        delay: Micros(spread(random, 400)),
        ..Path::default()
    }
}

fn rough_path(random: &mut Random) -> Path {
    let delay = spread(random, 3_000);
    let mut path = Path {
        delay: Micros(delay),
        ..Path::default()
    };
    let mut some = |chance, most| {
        if random.chance(chance) {
            random.between(1, most)
        } else {
            0
        }
    };
    path.jitter = Micros(some(300, delay + 50));
    path.loss = some(500, 30) as u32 + some(100, 70) as u32;
    path.duplicate = some(300, 60) as u32;
    path.reorder = some(400, 200) as u32;
    path.reorder_by = Micros(some(1000, 2 * delay + 200));
    path.corrupt = some(300, 20) as u32;
    if some(300, 1) > 0 {
        path.rate_kbps = 10_000 << some(1000, 7);
        path.queue = 30_000 + some(1000, 200_000) as u32;
        path.mark_above = some(600, 30_000) as u32;
    }
    path
}

fn our_conf(random: &mut Random, index: usize, mtu: u16, calm: bool) -> (HostConf, u32) {
    let mut conf = HostConf::new(HostPlan::ip(index));
    conf.flows = 64;
    conf.port.mtu = mtu;
    let rx_len = buffer(random);
    let tx_len = buffer(random);
    let cores = *pick(random, &[1, 1, 2, 3, 4]);
    conf.queues = if random.chance(500) {
        u16::MAX
    } else {
        random.between(1, cores) as u16
    };
    let ways = [Steering::Hash, Steering::Table, Steering::Queue(0)];
    conf.port.steering = *pick(random, &ways);
    if !calm && random.chance(200) {
        conf.port.steering = Steering::Random;
    }
    conf.port.tx_checksum_offload = random.chance(300);
    conf.port.rx_checks = match random.below(1000) {
        0..150 => RxChecks::Tcp,
        150..300 => RxChecks::All,
        _ => RxChecks::None,
    };
    if !calm && random.chance(200) {
        conf.stalls = *pick(random, &[5, 50]);
        conf.stall = Micros(random.between(1, 200));
    }
    let mut options = vec![
        format!("--fp-cores-max={cores}"),
        format!("--tcp-rxbuf-len={rx_len}"),
        format!("--tcp-txbuf-len={tx_len}"),
        "--app-shm-len=33554432".to_owned(),
    ];
    options.extend(congestion_control(random));
    if random.chance(700) {
        options.push("--fp-no-autoscale".to_owned());
    }
    if random.chance(300) {
        options.push("--fp-no-xsumoffload".to_owned());
    }
    if random.chance(500) {
        let wait = pick(random, &[0, 1000, 100_000]);
        options.push(format!("--tcp-time-wait={wait}"));
    }
    if random.chance(300) {
        options.push(format!(
            "--tcp-rto-min={}",
            pick(random, &[200, 5000, 200_000])
        ));
    }
    if random.chance(300) {
        options.push("--tcp-handshake-timeout=3000".to_owned());
    }
    conf.options = options;
    (conf, rx_len)
}

fn congestion_control(random: &mut Random) -> Vec<String> {
    let mut options = match random.below(4) {
        0 => vec![
            "--cc=dctcp-rate".to_owned(),
            format!("--cc-dctcp-minpkts={}", pick(random, &[1, 50])),
        ],
        1 => vec![
            "--cc=dctcp-win".to_owned(),
            format!("--tcp-link-bw={}", pick(random, &[1, 10])),
        ],
        2 => vec!["--cc=timely".to_owned()],
        _ => vec![
            "--cc=const-rate".to_owned(),
            format!(
                "--cc-const-rate={}",
                pick(random, &[0, 0, 50_000, 1_000_000])
            ),
        ],
    };
    if random.chance(300) {
        options.push(format!("--cc-control-interval={}", random.between(1, 8)));
    }
    if random.chance(300) {
        options.push("--cc-control-granularity=200".to_owned());
    }
    options
}

/// Length of a buffer: a multiple of 64.
fn buffer(random: &mut Random) -> u32 {
    match random.below(6) {
        0 => 2048,
        1 => 2048 + 64 * random.below(96) as u32,
        2 => 1 << 20,
        3 => 65_536 + 64 * random.below(2048) as u32,
        _ => 8192,
    }
}

fn other_conf(random: &mut Random, index: usize, mtu: u16) -> OtherConf {
    let [a, b, c, d] = HostPlan::ip(index);
    let mut port = PortConf::new(MacAddr([2, 0, a, b, c, d]));
    port.mtu = mtu;
    let sizes = [600, 1460, 4096, 8192, 65_535, 200_000];
    OtherConf {
        port,
        buffers: (*pick(random, &sizes), *pick(random, &sizes)),
        nagle: random.chance(300),
        ack_delay: random
            .chance(700)
            .then(|| Micros(spread(random, 20_000) + 1)),
        timestamps: random.chance(500),
        reno: random.chance(500),
        vanishes: random.chance(60).then(|| Micros(spread(random, 100_000))),
    }
}

fn program(random: &mut Random, index: usize, host: &HostPlan) -> Program {
    let short = Queues { rx: 128, tx: 64 };
    Program {
        host: index,
        contexts: random.between(1, 3) as usize,
        queues: if random.chance(150) {
            short
        } else {
            Queues::default()
        },
        polls_every: if random.chance(300) {
            Micros(random.between(1, 500))
        } else {
            Micros(0)
        },
        sockets: random.chance(500),
        dies: (host.is_ours() && random.chance(80)).then(|| Micros(spread(random, 100_000))),
    }
}

fn session(
    random: &mut Random,
    index: u16,
    programs: &[Program],
    hosts: &[HostPlan],
    rough: f64,
) -> Session {
    let (client, server) = loop {
        let client = random.below(programs.len() as u64) as usize;
        let server = random.below(programs.len() as u64) as usize;
        let ends = [client, server].map(|program| programs[program].host);
        if ends[0] != ends[1] && ends.iter().any(|host| hosts[*host].is_ours()) {
            break (client, server);
        }
    };
    // Who closes before all is acknowledged is given less time.
    let patient = rough > 0.1 || hosts.iter().any(|host| host.partition.is_some());
    let mut side = |program: usize| {
        let ours = hosts[programs[program].host].is_ours();
        side(random, program, ours, patient)
    };
    let (client, server) = (side(client), side(server));
    Session {
        client,
        server,
        port: 1000 + index,
        begins: Micros(spread(random, 20_000)),
    }
}

fn side(random: &mut Random, program: usize, ours: bool, patient: bool) -> SidePlan {
    let total = match random.below(8) {
        0 => 0,
        1..=3 => spread(random, 5_000),
        4..=6 => spread(random, 60_000),
        _ => spread(random, 250_000),
    };
    let mut pace = |slow: bool| {
        let least = (total / 200).max(1);
        let most = least + spread(random, 20_000);
        let pause = if slow && random.chance(250) {
            spread(random, 2000)
        } else {
            0
        };
        (most as usize, Micros(pause))
    };
    let (write, read) = (pace(true), pace(true));
    let finish = match random.below(20) {
        0 if ours => Finish::CloseAfter(random.below(total + 1)),
        1 => Finish::ResetAfter(random.below(total + 1)),
        2..=6 if !patient => Finish::Hasty,
        _ => Finish::Orderly,
    };
    SidePlan {
        program,
        total,
        write,
        read,
        deaf_for: if random.chance(150) {
            Micros(spread(random, 300_000))
        } else {
            Micros(0)
        },
        finish,
        moves: random.chance(200),
        keepalive: random.chance(150),
        user_timeout: if random.chance(100) { 200_000 } else { 0 },
    }
}
