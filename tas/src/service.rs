//! Puts the service together, runs it, and takes it down again.

use std::io::{self, Write};
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use tas_abi::memif::FLEXNIC_FLAG_READY;
use tas_shm::{Backing, EventFd, HUGE_PAGE, OwnerToken, Placed, TscClock, sigbus};
use thiserror::Error;

use crate::config::{Config, default_shm_group};
use crate::fast::peers::{self, Peers};
use crate::fast::{Core, CoreParts, Idle, Shared, Trace};
use crate::link::Waker;
use crate::memory::{Memory, MemoryError, PollCycles};
use crate::metrics::{Metrics, MetricsError};
use crate::nic::dpdk::{DpdkQueue, Eal, EalOptions, NicError, Port, PortConf};
use crate::nic::{NicQueue, PortInfo};
use crate::proto::TcpParams;
use crate::proto::cc::CcParams;
use crate::slow::tcp::{Secrets, TcpControl, TcpControlConfig};
use crate::slow::{
    Access, Control, ControlParts, CoreLink, ListenError, Listeners, Offer, QueueConf, Regions,
    Scaler, ScalerParts, SlowParts, SlowPath, Statistics,
};
use crate::stats::{Publisher, StatsError, StatsPage};
use crate::steering::Steering;
use crate::trace_files::TraceFiles;
use crate::types::{CoreId, Micros};

/// Messages between the slow path and a core that are not frames.
const CONTROL_MESSAGES: usize = 4096;
/// Longest retransmission timeout (RFC 6298 §2.5).
const RTO_MAX: Micros = Micros::from_millis(60_000);
/// How long an acknowledgement may be held back for data to carry it (RFC 1122 §4.2.3.2 allows
/// half a second; data centres want it in proportion to their round trips).
const DELAYED_ACK: Micros = Micros(500);
/// First pause before a closed window is probed.
const PERSIST_MIN: Micros = Micros::from_millis(5);
/// Timeouts in a row before the peer is given up; with the longest pause about as long as
/// RFC 1122 §4.2.3.5 asks for.
const MAX_RETRIES: u8 = 15;
/// How long a connection that nobody owns waits for the peer's FIN.
const FIN_WAIT2: Micros = Micros::from_millis(60_000);

/// Why the service did not run.
#[derive(Debug, Error)]
pub enum ServiceError {
    /// No memory to share.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// No DPDK or no port.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// The descriptor to tell readiness on is not there.
    #[error("--ready-fd={0}: the service was not started with this descriptor open")]
    ReadyFd(RawFd),
    /// No statistics.
    #[error(transparent)]
    Stats(#[from] StatsError),
    /// No endpoint for metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Another service has the sockets.
    #[error(
        "another tas{} runs in this namespace; stop it first, or start this one in network and mount namespaces of its own",
        .0.map_or(String::new(), |pid| format!(" (pid {pid})"))
    )]
    Running(Option<u32>),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> ServiceError {
    move |source| ServiceError::Io { what, source }
}

/// Runs the service until it is told to stop by SIGTERM or SIGINT.
pub fn run(config: &Config) -> Result<(), ServiceError> {
    let config = &Config {
        shm_group: config.shm_group.or_else(default_shm_group),
        ..config.clone()
    };
    for line in config.not_acting() {
        log::warn!("{line}");
    }
    raise_descriptor_limit();
    check_ready_fd(config)?;
    let listeners = Listeners::bind(config.legacy).map_err(|error| match error {
        ListenError::Taken(pid) => ServiceError::Running(pid),
        ListenError::Io(source) => io_error("cannot listen for applications")(source),
    })?;
    let signals = catch_signals().map_err(io_error("cannot catch signals"))?;
    tas_shm::guard_kicks().map_err(io_error("cannot guard against blocked wake-ups"))?;
    let clock = TscClock::global();
    let memory = Memory::create(config)?;
    let guard =
        sigbus::install(&memory.arena, HUGE_PAGE).map_err(io_error("cannot catch SIGBUS"))?;

    let stats = Arc::new(StatsPage::create(config.fp.cores_max)?);
    // Before the EAL, so that its thread is not bound to the slow path's processor.
    let _metrics = match config.metrics_addr {
        Some(addr) => Some(Metrics::serve(addr, Arc::clone(&stats))?),
        None => None,
    };

    let cores = config.fp.cores_max as usize;
    let mut eal = Eal::init(&EalOptions {
        program: "tas".to_owned(),
        extra: config.dpdk_extra.clone(),
        cores,
    })?;
    let (mut port, queues) = Port::open(&eal, cores as u16, port_conf(config))?;
    let addresses: Vec<_> = config.addresses.iter().map(|addr| addr.ip).collect();
    port.keep_from_kernel(&addresses);
    let cycles = PollCycles::new(config, clock);

    // The first token owns every flow state at first: the slow path's.
    let mut tokens = memory.flows.tokens(cores as u32 + 1).into_iter();
    let no_tokens = || ServiceError::Io {
        what: "cannot share out the flow states",
        source: io::ErrorKind::Other.into(),
    };
    let slow_token = tokens.next().ok_or_else(no_tokens)?;
    let steering = Arc::new(Steering::new(port.info().rss.clone()));
    let shared = Arc::new(Shared {
        flows: Arc::clone(&memory.flows),
        table: Arc::clone(&memory.table),
        steering: Arc::clone(&steering),
        arena: Arc::clone(&memory.arena),
        params: tcp_params(config),
        addresses,
        port: port.info().clone(),
        checksum_offload: config.fp.xsum_offload,
        slow_owner: slow_token.id(),
        idle: Idle {
            poll_cycle: cycles.tas,
            poll_cycle_app: cycles.app,
        },
    });
    let slow_waker = Arc::new(Waker::new(
        EventFd::new().map_err(io_error("cannot make an eventfd"))?,
    ));
    let (_trace_files, traces) = TraceFiles::create(&config.trace, config.fp.cores_max)
        .map_err(io_error("cannot create /dev/shm/flexnic_trace_*"))?;
    let mut traces = traces.into_iter();
    let now = Micros(clock.now_us());
    let wakers = wakers(cores).map_err(io_error("cannot make an eventfd"))?;
    let members = queues
        .into_iter()
        .zip(tokens)
        .zip(peers::join(&wakers))
        .zip(wakers);
    let mut counters = stats.cores.iter().cloned();
    let mut fast = Vec::new();
    let mut links = Vec::new();
    for (index, (((nic, token), peers), waker)) in members.enumerate() {
        let own = OwnParts {
            id: CoreId(index as u16),
            nic,
            token,
            peers,
            waker,
        };
        let (core, link) = core(config, own, &shared, &slow_waker, now);
        fast.push(core.observed(
            traces.next().unwrap_or_else(Trace::none),
            counters.next().unwrap_or_default(),
        ));
        links.push(link);
    }
    let counters: Vec<_> = fast.iter().map(Core::counters).collect();
    let scaler = Scaler::new(
        ScalerParts {
            steering: Arc::clone(&steering),
            cores: cores as u16,
            autoscale: (config.fp.autoscale).then(|| (counters.clone(), clock.cycles_per_us())),
            redirect: port.reta().map(|reta| Box::new(reta) as _),
            internal: Some(Arc::clone(&memory.internal)),
        },
        now,
    );
    let offer =
        offer(&memory, &links, &slow_waker).map_err(io_error("cannot share descriptors"))?;
    let slow = SlowPath::new(SlowParts {
        control: control(
            config,
            &memory,
            port.info(),
            links,
            slow_token,
            (steering, scaler),
            cycles.app,
        )?,
        waker: slow_waker,
        sign: memory
            .sleep_sign()
            .map_err(io_error("cannot use the info page"))?,
        offer,
        access: Access::new(config),
        listeners,
        cycles,
        counters,
        statistics: (!config.quiet).then(|| Statistics::new(Micros(clock.now_us()))),
        publisher: Publisher::new(Arc::clone(&stats.slow), Arc::clone(&stats.apps)),
        sigbus: guard,
    })
    .map_err(io_error("cannot wait for applications"))?;
    let started = launch(&mut eal, fast).and_then(|()| announce(config, &memory, &port, cycles));
    let result = match started {
        Ok(()) => slow.run(&signals).map_err(io_error("the slow path failed")),
        Err(error) => {
            slow.stop();
            Err(error)
        }
    };
    for index in 0..cores {
        eal.join(index)?;
    }
    result
}

fn launch(eal: &mut Eal, cores: Vec<Core<DpdkQueue>>) -> Result<(), ServiceError> {
    for (index, core) in cores.into_iter().enumerate() {
        eal.launch(index, Box::new(move || core.run()))?;
    }
    Ok(())
}

fn port_conf(config: &Config) -> PortConf {
    PortConf {
        mtu: None,
        rx_csum: config.fp.xsum_offload,
        tx_csum: config.fp.xsum_offload,
        vlan_strip: config.fp.vlan_strip,
        interrupts: config.fp.interrupts,
    }
}

/// TCP's parameters, as the options say.
pub fn tcp_params(config: &Config) -> TcpParams {
    TcpParams {
        rto_min: Micros(config.tcp.rto_min_us.into()),
        rto_max: RTO_MAX,
        delayed_ack: DELAYED_ACK,
        persist_min: PERSIST_MIN,
        max_retries: MAX_RETRIES,
        fin_wait2: FIN_WAIT2,
        cc: CcParams::new(&config.cc, &config.tcp),
    }
}

/// What a core alone has.
pub(crate) struct OwnParts<Q: NicQueue> {
    pub id: CoreId,
    pub nic: Q,
    pub token: OwnerToken,
    pub peers: Peers<Q::Frame>,
    pub waker: Arc<Waker>,
}

/// What wakes each of so many cores.
pub(crate) fn wakers(cores: usize) -> io::Result<Vec<Arc<Waker>>> {
    (0..cores)
        .map(|_| Ok(Arc::new(Waker::new(EventFd::new()?))))
        .collect()
}

/// A core that begins at `now`, and the slow path's link to it.
pub(crate) fn core<Q: NicQueue>(
    config: &Config,
    own: OwnParts<Q>,
    shared: &Arc<Shared>,
    slow_waker: &Arc<Waker>,
    now: Micros,
) -> (Core<Q>, CoreLink) {
    let (to_fast, from_slow) = rtrb::RingBuffer::new(config.nic_tx_len as usize + CONTROL_MESSAGES);
    let (to_slow, from_fast) = rtrb::RingBuffer::new(config.nic_rx_len as usize);
    let waker = Arc::clone(&own.waker);
    let owner = own.token.id();
    let parts = CoreParts {
        id: own.id,
        nic: own.nic,
        token: own.token,
        peers: own.peers,
        from_slow,
        to_slow,
        waker: own.waker,
        slow_waker: Arc::clone(slow_waker),
        counters: Placed::default(),
    };
    (
        Core::new(parts, Arc::clone(shared), now),
        CoreLink::new(to_fast, from_fast, waker, owner),
    )
}

/// What does the slow path's work, with the links to the cores.
fn control(
    config: &Config,
    memory: &Memory,
    info: &PortInfo,
    cores: Vec<CoreLink>,
    token: OwnerToken,
    (steering, scaler): (Arc<Steering>, Scaler),
    poll_cycle_app: u64,
) -> Result<Control, ServiceError> {
    let secrets = Secrets::generate().map_err(|error| ServiceError::Io {
        what: "cannot get random numbers",
        source: io::Error::other(error),
    })?;
    let tcp = TcpControlConfig::new(config, info.mac, info.mtu, memory.flows.count());
    let legacy = memory
        .legacy()
        .map(|file| file.fd().try_clone_to_owned().and_then(Backing::from_fd))
        .transpose()
        .map_err(io_error("cannot share tas_memory"))?;
    Ok(Control::new(ControlParts {
        tcp: TcpControl::new(tcp, secrets),
        cores,
        regions: Regions::new(Arc::clone(&memory.arena), memory.plan, memory.huge, legacy),
        flows: Arc::clone(&memory.flows),
        token,
        table: Arc::clone(&memory.table),
        steering,
        scaler,
        queues: QueueConf {
            requests_len: config.app_kin_len,
            answers_len: config.app_kout_len,
            poll_cycle_app,
        },
        internal: Some(Arc::clone(&memory.internal)),
    }))
}

fn offer(memory: &Memory, cores: &[CoreLink], waker: &Waker) -> io::Result<Offer> {
    Ok(Offer {
        slow_event: waker.event().try_clone()?,
        core_events: cores
            .iter()
            .map(|core| core.waker.event().try_clone())
            .collect::<Result<_, _>>()?,
        info: memory.app_info_file().read_only()?,
    })
}

/// Tells applications, supervisors and readers that the service is there.
fn announce(
    config: &Config,
    memory: &Memory,
    port: &Port,
    cycles: PollCycles,
) -> Result<(), ServiceError> {
    let info = port.info();
    memory
        .publish(config, info, cycles, FLEXNIC_FLAG_READY)
        .map_err(io_error("cannot fill in the info page"))?;
    let mut out = io::stdout().lock();
    if !config.quiet {
        for addr in &config.addresses {
            // Nobody has to read this.
            let _ = writeln!(out, "host ip: {} MAC: {}", addr.ip, info.mac);
        }
    }
    let _ = writeln!(out, "TAS ready").and_then(|()| out.flush());
    match config.ready_fd {
        Some(fd) => {
            tell_ready(fd).map_err(io_error("cannot write to the descriptor of --ready-fd"))
        }
        None => Ok(()),
    }
}

/// Finds out before anything is started that nobody waits behind `--ready-fd`.
fn check_ready_fd(config: &Config) -> Result<(), ServiceError> {
    match config.ready_fd {
        Some(fd) => std::fs::symlink_metadata(format!("/proc/self/fd/{fd}"))
            .map(|_| ())
            .map_err(|_| ServiceError::ReadyFd(fd)),
        None => Ok(()),
    }
}

fn tell_ready(fd: RawFd) -> io::Result<()> {
    tas_shm::write_to_fd(fd, &1u64.to_ne_bytes())
}

/// A descriptor that becomes readable when the service is to stop.
fn catch_signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Many applications bring many descriptors: take as many as the system allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("cannot raise the limit on open files: {error}");
    }
}
