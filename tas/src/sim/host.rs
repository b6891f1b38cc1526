//! A service in one thread.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use tas_shm::{Arena, Backing, EventFd, FlowSlots, OwnerId, Placed, SharedTable, ShmOffset};
use tas_wire::MacAddr;

use super::app::{App, Queues};
use crate::config::Config;
use crate::fast::counters::CoreCounters;
use crate::fast::peers;
use crate::fast::{Core, Flows, Idle, Shared};
use crate::flowtable::FlowTable;
use crate::link::Waker;
use crate::memory::ArenaPlan;
use crate::nic::sim::{Network, PortConf, PortId, Random, SimQueue};
use crate::service::{self, OwnParts};
use crate::slow::tcp::{Counts, Secrets, TcpControl, TcpControlConfig};
use crate::slow::{Control, ControlParts, Newcomer, QueueConf, Regions, Scaler, ScalerParts};
use crate::steering::Steering;
use crate::types::{CoreId, Micros, TenantId};

/// Most command lines that are remembered.
const CONFIGS: usize = 64;

/// How a host is made.
#[derive(Clone, Debug)]
pub struct HostConf {
    /// Its port. The number of queues follows from the options.
    pub port: PortConf,
    /// Most queues of its port; there may be more cores.
    pub queues: u16,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Further options, as on the command line.
    pub options: Vec<String>,
    /// There is a region for applications of the original's protocol.
    pub legacy: bool,
    /// Most flows.
    pub flows: u32,
    /// Bytes of each queue between an application and the slow path; even less than the options
    /// admit.
    pub kernel_queue: u32,
    /// Most half-open connections of a listener, beyond which there are cookies; `None`: as many
    /// as usual.
    pub half_open: Option<usize>,
    /// Turns of a thousand in which a core is held up, as where others use its CPU.
    pub stalls: u32,
    /// How long it is held up at most.
    pub stall: Micros,
}

impl HostConf {
    /// A host with one core, small buffers and short queues.
    #[must_use]
    pub fn new(ip: impl Into<Ipv4Addr>) -> HostConf {
        let ip = ip.into();
        let [a, b, c, d] = ip.octets();
        HostConf {
            port: PortConf::new(MacAddr([2, 0, a, b, c, d])),
            queues: u16::MAX,
            ip,
            options: Vec::new(),
            legacy: false,
            flows: 1024,
            kernel_queue: 4096,
            half_open: None,
            stalls: 0,
            stall: Micros(0),
        }
    }

    /// Adds an option.
    #[must_use]
    pub fn with(mut self, option: impl Into<String>) -> HostConf {
        self.options.push(option.into());
        self
    }

    fn config(&self) -> io::Result<Config> {
        let fixed = ["tas".to_owned(), format!("--ip-addr={}/24", self.ip)];
        let legacy = (!self.legacy).then(|| "--no-legacy".to_owned());
        let name = |option: &str| option.split('=').next().unwrap_or_default().to_owned();
        let given: Vec<String> = self.options.iter().map(|option| name(option)).collect();
        let defaults = [
            "--app-shm-len=16777216",
            "--shm-len=16777216",
            "--app-shm-total=268435456",
            "--cc=const-rate",
            "--arp-timeout=500",
            "--allow-low-ports",
        ]
        .into_iter()
        .filter(|option| !given.contains(&name(option)));
        let args = fixed
            .into_iter()
            .chain(legacy)
            .chain(defaults.map(str::to_owned))
            .chain(self.options.iter().cloned());
        parse(args.collect())
    }
}

/// Parses a command line, which takes longer than the life of a small world, once for all worlds.
fn parse(args: Vec<String>) -> io::Result<Config> {
    static KNOWN: Mutex<BTreeMap<Vec<String>, Config>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = known.get(&args) {
        return Ok(config.clone());
    }
    let config = Config::parse_from(&args).map_err(|exit| io::Error::other(exit.stderr))?;
    if known.len() >= CONFIGS {
        known.clear();
    }
    known.insert(args, config.clone());
    Ok(config)
}

/// A service and its memory.
pub struct Host {
    /// The slow path, for those who want more than [`Host::attach`].
    pub control: Control,
    cores: Vec<Core<SimQueue>>,
    counters: Vec<Placed<CoreCounters>>,
    arena: Arc<Arena>,
    flows: Arc<Flows>,
    table: Arc<FlowTable>,
    port: PortId,
    conf: HostConf,
    /// Bytes that a new application's region has.
    region: u64,
    random: Random,
    /// Until when each core is held up.
    held_up: Vec<Micros>,
}

impl Host {
    pub(super) fn new(
        network: &Network,
        conf: HostConf,
        seed: u64,
        now: Micros,
    ) -> io::Result<Host> {
        let config = conf.config()?;
        let cores_max = config.fp.cores_max as u16;
        let port = network.add(PortConf {
            queues: cores_max.min(conf.queues),
            cores: cores_max,
            ..conf.port.clone()
        });
        let plan = ArenaPlan::new(&config);
        let arena = Arena::reserve(plan.total())?;
        let legacy = match plan.legacy_len {
            0 => None,
            len => {
                let backing = Backing::memfd("sim_legacy", len, false)?;
                arena.map(ShmOffset(0), &backing, len)?;
                Some(backing)
            }
        };
        let flows: Arc<Flows> = Arc::new(FlowSlots::private(conf.flows)?);
        let table = Arc::new(FlowTable::new(SharedTable::private(conf.flows * 2)));
        let mut tokens = flows.tokens(u32::from(cores_max) + 1).into_iter();
        let token = tokens.next().ok_or(io::ErrorKind::Other)?;
        let steering = Arc::new(Steering::new(port.info.rss.clone()));
        let shared = Arc::new(Shared {
            flows: Arc::clone(&flows),
            table: Arc::clone(&table),
            steering: Arc::clone(&steering),
            arena: Arc::clone(&arena),
            params: service::tcp_params(&config),
            addresses: vec![conf.ip],
            port: port.info.clone(),
            checksum_offload: config.fp.xsum_offload,
            slow_owner: token.id(),
            // Nobody sleeps here, so nobody needs to be woken.
            idle: Idle {
                poll_cycle: u64::MAX,
                poll_cycle_app: u64::MAX,
            },
        });
        let slow_waker = Arc::new(Waker::new(EventFd::new()?));
        let mut cores = Vec::new();
        let mut links = Vec::new();
        let wakers = service::wakers(cores_max.into())?;
        let members = port
            .queues
            .into_iter()
            .zip(tokens)
            .zip(peers::join(&wakers));
        for (index, (((nic, token), peers), waker)) in members.zip(wakers).enumerate() {
            let own = OwnParts {
                id: CoreId(index as u16),
                nic,
                token,
                peers,
                waker,
            };
            let (core, link) = service::core(&config, own, &shared, &slow_waker, now);
            cores.push(core);
            links.push(link);
        }
        let counters: Vec<_> = cores.iter().map(Core::counters).collect();
        let redirect = network.redirect(port.id).map(|table| Box::new(table) as _);
        let scaler = Scaler::new(
            ScalerParts {
                steering: Arc::clone(&steering),
                cores: cores_max,
                autoscale: config.fp.autoscale.then(|| (counters.clone(), 1)),
                redirect,
                internal: None,
            },
            now,
        );
        let mut tcp = TcpControlConfig::new(&config, port.info.mac, port.info.mtu, conf.flows);
        if let Some(half_open) = conf.half_open {
            tcp.half_open = half_open;
        }
        let mut control = Control::new(ControlParts {
            tcp: TcpControl::new(tcp, secrets(seed)),
            cores: links,
            regions: Regions::new(Arc::clone(&arena), plan, false, legacy),
            flows: Arc::clone(&flows),
            token,
            table: Arc::clone(&table),
            steering,
            scaler,
            queues: QueueConf {
                requests_len: conf.kernel_queue,
                answers_len: conf.kernel_queue,
                poll_cycle_app: u64::MAX,
            },
            internal: None,
        });
        control.start(now);
        Ok(Host {
            control,
            counters,
            cores,
            arena,
            flows,
            table,
            port: port.id,
            held_up: vec![Micros(0); usize::from(cores_max)],
            random: Random::new(seed.wrapping_add(1)),
            conf,
            region: plan.app_len,
        })
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.conf.ip
    }

    /// Its port on the network.
    #[must_use]
    pub fn port(&self) -> PortId {
        self.port
    }

    /// Its port's Ethernet address.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        self.conf.port.mac
    }

    /// What its cores count.
    #[must_use]
    pub fn counters(&self) -> &[Placed<CoreCounters>] {
        &self.counters
    }

    /// What its slow path counts.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.control.counts()
    }

    /// Attaches an application with so many contexts and ordinary queues.
    ///
    /// # Errors
    /// The service refuses it.
    pub fn attach(&mut self, contexts: usize) -> io::Result<App> {
        self.attach_with(contexts, Queues::default())
    }

    /// Attaches an application whose queues have these lengths.
    ///
    /// # Errors
    /// The service refuses it.
    pub fn attach_with(&mut self, contexts: usize, queues: Queues) -> io::Result<App> {
        let tenant = self.control.join(Newcomer {
            legacy: false,
            pid: 0,
            uid: 0,
            low_ports: true,
        })?;
        let gone = || io::Error::other("the region is gone");
        let base = self.control.region_base(tenant).ok_or_else(gone)?;
        let mut app = App::new(tenant, &self.arena, base, self.region);
        for _ in 0..contexts {
            app.add_context(&mut self.control, queues)?;
        }
        Ok(app)
    }

    /// An application forks: a child with so many contexts, which has inherited all that its parent
    /// has.
    ///
    /// # Errors
    /// The service refuses it.
    pub fn fork(&mut self, parent: &App, contexts: usize) -> io::Result<App> {
        let who = Newcomer {
            legacy: false,
            pid: 0,
            uid: 0,
            low_ports: true,
        };
        let tenant = self
            .control
            .fork(parent.tenant(), who, &parent.inheritance())
            .ok_or_else(|| io::Error::other("the parent is gone"))?;
        let mut child = parent.child(tenant);
        for _ in 0..contexts {
            child.add_context(&mut self.control, Queues::default())?;
        }
        Ok(child)
    }

    /// An application dies.
    pub fn kill(&mut self, app: App) {
        let tenant = app.tenant();
        drop(app);
        self.control.leave(tenant);
    }

    /// Applications that the service threw out since the last call.
    pub fn expelled(&mut self) -> Vec<TenantId> {
        self.control.expelled()
    }

    /// What is left of connections that should all be gone; `Ok` when nothing is.
    ///
    /// # Errors
    /// Says what is left.
    pub fn check_empty(&self) -> Result<(), String> {
        let counts = self.control.counts();
        if counts.connections + counts.opening > 0 {
            return Err(format!("connections are left: {counts:?}"));
        }
        let entered = self.table.occupied();
        if entered > 0 {
            return Err(format!("{entered} entries are left in the table"));
        }
        let slow = OwnerId(0);
        let lost = (0..self.flows.count())
            .filter(|flow| self.flows.owner(*flow) != Some(slow))
            .count();
        if lost > 0 {
            return Err(format!("{lost} flow slots did not come back"));
        }
        let waits = |core: &Core<SimQueue>| core.backlogged() || core.waits_for_apps();
        if self.cores.iter().any(waits) {
            return Err("a core still waits for room".to_owned());
        }
        Ok(())
    }

    pub(super) fn turn(&mut self, now: Micros) -> bool {
        let mut worked = false;
        let cores = self.cores.iter_mut().zip(&mut self.held_up);
        for ((core, held_up), counters) in cores.zip(&self.counters) {
            if *held_up <= now && self.conf.stalls > 0 && self.random.chance(self.conf.stalls) {
                *held_up = now + Micros(self.random.below(self.conf.stall.0));
            }
            if *held_up > now {
                worked = true;
                continue;
            }
            if core.turn(now) {
                // A turn takes a tick.
                counters.busy_cycles.add(1);
                worked = true;
            }
            worked |= core.backlogged() || core.waits_for_apps();
        }
        worked | self.control.turn(now)
    }

    pub(super) fn next_deadline(&self) -> Micros {
        self.cores
            .iter()
            .filter_map(Core::next_deadline)
            .chain([self.control.next_deadline()])
            .min()
            .unwrap_or(Micros::NEVER)
    }
}

fn secrets(seed: u64) -> Secrets {
    let mut random = Random::new(seed);
    let mut secrets = Secrets {
        isn: [0; 16],
        random: [0; 16],
    };
    random.fill(&mut secrets.isn);
    random.fill(&mut secrets.random);
    secrets
}
