//! Opening the one port, and its life.

use std::ffi::{CStr, CString, c_char, c_int};
use std::iter;
use std::net::Ipv4Addr;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use dpdk_sys::{rte_mempool, tasnic_port_caps, tasnic_port_conf, tasnic_port_info};
use tas_wire::MacAddr;

use super::eal::{Eal, EalShared};
use super::fds::Snapshot;
use super::queue::{DpdkQueue, QueueDrops, TxLock, WakeSource};
use super::reta::{Reta, set_reta};
use super::{NicError, error_text, interface, kernel, last_error, packet, quirks};
use crate::nic::{BURST, PortInfo, PortStats, Rss};

/// The driver on top of AF_XDP sockets, and what the kernel keeps free in front of each frame it
/// receives there, in bytes.
const AF_XDP: &str = "net_af_xdp";
const XDP_HEADROOM: usize = 256;

/// Ethernet header, two VLAN tags and the FCS, in bytes.
const ETHERNET_OVERHEAD: usize = 14 + 2 * 4 + 4;

/// To multiples of this many bytes, and by as many, pools grow buffers.
const CACHE_LINE: usize = 64;

/// Receive buffer sizes are multiples of this, as some hardware demands.
const BUFFER_GRANULE: usize = 1024;

/// Frames of each queue that may be neither in the port nor in a cache: those
/// being worked on. A little less than a power of two, as the sum should be.
const HELD_FRAMES: usize = 1024 - 2 * BURST;

/// Buffers that caches of lcores may hold back from a pool.
const CACHED_FRAMES: usize = 1024;

/// Buffers more when cores pass frames on to others.
const PASSED_FRAMES: usize = 2048;

/// How long a link gets to come up. A port without link opens all the same.
const LINK_WAIT: Duration = Duration::from_secs(3);
const LINK_POLL: Duration = Duration::from_millis(10);

/// What is wanted of the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortConf {
    /// MTU in bytes; `None` leaves the port's, or its kernel interface's.
    pub mtu: Option<u16>,
    /// Have the port check received checksums, if it can.
    pub rx_csum: bool,
    /// Have the port compute checksums to be sent, if it can.
    pub tx_csum: bool,
    /// Have the port strip VLAN tags, if it can.
    pub vlan_strip: bool,
    /// Use receive interrupts, if the port has them.
    pub interrupts: bool,
}

/// An open port. Its queues keep it open.
pub struct Port {
    shared: Arc<PortShared>,
    info: PortInfo,
    /// The kernel interface of which the port gets copies of what the kernel receives.
    tapped: Option<u32>,
    /// Keeps the kernel's own stack from what is received for the service.
    _kept_from_kernel: Option<OwnedFd>,
}

/// What the queues of a port share.
pub(super) struct PortShared {
    pub(super) id: u16,
    /// Frames must be prepared before they are sent.
    pub(super) prepare: bool,
    /// By queue.
    pub(super) drops: Vec<QueueDrops>,
    pools: Vec<Pool>,
    eal: Arc<EalShared>,
}

/// A pool of packet buffers.
struct Pool(NonNull<rte_mempool>);

// SAFETY: DPDK's pools may be used from any thread.
unsafe impl Send for Pool {}
// SAFETY: as above; shared references only give out the pointer.
unsafe impl Sync for Pool {}

impl Port {
    /// Opens the one port there is for `cores` cores, and gives each its
    /// queues, in order. When the port has fewer, the last cores have no
    /// receive queue and share transmit queues with others.
    pub fn open(eal: &Eal, cores: u16, conf: PortConf) -> Result<(Port, Vec<DpdkQueue>), NicError> {
        let mut setup = Setup::find(eal.shared().clone(), cores)?;
        setup.check_queues()?;
        let opened = match setup.start(&conf) {
            // Some drivers refuse receive interrupts only when they start.
            Err(_) if conf.interrupts => setup.start(&PortConf {
                interrupts: false,
                ..conf
            })?,
            other => other?,
        };
        setup.wait_for_link();
        let info = PortInfo {
            mac: MacAddr(setup.info.mac),
            mtu: setup.info.mtu,
            queues: setup.queues,
            rss: setup.rss(&opened.caps),
            tx_checksum_offload: opened.caps.tx_csum,
            rx_checksum_offload: opened.caps.rx_csum,
            driver: setup.driver(),
        };
        log::debug!("{}: {}", setup.device(), summary(&info, &opened));
        let tapped =
            (setup.is_af_packet() && setup.info.if_index != 0).then_some(setup.info.if_index);
        let (shared, queues) = setup.finish(opened);
        let port = Port {
            shared,
            info,
            tapped,
            _kept_from_kernel: None,
        };
        Ok((port, queues))
    }

    /// What is known of the port.
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// The service answers for `addresses`: where the port only gets copies of what the kernel
    /// receives, spares the kernel packets to them, as long as the port is open.
    pub fn keep_from_kernel(&mut self, addresses: &[Ipv4Addr]) {
        let Some(interface) = self.tapped else {
            return;
        };
        match kernel::drop_packets_to(addresses, interface) {
            Ok(link) => self._kept_from_kernel = Some(link),
            // It only costs time, as before Linux 6.6.
            Err(error) => log::debug!("the kernel sees the service's packets, too: {error}"),
        }
    }

    /// Counters of the port.
    pub fn stats(&self) -> PortStats {
        let mut raw = dpdk_sys::tasnic_port_stats::default();
        // SAFETY: the port is open; the pointer is to a live variable. On
        // failure the counters are zero.
        unsafe { dpdk_sys::tasnic_port_stats(self.shared.id, &raw mut raw) };
        let mut stats = PortStats {
            rx_packets: raw.rx_packets,
            tx_packets: raw.tx_packets,
            rx_bytes: raw.rx_bytes,
            tx_bytes: raw.tx_bytes,
            rx_missed: raw.rx_missed,
            rx_errors: raw.rx_errors,
            rx_nombuf: raw.rx_nombuf,
            tx_errors: raw.tx_errors,
        };
        for drops in &self.shared.drops {
            stats.rx_errors += drops.rx.load(Ordering::Relaxed);
            stats.tx_errors += drops.tx.load(Ordering::Relaxed);
        }
        stats
    }

    /// The port's redirection table, if [`PortInfo::rss`] says that it has one.
    pub fn reta(&self) -> Option<Reta> {
        let rss = self.info.rss.as_ref()?;
        Some(Reta::new(
            Arc::clone(&self.shared),
            self.info.driver.clone(),
            self.info.queues,
            rss.buckets,
        ))
    }
}

impl Drop for PortShared {
    fn drop(&mut self) {
        // SAFETY: all queues are gone (they hold references to self), so
        // nobody uses the port.
        unsafe { dpdk_sys::tasnic_port_close(self.id) };
        for pool in &self.pools {
            // SAFETY: the pool is ours. When none of its buffers is in use
            // nobody can get hold of one any more, since that takes a queue.
            unsafe {
                if dpdk_sys::rte_mempool_in_use_count(pool.0.as_ptr()) == 0 {
                    dpdk_sys::tasnic_pool_free(pool.0.as_ptr());
                } else {
                    self.eal.memory_in_use.store(true, Ordering::Release);
                }
            }
        }
    }
}

/// A port on its way to being open; dropping it closes the port.
struct Setup {
    shared: PortShared,
    info: tasnic_port_info,
    cores: u16,
    /// Of each direction; as many as the port has, if there are more cores.
    queues: u16,
}

/// What came of starting a port.
struct Started {
    caps: tasnic_port_caps,
    wake: Vec<WakeSource>,
}

impl Setup {
    /// Finds the one port there is.
    fn find(eal: Arc<EalShared>, cores: u16) -> Result<Self, NicError> {
        let mut ports: Vec<_> = port_ids().map(|id| (id, port_info(id))).collect();
        let (id, info) = match ports.pop() {
            None => return Err(NicError::NoPort),
            Some(last) if !ports.is_empty() => {
                ports.push(last);
                let names = ports.into_iter().map(|(id, info)| describe(id, info));
                return Err(NicError::SeveralPorts(names.collect()));
            }
            Some(only) => only,
        };
        let info = info.map_err(|errno| NicError::Port {
            device: format!("port {id}"),
            driver: "unknown driver".into(),
            step: "ask the port what it is",
            reason: error_text(errno),
        })?;
        let queues = cores
            .min(quirks::usable_queues(&text(&info.driver), info.max_queues))
            .max(1);
        let drops = (0..queues).map(|_| QueueDrops::default()).collect();
        Ok(Self {
            shared: PortShared {
                id,
                prepare: false,
                drops,
                pools: Vec::new(),
                eal,
            },
            info,
            cores,
            queues,
        })
    }

    fn device(&self) -> String {
        text(&self.info.device)
    }

    fn driver(&self) -> String {
        text(&self.info.driver)
    }

    fn is_af_packet(&self) -> bool {
        self.driver() == packet::DRIVER
    }

    fn is_af_xdp(&self) -> bool {
        self.driver() == AF_XDP
    }

    fn failed(&self, step: &'static str, reason: String) -> NicError {
        NicError::Port {
            device: self.device(),
            driver: self.driver(),
            step,
            reason,
        }
    }

    fn check(&self, step: &'static str, ret: c_int) -> Result<(), NicError> {
        if ret == 0 {
            Ok(())
        } else {
            Err(self.failed(step, error_text(ret)))
        }
    }

    fn check_queues(&self) -> Result<(), NicError> {
        let (max, needed) = (self.info.max_queues, self.cores);
        let (device, driver) = (self.device(), self.driver());
        // The kernel spreads frames over all sockets of the device, and those
        // of a queue that nobody polls would be lost.
        if self.is_af_packet() && max > needed {
            return Err(NicError::UnpolledQueues {
                device,
                driver,
                max,
                needed,
            });
        }
        Ok(())
    }

    /// Configures and starts the port. May be called again after a failure.
    fn start(&mut self, conf: &PortConf) -> Result<Started, NicError> {
        let caps = self.configure(conf)?;
        self.set_mtu(conf.mtu)?;
        self.create_pools(&caps)?;
        let opened = self.set_up_queues(&caps)?;
        // SAFETY: the port exists and is configured, with all its queues.
        let ret = unsafe { dpdk_sys::tasnic_port_start(self.shared.id) };
        self.check("start the port", ret)?;
        self.shared.prepare = caps.tx_csum;
        let wake = self.wake_sources(&caps, opened);
        Ok(Started { caps, wake })
    }

    fn configure(&self, conf: &PortConf) -> Result<tasnic_port_caps, NicError> {
        let wanted = tasnic_port_conf {
            queues: self.queues,
            rx_csum: conf.rx_csum,
            tx_csum: conf.tx_csum,
            vlan_strip: conf.vlan_strip,
            interrupts: conf.interrupts,
        };
        let mut caps = tasnic_port_caps::default();
        // SAFETY: both pointers are to live variables; the port exists.
        let ret = unsafe {
            dpdk_sys::tasnic_port_configure(self.shared.id, &raw const wanted, &raw mut caps)
        };
        self.check("configure the port", ret)?;
        if conf.vlan_strip && !caps.vlan_strip {
            log::warn!(
                "{} ({}) cannot strip VLAN tags",
                self.device(),
                self.driver()
            );
        }
        Ok(caps)
    }

    fn set_mtu(&mut self, wanted: Option<u16>) -> Result<(), NicError> {
        let inherited = self.inherited_mtu();
        let Some(mtu) = wanted.or(inherited) else {
            return Ok(());
        };
        // These send and receive whatever their interface does. Told so, net_af_packet refuses
        // more than 1500, and net_af_xdp sets the interface's MTU.
        let on_interface = self.is_af_packet() || self.is_af_xdp();
        let as_it_is = on_interface && inherited.is_some_and(|limit| mtu <= limit);
        if mtu == self.info.mtu || as_it_is {
            self.info.mtu = mtu;
            return Ok(());
        }
        // SAFETY: the port exists and is configured and stopped.
        let ret = unsafe { dpdk_sys::tasnic_port_set_mtu(self.shared.id, mtu) };
        if ret == 0 {
            self.info.mtu = mtu;
            return Ok(());
        }
        match wanted {
            None => Ok(()),
            Some(_) => Err(NicError::Mtu {
                device: self.device(),
                driver: self.driver(),
                mtu,
                reason: error_text(ret),
            }),
        }
    }

    /// The MTU of the kernel interface under the port, when there is one:
    /// drivers on top of the kernel report 1500 whatever it is.
    fn inherited_mtu(&self) -> Option<u16> {
        let mtu = interface::mtu_by_index(self.info.if_index)?;
        let most = match self.info.max_mtu {
            0 => usize::from(u16::MAX),
            max => usize::from(max),
        };
        let limit = if self.is_af_packet() {
            self.packet_slot() - packet::SLOT_HEADER
        } else if self.is_af_xdp() {
            // In what fits a page the driver does not count the link header, nor what pools add
            // to align buffers and to spread them over memory channels.
            most.saturating_sub(ETHERNET_OVERHEAD + 2 * CACHE_LINE)
        } else {
            most
        };
        u16::try_from(mtu.min(limit)).ok()
    }

    /// Bytes of a frame in net_af_packet's rings, its header included.
    fn packet_slot(&self) -> usize {
        let given = self.shared.eal.packet_slot;
        given
            .unwrap_or(packet::DEFAULT_SLOT)
            .max(packet::SLOT_HEADER)
    }

    /// Bytes of data that one buffer takes: any frame in a single segment.
    fn data_room(&self) -> u16 {
        let mut room = usize::from(self.info.mtu) + ETHERNET_OVERHEAD;
        if self.is_af_packet() {
            room = room.max(self.packet_slot());
        }
        room = if self.is_af_xdp() {
            // A buffer with all its headers must fit a page, so nothing is rounded up.
            (room + XDP_HEADROOM).max(2 * BUFFER_GRANULE)
        } else {
            room.next_multiple_of(BUFFER_GRANULE)
                .max(2 * BUFFER_GRANULE)
        };
        u16::try_from(room + dpdk_sys::TASNIC_MBUF_HEADROOM as usize).unwrap_or(u16::MAX)
    }

    /// One pool per core, so that cores do not contend for buffers and one
    /// that hoards them does not starve the others.
    fn create_pools(&mut self, caps: &tasnic_port_caps) -> Result<(), NicError> {
        let room = self.data_room();
        let descriptors = usize::from(caps.rx_desc) + usize::from(caps.tx_desc);
        // On their way to cores without a queue.
        let passed_on = match self.cores > self.queues {
            true => PASSED_FRAMES,
            false => 0,
        };
        let frames = descriptors + HELD_FRAMES + CACHED_FRAMES + passed_on;
        // A ring holds a power of two less one.
        let num = frames.next_power_of_two() as u32 - 1;
        while self.shared.pools.len() < usize::from(self.cores) {
            let name = format!("tas-{}-{}", self.shared.id, self.shared.pools.len());
            let name = CString::new(name).unwrap_or_default();
            // SAFETY: the name is a terminated string, which is copied.
            let pool = unsafe {
                dpdk_sys::tasnic_pool_create(
                    name.as_ptr(),
                    num,
                    room,
                    self.info.socket,
                    self.shared.eal.shared_cpu,
                )
            };
            match NonNull::new(pool) {
                Some(pool) => self.shared.pools.push(Pool(pool)),
                None => {
                    return Err(NicError::NoMemory {
                        buffers: num,
                        size: usize::from(room),
                        reason: last_error(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Sets up all queues; gives the frame sources each receive queue opened.
    fn set_up_queues(&self, caps: &tasnic_port_caps) -> Result<Vec<Vec<RawFd>>, NicError> {
        let id = self.shared.id;
        let mut opened = Vec::new();
        for (queue, pool) in (0..self.queues).zip(&self.shared.pools) {
            let before = Snapshot::take();
            // SAFETY: the port is configured with that many queues and is
            // stopped; the pool lives until the port is closed.
            let ret = unsafe {
                dpdk_sys::tasnic_rx_queue_setup(id, queue, caps.rx_desc, pool.0.as_ptr())
            };
            self.check("set up a receive queue", ret)?;
            opened.push(before.new_sources());
        }
        // After the receive queues: net_tap lets the one that comes second
        // share the device the first one opened.
        for queue in 0..self.queues {
            // SAFETY: as above.
            let ret = unsafe { dpdk_sys::tasnic_tx_queue_setup(id, queue, caps.tx_desc) };
            self.check("set up a transmit queue", ret)?;
        }
        Ok(opened)
    }

    /// What wakes the owner of each queue, from the best to the least: its
    /// receive interrupt; what its set-up opened; the sockets that the driver
    /// opened when it was probed, one for each queue if there are as many,
    /// since drivers open them in the order of the queues, else all of them.
    fn wake_sources(&self, caps: &tasnic_port_caps, opened: Vec<Vec<RawFd>>) -> Vec<WakeSource> {
        let probed = if self.is_af_packet() {
            self.shared.eal.probed_sources.as_slice()
        } else {
            &[]
        };
        let one_each = probed.len() == usize::from(self.queues);
        let mut sources = Vec::new();
        for (queue, opened) in (0..self.queues).zip(opened) {
            let fallback = match probed.get(usize::from(queue)) {
                Some(&fd) if one_each => vec![fd],
                _ => probed.to_vec(),
            };
            let interrupt = if caps.interrupts {
                // SAFETY: the port is started and has that queue.
                unsafe { dpdk_sys::tasnic_rx_intr_fd(self.shared.id, queue) }
            } else {
                -1
            };
            sources.push(if interrupt >= 0 {
                WakeSource::from_interrupt(interrupt)
            } else if !opened.is_empty() {
                WakeSource::from_sources(opened)
            } else {
                WakeSource::from_sources(fallback)
            });
        }
        sources
    }

    /// How frames are spread over the queues, if that can be known and changed.
    fn rss(&self, caps: &tasnic_port_caps) -> Option<Rss> {
        let buckets = self.info.reta_size;
        if !caps.rss || buckets == 0 || self.queues < 2 {
            return None;
        }
        let mut key = [0; dpdk_sys::TASNIC_RSS_KEY_MAX as usize];
        // SAFETY: the port is started; the key has as many bytes as the function may write.
        let len = unsafe {
            dpdk_sys::tasnic_port_rss_key(self.shared.id, &raw const *caps, key.as_mut_ptr())
        };
        let key = usize::try_from(len).ok().and_then(|len| key.get(..len))?;
        let evenly: Vec<u16> = (0..buckets).map(|bucket| bucket % self.queues).collect();
        let known = key.len() >= Rss::KEY_MIN && set_reta(self.shared.id, &evenly).is_ok();
        known.then(|| Rss {
            key: key.to_vec(),
            ports: caps.rss_ports,
            buckets,
        })
    }

    fn wait_for_link(&self) {
        let deadline = Instant::now() + LINK_WAIT;
        // SAFETY: the port is started.
        while !unsafe { dpdk_sys::tasnic_port_link_up(self.shared.id) } {
            if Instant::now() >= deadline {
                log::warn!("{} ({}) has no link yet", self.device(), self.driver());
                return;
            }
            thread::sleep(LINK_POLL);
        }
    }

    fn finish(self, started: Started) -> (Arc<PortShared>, Vec<DpdkQueue>) {
        let own = MacAddr(self.info.mac);
        let shared = Arc::new(self.shared);
        let locks: Vec<_> = (0..self.queues).map(|_| TxLock::default()).collect();
        let mut wake = started.wake.into_iter();
        let queues = (0..self.cores)
            .zip(&shared.pools)
            .map(|(core, pool)| {
                let queue = core % self.queues;
                let sharers = (queue..self.cores).step_by(self.queues.into()).count();
                let lock = locks.get(usize::from(queue)).filter(|_| sharers > 1);
                // The first have receive queues, which come with something to wait for.
                DpdkQueue::new(
                    shared.clone(),
                    own,
                    queue,
                    pool.0,
                    wake.next(),
                    lock.cloned(),
                )
            })
            .collect();
        (shared, queues)
    }
}

/// What is used of a port, for those who wonder.
fn summary(info: &PortInfo, started: &Started) -> String {
    let buckets = info.rss.as_ref().map_or(0, |rss| rss.buckets);
    let checks = |in_port| if in_port { "the port" } else { "software" };
    let interrupts = |wake: &WakeSource| matches!(wake, WakeSource::Interrupt(..));
    format!(
        "driver {}, MTU {}, queues {}, buckets of RSS {buckets}, checksums of what is \
         sent by {}, of what is received by {}, receive interrupts {}",
        info.driver,
        info.mtu,
        info.queues,
        checks(info.tx_checksum_offload),
        checks(info.rx_checksum_offload),
        started.wake.iter().filter(|wake| interrupts(wake)).count(),
    )
}

/// The ports there are.
fn port_ids() -> impl Iterator<Item = u16> {
    // SAFETY: asks the EAL for the next port at or behind a number; u16::MAX
    // means there is none.
    let next = |from| Some(unsafe { dpdk_sys::tasnic_next_port(from) }).filter(|&id| id < u16::MAX);
    iter::successors(next(0), move |&id| next(id + 1))
}

fn port_info(id: u16) -> Result<tasnic_port_info, c_int> {
    let mut info = tasnic_port_info::default();
    // SAFETY: the pointer is to a live variable.
    match unsafe { dpdk_sys::tasnic_port_info(id, &raw mut info) } {
        0 => Ok(info),
        errno => Err(errno),
    }
}

fn describe(id: u16, info: Result<tasnic_port_info, c_int>) -> String {
    match info {
        Ok(info) => format!("{} ({})", text(&info.device), text(&info.driver)),
        Err(_) => format!("port {id}"),
    }
}

/// A C string in an array, up to its terminating zero.
fn text(chars: &[c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes)
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}
