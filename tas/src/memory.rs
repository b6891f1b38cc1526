//! The memory that the service shares: files of well-known names, the flow states, the arena in
//! which every application's region lies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tas_abi::memif::{
    FLEXNIC_FLAG_HUGEPAGES, FLEXNIC_INFO_BYTES, FLEXNIC_PL_FLOWHT_ENTRIES, FLEXNIC_PL_FLOWST_NUM,
    FlexnicInfo, InfoAddr, InfoExt, InfoRoute, PlMem, TAS_INFO_EXT_OFF, TAS_INFO_EXT_VERSION,
};
use tas_shm::{Arena, Backing, Mapping, PidLock, SharedTable, ShmOffset, SleepSign, huge_pages};
use thiserror::Error;
use zerocopy::FromZeros;

use crate::config::{Config, POLL_FOREVER};
use crate::fast::Flows;
use crate::flowtable::FlowTable;
use crate::nic::PortInfo;
use crate::slow::FLOWS_AT_START;

const SHM_DIR: &str = "/dev/shm";
const HUGE_DIR: &str = "/dev/hugepages";
/// Bytes of `tas_internal`.
const INTERNAL_LEN: u64 = 32 << 20;
const HUGE_PAGE: u64 = 2 << 20;
/// `qmq_num` in the info page, as in the original.
const QMQ_NUM: u32 = 131_072;
/// Most regions of applications at a time.
const REGIONS_MAX: u64 = 1000;

/// Why there is no memory to share.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// Another service runs here.
    #[error(
        "another tas (pid {}) runs in this namespace; stop it first, or start this one in network and mount namespaces of its own",
        .0.map_or("unknown".to_owned(), |pid| pid.to_string())
    )]
    Running(Option<u32>),
    /// Another service uses the same huge pages directory.
    #[error(
        "another tas, perhaps in another namespace, uses {0}; give this one a huge page file system of its own at /dev/hugepages, or run it with --fp-no-hugepages"
    )]
    InUse(PathBuf),
    /// The pool of huge pages is too small.
    #[error(
        "{needed} huge pages of 2 MiB are needed and {free} are free: add to /proc/sys/vm/nr_hugepages, ask for less with --shm-len or --no-legacy, or run with --fp-no-hugepages"
    )]
    HugePages {
        /// Pages needed.
        needed: u64,
        /// Pages free.
        free: u64,
    },
    /// The huge page file system is not there.
    #[error(
        "/dev/hugepages is not a huge page file system: mount one there (mount -t hugetlbfs none /dev/hugepages), or run with --fp-no-hugepages"
    )]
    NotHugetlbfs,
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> MemoryError {
    let what = what.into();
    move |source| MemoryError::Io { what, source }
}

/// A file that goes when the service ends.
struct NamedFile {
    path: PathBuf,
    backing: Backing,
}

impl NamedFile {
    fn create(dir: &str, name: &str, len: u64, mode: u32) -> Result<NamedFile, MemoryError> {
        let path = Path::new(dir).join(name);
        let backing = Backing::named(&path, len, mode)
            .map_err(io_error(format!("cannot create {}", path.display())))?;
        Ok(NamedFile { path, backing })
    }
}

impl Drop for NamedFile {
    fn drop(&mut self) {
        // Nothing is lost when it has gone already.
        let _ = fs::remove_file(&self.path);
    }
}

/// How the arena is divided: the legacy region first, then equal places for applications.
#[derive(Clone, Copy, Debug)]
pub struct ArenaPlan {
    /// Bytes of the legacy region; 0 without one.
    pub legacy_len: u64,
    /// Bytes of an application's region.
    pub app_len: u64,
    /// Places for applications' regions.
    pub apps: u32,
    /// Distance from one place to the next.
    pub stride: u64,
}

impl ArenaPlan {
    /// As the options say.
    pub fn new(config: &Config) -> ArenaPlan {
        let app_len = config.app_shm_len.next_multiple_of(HUGE_PAGE);
        ArenaPlan {
            legacy_len: if config.legacy {
                config.shm_len.next_multiple_of(HUGE_PAGE)
            } else {
                0
            },
            app_len,
            apps: (config.app_shm_total / app_len).clamp(1, REGIONS_MAX) as u32,
            // A gap between regions makes a slip visible.
            stride: app_len + HUGE_PAGE,
        }
    }

    fn first_app(&self) -> u64 {
        self.legacy_len + HUGE_PAGE
    }

    /// Where the region of an application's place begins.
    pub fn app_base(&self, place: u32) -> ShmOffset {
        ShmOffset(self.first_app() + u64::from(place) * self.stride)
    }

    /// Bytes of the whole arena.
    pub fn total(&self) -> u64 {
        self.first_app() + u64::from(self.apps) * self.stride
    }
}

/// Everything shared, created before the EAL takes its huge pages and removed on drop.
pub struct Memory {
    /// The stretch of addresses in which all regions lie.
    pub arena: Arc<Arena>,
    /// How it is divided.
    pub plan: ArenaPlan,
    /// Regions consist of huge pages.
    pub huge: bool,
    /// The flow states.
    pub flows: Arc<Flows>,
    /// The lookup table.
    pub table: Arc<FlowTable>,
    /// `tas_internal`, for what tools read of contexts.
    pub internal: Arc<Mapping>,
    info: Mapping,
    app_info: Arc<Mapping>,
    app_info_file: Backing,
    info_file: NamedFile,
    legacy_file: Option<NamedFile>,
    _internal_file: NamedFile,
    _lock: PidLock,
}

impl Memory {
    /// Creates everything, in place of what a crashed service has left.
    pub fn create(config: &Config) -> Result<Memory, MemoryError> {
        let lock =
            PidLock::acquire(&Path::new(SHM_DIR).join("tas_lock")).map_err(
                |error| match error {
                    tas_shm::LockError::Held { pid } => MemoryError::Running(pid),
                    tas_shm::LockError::Io(source) => MemoryError::Io {
                        what: format!("cannot lock {SHM_DIR}/tas_lock"),
                        source,
                    },
                },
            )?;
        let plan = ArenaPlan::new(config);
        let huge = config.fp.hugepages;
        let dir = if huge { HUGE_DIR } else { SHM_DIR };
        remove_stale(dir)?;
        if huge {
            check_huge_pages(plan.legacy_len + INTERNAL_LEN)?;
        }
        let (mode, group) = (config.shm_mode, config.shm_group);

        let internal_file = NamedFile::create(dir, "tas_internal", INTERNAL_LEN, 0o600)?;
        let internal = &internal_file.backing;
        flock(internal.fd(), FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| io_error("cannot lock tas_internal")(error.into()))?;
        internal
            .reserve(0, INTERNAL_LEN)
            .map_err(io_error("cannot take memory for tas_internal"))?;
        let internal = Mapping::new(internal.fd(), INTERNAL_LEN, true)
            .map_err(io_error("cannot map tas_internal"))?;
        let internal = Arc::new(internal);

        let flowst = std::mem::offset_of!(PlMem, flowst) as u64;
        let flows = Flows::map_array(&internal, flowst, FLEXNIC_PL_FLOWST_NUM as u32)
            .map_err(io_error("cannot map the flow states"))?;
        let flowht = std::mem::offset_of!(PlMem, flowht) as u64;
        let table = SharedTable::map_table(&internal, flowht, FLEXNIC_PL_FLOWHT_ENTRIES as u32)
            .map_err(io_error("cannot map the flow table"))?;
        flows.take_memory(0..FLOWS_AT_START);
        table.take_memory();

        let arena = Arena::reserve(plan.total()).map_err(io_error("cannot reserve addresses"))?;
        let legacy_file = match plan.legacy_len {
            0 => None,
            len => {
                let file = NamedFile::create(dir, "tas_memory", len, 0o600)?;
                file.backing
                    .set_access(mode, group)
                    .map_err(io_error("cannot set the group of tas_memory"))?;
                arena
                    .map(ShmOffset(0), &file.backing, len)
                    .map_err(io_error("cannot map tas_memory"))?;
                Some(file)
            }
        };
        let info_len = FLEXNIC_INFO_BYTES as u64;
        let info_file = NamedFile::create(SHM_DIR, "tas_info", info_len, 0o600)?;
        info_file
            .backing
            .set_access(mode, group)
            .map_err(io_error("cannot set the group of tas_info"))?;
        let info = Mapping::new(info_file.backing.fd(), info_len, true)
            .map_err(io_error("cannot map tas_info"))?;
        let app_info_file = Backing::memfd_unsealed("tas_info", info_len, false)
            .map_err(io_error("cannot create the info page"))?;
        let app_info = Mapping::new(app_info_file.fd(), info_len, true)
            .map_err(io_error("cannot map the info page"))?;
        app_info_file
            .seal_read_only()
            .map_err(io_error("cannot seal the info page"))?;

        Ok(Memory {
            arena,
            plan,
            huge,
            flows: Arc::new(flows),
            table: Arc::new(FlowTable::new(table)),
            internal,
            info,
            app_info: Arc::new(app_info),
            app_info_file,
            info_file,
            legacy_file,
            _internal_file: internal_file,
            _lock: lock,
        })
    }

    /// The info page that isolated applications get.
    pub fn app_info_file(&self) -> &Backing {
        &self.app_info_file
    }

    /// Where the slow path says that it sleeps.
    ///
    /// # Errors
    /// Never, the page being made here.
    pub fn sleep_sign(&self) -> io::Result<SleepSign> {
        let at = TAS_INFO_EXT_OFF + std::mem::offset_of!(InfoExt, slow_path_sleeps);
        SleepSign::new(Arc::clone(&self.app_info), at as u64)
            .map_err(|_| io::ErrorKind::InvalidInput.into())
    }

    /// The region that legacy applications share.
    pub fn legacy(&self) -> Option<&Backing> {
        self.legacy_file.as_ref().map(|file| &file.backing)
    }

    /// Fills in the info pages, with `flags` in addition to that of huge pages. The legacy page
    /// appears under its name only now, but exists since [`Memory::create`].
    pub fn publish(
        &self,
        config: &Config,
        port: &PortInfo,
        cycles: PollCycles,
        flags: u64,
    ) -> io::Result<()> {
        let mut mac = [0; 8];
        mac[..6].copy_from_slice(&port.mac.0);
        let huge = if self.huge { FLEXNIC_FLAG_HUGEPAGES } else { 0 };
        let mut info = FlexnicInfo {
            flags: huge,
            dma_mem_size: self.plan.legacy_len,
            internal_mem_size: INTERNAL_LEN,
            mac_address: u64::from_ne_bytes(mac),
            poll_cycle_app: cycles.app,
            poll_cycle_tas: cycles.tas,
            qmq_num: QMQ_NUM,
            cores_num: config.fp.cores_max,
        };
        let fits = |_| io::Error::from(io::ErrorKind::InvalidInput);
        self.info.write_at(0, &info).map_err(fits)?;
        self.info.store_u64(0, huge | flags).map_err(fits)?;
        info.dma_mem_size = self.plan.app_len;
        self.app_info.write_at(0, &info).map_err(fits)?;
        self.app_info
            .write_at(TAS_INFO_EXT_OFF as u64, &info_ext(config))
            .map_err(fits)?;
        self.app_info.store_u64(0, huge | flags).map_err(fits)?;
        Ok(())
    }

    /// Where the legacy info page is, for messages.
    pub fn info_path(&self) -> &Path {
        &self.info_file.path
    }
}

/// The poll intervals in cycles; `u64::MAX` is never.
#[derive(Clone, Copy, Debug)]
pub struct PollCycles {
    /// Applications'.
    pub app: u64,
    /// The service's.
    pub tas: u64,
}

impl PollCycles {
    /// As the options say.
    pub fn new(config: &Config, clock: &tas_shm::TscClock) -> PollCycles {
        let cycles = |us: u32| {
            if us == POLL_FOREVER {
                u64::MAX
            } else {
                clock.us_to_cycles(us)
            }
        };
        PollCycles {
            app: cycles(config.fp.poll_interval_app_us),
            tas: if config.fp.interrupts {
                cycles(config.fp.poll_interval_tas_us)
            } else {
                u64::MAX
            },
        }
    }
}

fn info_ext(config: &Config) -> InfoExt {
    let mut ext = InfoExt::new_zeroed();
    ext.version = TAS_INFO_EXT_VERSION;
    for (to, addr) in ext.addrs.iter_mut().zip(&config.addresses) {
        *to = InfoAddr {
            ip: addr.ip.to_bits(),
            prefix_len: u32::from(addr.prefix_len),
        };
        ext.addr_num += 1;
    }
    for (to, route) in ext.routes.iter_mut().zip(&config.routes) {
        let mask = u32::MAX
            .checked_shl(32 - u32::from(route.prefix_len))
            .unwrap_or(0);
        *to = InfoRoute {
            dest: route.dest.to_bits(),
            mask,
            next_hop: route.next_hop.to_bits(),
            ..InfoRoute::default()
        };
        ext.route_num += 1;
    }
    ext
}

/// Removes what a crashed service has left in a directory: its files keep their pages until they
/// go. A service that runs, though in another mount namespace, keeps its files locked.
fn remove_stale(dir: &str) -> Result<(), MemoryError> {
    let path = Path::new(dir).join("tas_internal");
    if let Ok(left) = fs::File::open(&path)
        && flock(&left, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK)
    {
        return Err(MemoryError::InUse(path));
    }
    for name in ["tas_memory", "tas_internal"] {
        let _ = fs::remove_file(Path::new(dir).join(name));
    }
    Ok(())
}

fn check_huge_pages(bytes: u64) -> Result<(), MemoryError> {
    let probe = Path::new(HUGE_DIR).join(format!("tas_probe_{}", std::process::id()));
    let huge = Backing::named(&probe, HUGE_PAGE, 0o600).is_ok_and(|backing| backing.is_huge());
    let _ = fs::remove_file(&probe);
    if !huge {
        return Err(MemoryError::NotHugetlbfs);
    }
    let free = huge_pages()
        .map_err(io_error("cannot read the number of huge pages"))?
        .free;
    let needed = bytes.div_ceil(HUGE_PAGE);
    if free < needed {
        return Err(MemoryError::HugePages { needed, free });
    }
    Ok(())
}
