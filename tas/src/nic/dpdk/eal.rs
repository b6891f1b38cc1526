//! DPDK's environment: arguments, memory, and one thread per lcore.

use std::any::Any;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::fs;
use std::mem;
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fds::Snapshot;
use super::{NicError, error_text, interface, last_error, packet};

/// Megabytes of memory without huge pages: a base, and for each core. The
/// EAL's own 64 MB would not hold two queues' buffers for jumbo frames.
const NO_HUGE_BASE_MB: usize = 64;
const NO_HUGE_CORE_MB: usize = 64;

/// How to start DPDK.
#[derive(Clone, Debug)]
pub struct EalOptions {
    /// Name of the program, for DPDK's log.
    pub program: String,
    /// Arguments of `--dpdk-extra`, one EAL argument each.
    pub extra: Vec<String>,
    /// Fast-path cores to have lcores for, beside the main lcore.
    pub cores: usize,
}

/// The initialised EAL; at most one exists in the life of a process.
///
/// The thread that calls [`Eal::init`] becomes the main lcore and is pinned to
/// its CPU, which threads it creates afterwards inherit.
pub struct Eal {
    shared: Arc<EalShared>,
    running: Vec<bool>,
}

/// What ports share with the EAL. Dropping the last reference ends the EAL.
pub(super) struct EalShared {
    /// Lcore ids of the fast-path cores.
    pub(super) workers: Vec<c_uint>,
    /// Several lcores may run on one CPU and preempt each other.
    pub(super) shared_cpu: bool,
    /// Frame sources opened by drivers when they were probed.
    pub(super) probed_sources: Vec<RawFd>,
    /// Bytes of a slot in net_af_packet's rings, unless its default.
    pub(super) packet_slot: Option<usize>,
    /// Buffers may still be in use, so DPDK's memory must stay mapped.
    pub(super) memory_in_use: AtomicBool,
    /// DPDK's directory of run-time files, when its name was chosen here.
    runtime_dir: Option<PathBuf>,
    /// DPDK may keep pointers to its arguments.
    _arguments: Vec<CString>,
}

impl Eal {
    /// Starts DPDK.
    pub fn init(options: &EalOptions) -> Result<Eal, NicError> {
        let options = &EalOptions {
            extra: packet::fit_slots(&options.extra, interface::mtu_by_name),
            ..options.clone()
        };
        let prefix = default_file_prefix(&options.extra);
        let arguments = arguments(options, prefix.as_deref())?;
        let cpus = allowed_cpus();
        let before = Snapshot::take();
        start(&arguments, gives(&options.extra, "--no-huge"))?;
        let probed_sources = before.new_sources();

        let workers = worker_lcores();
        let found = workers.len() + 1;
        let mut used = vec![main_lcore()];
        used.extend(workers.iter().take(options.cores));
        // From here on an error ends the EAL by dropping this.
        let shared = EalShared {
            workers: workers.into_iter().take(options.cores).collect(),
            shared_cpu: share_cpu(&used),
            probed_sources,
            packet_slot: packet::given_slot(&options.extra),
            memory_in_use: AtomicBool::new(false),
            runtime_dir: prefix.and_then(|p| runtime_dir(&p)),
            _arguments: arguments,
        };
        if found <= options.cores {
            return Err(NicError::TooFewLcores {
                needed: options.cores + 1,
                found,
                example: example_mapping(options.cores + 1, &cpus),
            });
        }
        Ok(Eal {
            shared: Arc::new(shared),
            running: vec![false; options.cores],
        })
    }

    pub(super) fn shared(&self) -> &Arc<EalShared> {
        &self.shared
    }

    /// Number of fast-path cores that can be launched.
    pub fn cores(&self) -> usize {
        self.running.len()
    }

    /// Runs `work` on fast-path core `core`, counted from 0.
    pub fn launch(&mut self, core: usize, work: Box<dyn FnOnce() + Send>) -> Result<(), NicError> {
        let failed = |reason: String| NicError::Launch { core, reason };
        let (Some(&lcore), Some(running)) =
            (self.shared.workers.get(core), self.running.get_mut(core))
        else {
            return Err(failed("there is no such core".into()));
        };
        if *running {
            return Err(failed("it was launched before and not joined".into()));
        }
        let argument = Box::into_raw(Box::new(work));
        // SAFETY: run_boxed takes back the box, once, on the other thread; its
        // content is Send.
        let ret = unsafe {
            dpdk_sys::rte_eal_remote_launch(Some(run_boxed), argument.cast::<c_void>(), lcore)
        };
        if ret != 0 {
            // SAFETY: the launch failed, so nobody else has the box.
            drop(unsafe { Box::from_raw(argument) });
            return Err(failed(error_text(ret)));
        }
        *running = true;
        Ok(())
    }

    /// Waits until the work of fast-path core `core` has ended.
    pub fn join(&mut self, core: usize) -> Result<(), NicError> {
        let (Some(&lcore), Some(running)) =
            (self.shared.workers.get(core), self.running.get_mut(core))
        else {
            return Ok(());
        };
        if !mem::take(running) {
            return Ok(());
        }
        // SAFETY: lcore is a worker of the running EAL, and this is the main
        // lcore, or a thread that was handed the Eal by it.
        match unsafe { dpdk_sys::rte_eal_wait_lcore(lcore) } {
            0 => Ok(()),
            _ => Err(NicError::CorePanicked(core)),
        }
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        for core in 0..self.cores() {
            if let Err(error) = self.join(core) {
                log::error!("{error}");
            }
        }
    }
}

impl Drop for EalShared {
    fn drop(&mut self) {
        if self.memory_in_use.load(Ordering::Acquire) {
            log::debug!("packet buffers are still in use: DPDK is left to the end of the process");
        } else {
            // SAFETY: the EAL is initialised, all ports are closed (they hold
            // a reference to self), no buffer is in use, and Eal::drop has
            // waited for the workers.
            unsafe { dpdk_sys::rte_eal_cleanup() };
        }
        if let Some(dir) = &self.runtime_dir {
            // The EAL leaves its files behind; failing to remove them harms
            // nothing, the next start takes them over.
            let _ = fs::remove_dir_all(dir);
        }
    }
}

/// Entry of a worker lcore: runs the boxed closure, and reports a panic by the
/// return value, since unwinding into C would abort the process.
unsafe extern "C" fn run_boxed(argument: *mut c_void) -> c_int {
    // SAFETY: launch passes exactly this pointer, and passes it once.
    let work = unsafe { Box::from_raw(argument.cast::<Box<dyn FnOnce() + Send>>()) };
    let done: Result<(), Box<dyn Any + Send>> = catch_unwind(AssertUnwindSafe(work));
    match done {
        Ok(()) => 0,
        Err(_) => -1,
    }
}

/// The EAL's argument vector. What is chosen here comes first, so that what
/// the user says later wins.
fn arguments(options: &EalOptions, prefix: Option<&str>) -> Result<Vec<CString>, NicError> {
    let mut all = vec![options.program.clone()];
    if let Some(prefix) = prefix {
        all.push(format!("--file-prefix={prefix}"));
    }
    if gives(&options.extra, "--no-huge") && !sets_memory(&options.extra) {
        all.push("-m".into());
        all.push(no_huge_megabytes(options).to_string());
    }
    // No file must hold huge pages after the service ends, however it ends.
    let no_files = ["--no-huge", "--in-memory", "--huge-unlink"];
    if !no_files.iter().any(|name| gives(&options.extra, name)) {
        all.push("--huge-unlink".into());
    }
    all.extend(options.extra.iter().cloned());
    all.into_iter()
        .map(|a| CString::new(a.as_str()).map_err(|_| NicError::BadArgument(a)))
        .collect()
}

fn no_huge_megabytes(options: &EalOptions) -> usize {
    // 4 KiB buffers per core at the size of a ring frame.
    let frames = packet::given_slot(&options.extra)
        .unwrap_or(0)
        .div_ceil(256);
    NO_HUGE_BASE_MB + options.cores * NO_HUGE_CORE_MB.max(2 * frames)
}

/// True when `arguments` contain the long option `name`, with or without value.
fn gives(arguments: &[String], name: &str) -> bool {
    arguments
        .iter()
        .filter_map(|a| a.strip_prefix(name))
        .any(|rest| rest.is_empty() || rest.starts_with('='))
}

fn sets_memory(arguments: &[String]) -> bool {
    arguments.iter().any(|a| a.starts_with("-m")) || gives(arguments, "--socket-mem")
}

/// The name under which the EAL keeps its files and locks, when the user left
/// it open.
///
/// The EAL's default is one name for the whole machine, so a second service,
/// in another network namespace, could not start, with or without huge pages.
/// There is one service in a network namespace (its sockets are named there),
/// so the namespace's number makes the name unique. Unlike a process id it
/// stays the same when the service is restarted, and huge pages and files that
/// a crash left behind are taken over.
fn default_file_prefix(extra: &[String]) -> Option<String> {
    let chosen = ["--file-prefix", "--in-memory", "--no-shconf", "--proc-type"];
    if chosen.iter().any(|name| gives(extra, name)) {
        return None;
    }
    let namespace = fs::metadata("/proc/self/ns/net").ok()?.ino();
    Some(format!("tas-{namespace}"))
}

/// The EAL's directory for run-time files, if it is the one of that prefix.
fn runtime_dir(prefix: &str) -> Option<PathBuf> {
    // SAFETY: returns NULL or a terminated string that lives as long as the
    // EAL; it is copied here.
    let dir = unsafe {
        let dir = dpdk_sys::rte_eal_get_runtime_dir();
        if dir.is_null() {
            return None;
        }
        CStr::from_ptr(dir)
    };
    let dir = PathBuf::from(dir.to_str().ok()?);
    (dir.file_name()? == prefix).then_some(dir)
}

fn start(arguments: &[CString], no_huge: bool) -> Result<(), NicError> {
    let mut argv: Vec<*mut c_char> = arguments.iter().map(|a| a.as_ptr().cast_mut()).collect();
    let argc = c_int::try_from(argv.len()).unwrap_or(c_int::MAX);
    argv.push(ptr::null_mut());
    // SAFETY: argv is an argument vector of argc strings and a NULL; the
    // strings live as long as the EAL, which may reorder the vector but does
    // not write to the strings.
    let parsed = unsafe { dpdk_sys::rte_eal_init(argc, argv.as_mut_ptr()) };
    if parsed < 0 {
        let hint = if no_huge {
            ""
        } else {
            "; without huge pages it needs --dpdk-extra=--no-huge"
        };
        return Err(NicError::EalInit {
            reason: last_error(),
            hint,
        });
    }
    // EAL moves what it does not know behind what it does, and puts the
    // program's name between them.
    let known = usize::try_from(parsed).unwrap_or(0);
    match argv.get(known + 1) {
        Some(&left) if !left.is_null() => {
            // SAFETY: an element of argv other than the final NULL is one of
            // our strings.
            let left = unsafe { CStr::from_ptr(left) };
            // SAFETY: the EAL is initialised and nothing uses it yet.
            unsafe { dpdk_sys::rte_eal_cleanup() };
            Err(NicError::UnknownArgument(
                left.to_string_lossy().into_owned(),
            ))
        }
        _ => Ok(()),
    }
}

fn main_lcore() -> c_uint {
    // SAFETY: a plain read of the EAL's configuration.
    unsafe { dpdk_sys::rte_get_main_lcore() }
}

fn worker_lcores() -> Vec<c_uint> {
    // SAFETY: plain reads of the EAL's configuration.
    let (count, next) = unsafe {
        (dpdk_sys::rte_lcore_count(), |id| {
            dpdk_sys::rte_get_next_lcore(id, 1, 0)
        })
    };
    // The search begins behind its argument, and -1 means from the start.
    let mut id = c_uint::MAX;
    (1..count)
        .map(|_| {
            id = next(id);
            id
        })
        .collect()
}

fn share_cpu(lcores: &[c_uint]) -> bool {
    // SAFETY: the pointer and the length describe one slice, of lcores that
    // the EAL knows.
    unsafe { dpdk_sys::tasnic_lcores_share_cpu(lcores.as_ptr(), lcores.len() as c_uint) }
}

/// CPUs this thread may run on.
fn allowed_cpus() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is an empty set; the call fills it, given
    // its size; CPU_ISSET is asked only for numbers below its capacity.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, mem::size_of_val(&set), &raw mut set) != 0 {
            return Vec::new();
        }
        (0..8 * mem::size_of_val(&set))
            .filter(|&cpu| libc::CPU_ISSET(cpu, &set))
            .collect()
    }
}

/// The option that gives `lcores` lcores on the CPUs there are.
fn example_mapping(lcores: usize, cpus: &[usize]) -> String {
    let cpus = if cpus.is_empty() { &[0] } else { cpus };
    let map: Vec<String> = (0..lcores)
        .zip(cpus.iter().cycle())
        .map(|(lcore, cpu)| format!("{lcore}@{cpu}"))
        .collect();
    format!("--dpdk-extra=--lcores={}", map.join(","))
}

#[cfg(test)]
mod tests;
