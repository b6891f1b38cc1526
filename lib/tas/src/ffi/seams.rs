//! What a program may replace by definitions of its own: the functions that
//! talk to the service, and the data they leave behind.
//!
//! The library itself reaches these functions through their dynamic symbols.
//! A direct call would be inlined; an address that went through `black_box`
//! comes from the global offset table, where the program's definition wins.

use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use tas_abi::ll::{FLEXTCP_MAX_FTCPCORES, FlextcpContext};
use tas_abi::memif::FlexnicInfo;

use super::guard;
use crate::error::{Error, Result};
use crate::{handshake, service};

/// Start of the memory that offsets are relative to.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static flexnic_mem: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

/// The service's description of itself.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static flexnic_info: AtomicPtr<FlexnicInfo> = AtomicPtr::new(std::ptr::null_mut());

/// Eventfds that wake the cores.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static flexnic_evfd: [AtomicI32; FLEXTCP_MAX_FTCPCORES] =
    [const { AtomicI32::new(0) }; FLEXTCP_MAX_FTCPCORES];

/// Set by programs that want to know more; kept for them.
#[allow(non_upper_case_globals)]
#[unsafe(no_mangle)]
pub static debug_flextcp_on: AtomicI32 = AtomicI32::new(0);

/// Connects to the service.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_kernel_connect() -> c_int {
    guard("flextcp_kernel_connect", || service::connect().map(|()| 0))
}

/// Registers a context with the service and fills in its queues.
///
/// # Safety
/// `ctx` is null or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flextcp_kernel_newctx(ctx: *mut FlextcpContext) -> c_int {
    guard("flextcp_kernel_newctx", || {
        // SAFETY: the caller's promise.
        let ctx = unsafe { ctx.as_mut() }.ok_or(super::NULL)?;
        service::register_context(ctx).map(|()| 0)
    })
}

/// Wakes the slow path.
#[unsafe(no_mangle)]
pub extern "C" fn flextcp_kernel_kick() {
    guard("flextcp_kernel_kick", || {
        service::kick();
        Ok(0)
    });
}

/// Maps the service's description of itself and the memory shared with it.
///
/// # Safety
/// The arguments are null or point to pointers that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexnic_driver_connect(
    info: *mut *mut FlexnicInfo,
    mem_start: *mut *mut c_void,
) -> c_int {
    guard("flexnic_driver_connect", || {
        // SAFETY: the caller's promise.
        let places = unsafe { (info.as_mut(), mem_start.as_mut()) };
        let (Some(info), Some(mem)) = places else {
            return Err(super::NULL);
        };
        let regions = service::map_regions()?;
        *info = regions.info.as_ptr().cast();
        *mem = regions.mem.as_ptr().cast();
        Ok(0)
    })
}

/// Maps the service's own state, for tools that run with its rights.
///
/// # Safety
/// `int_mem_start` is null or points to a pointer that may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn flexnic_driver_internal(int_mem_start: *mut *mut c_void) -> c_int {
    guard("flexnic_driver_internal", || {
        // SAFETY: the caller's promise.
        let place = unsafe { int_mem_start.as_mut() }.ok_or(super::NULL)?;
        let info = info().ok_or(Error::misuse("not connected"))?;
        *place = handshake::map_internal(&info)?.as_ptr().cast();
        Ok(0)
    })
}

/// What `flextcp_init` does, by way of the replaceable functions.
pub(crate) fn init() -> Result<()> {
    let connect: extern "C" fn() -> c_int = black_box(flextcp_kernel_connect);
    if connect() != 0 {
        return Err(last_error());
    }
    let mut info = std::ptr::null_mut();
    let mut mem = std::ptr::null_mut();
    let map: unsafe extern "C" fn(*mut *mut FlexnicInfo, *mut *mut c_void) -> c_int =
        black_box(flexnic_driver_connect);
    // SAFETY: two live pointers.
    if unsafe { map(&mut info, &mut mem) } != 0 {
        return Err(last_error());
    }
    flexnic_mem.store(mem, Ordering::Release);
    flexnic_info.store(info, Ordering::Release);
    Ok(())
}

/// Registers a context by way of the replaceable function.
pub(crate) fn kernel_newctx(ctx: &mut FlextcpContext) -> Result<()> {
    let newctx: unsafe extern "C" fn(*mut FlextcpContext) -> c_int =
        black_box(flextcp_kernel_newctx);
    // SAFETY: a live context.
    if unsafe { newctx(ctx) } == 0 {
        Ok(())
    } else {
        Err(last_error())
    }
}

/// Wakes the slow path by way of the replaceable function.
pub(crate) fn kernel_kick() {
    let kick: extern "C" fn() = black_box(flextcp_kernel_kick);
    kick();
}

/// The errno of a replaceable function that failed and has said why.
fn last_error() -> Error {
    Error::expected(
        std::io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO),
    )
}

/// The address of an offset into the memory shared with the service.
pub(crate) fn mem_at(offset: u64) -> *mut u8 {
    let base = flexnic_mem.load(Ordering::Relaxed);
    if base.is_null() {
        // A program that replaces the service may use addresses as offsets.
        return std::ptr::with_exposed_provenance_mut(offset as usize);
    }
    base.cast::<u8>().wrapping_add(offset as usize)
}

/// Whether the service has described itself.
pub(crate) fn has_info() -> bool {
    !flexnic_info.load(Ordering::Relaxed).is_null()
}

fn info() -> Option<FlexnicInfo> {
    let info = flexnic_info.load(Ordering::Acquire);
    // SAFETY: null or the description that `flexnic_driver_connect` provided,
    // which stays mapped.
    (!info.is_null()).then(|| unsafe { info.read_unaligned() })
}

/// Cycles that a context polls before it sleeps; all ones for never.
pub(crate) fn poll_cycle_app() -> u64 {
    info().map_or(u64::MAX, |info| info.poll_cycle_app)
}

/// Cycles that the service polls before it sleeps; all ones for never.
pub(crate) fn poll_cycle_tas() -> u64 {
    info().map_or(u64::MAX, |info| info.poll_cycle_tas)
}

/// The eventfd that wakes a core.
pub(crate) fn core_evfd(core: u16) -> i32 {
    flexnic_evfd
        .get(usize::from(core))
        .map_or(-1, |fd| fd.load(Ordering::Relaxed))
}

/// Notes the eventfd that wakes a core.
pub(crate) fn set_core_evfd(core: usize, fd: i32) {
    if let Some(place) = flexnic_evfd.get(core) {
        place.store(fd, Ordering::Relaxed);
    }
}
