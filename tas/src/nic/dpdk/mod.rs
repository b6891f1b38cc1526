//! The DPDK backend: [`Eal`] starts DPDK and its threads, [`Port`] opens the
//! one network port there must be and hands out its queues.
//!
//! Lifetimes follow from shared ownership: a queue keeps its port open, a port
//! keeps the EAL initialised. Packet buffers are not counted, since that would
//! cost every packet; instead the EAL gives its memory back only when no
//! buffer is left in use, and otherwise leaves that to the end of the process.
#![allow(unsafe_code)]

mod eal;
mod fds;
mod interface;
mod kernel;
mod looped;
mod packet;
mod port;
mod queue;
mod quirks;
mod reta;

pub use eal::{Eal, EalOptions};
pub use port::{Port, PortConf};
pub use queue::{DpdkFrame, DpdkQueue};
pub use reta::Reta;

use std::ffi::{CStr, c_int};

/// Why DPDK or its port cannot be used. Each is one line for the operator.
#[derive(Debug, thiserror::Error)]
pub enum NicError {
    /// An argument for the EAL holds a zero byte.
    #[error("--dpdk-extra={0:?}: an argument cannot contain a zero byte")]
    BadArgument(String),
    /// The EAL left an argument over that no option asked for.
    #[error("DPDK does not understand {0:?}; each --dpdk-extra is one argument")]
    UnknownArgument(String),
    /// The EAL did not start.
    #[error("DPDK failed to start: {reason} (its own messages are above){hint}")]
    EalInit {
        /// DPDK's error text.
        reason: String,
        /// What may help, with the punctuation in front; may be empty.
        hint: &'static str,
    },
    /// Fewer lcores than fast-path cores and the slow path need.
    #[error(
        "{needed} lcores are needed (one per fast-path core and one for the slow path) \
         but DPDK has {found}; several lcores can share a CPU: {example}"
    )]
    TooFewLcores {
        /// Fast-path cores + 1.
        needed: usize,
        /// Lcores the EAL has.
        found: usize,
        /// Options that map the lcores needed to the CPUs there are.
        example: String,
    },
    /// A core that does not exist, or that is still running.
    #[error("cannot start fast-path core {core}: {reason}")]
    Launch {
        /// Index of the fast-path core.
        core: usize,
        /// What is wrong.
        reason: String,
    },
    /// The work of a fast-path core panicked.
    #[error("fast-path core {0} failed")]
    CorePanicked(usize),
    /// No port.
    #[error(
        "DPDK found no network port (if one was asked for, its messages above say why); bind a \
         device to DPDK or add a virtual one, such as \
         --dpdk-extra=--vdev=net_af_packet0,iface=eth0"
    )]
    NoPort,
    /// More than one port.
    #[error("exactly one network port is needed but DPDK found {}: {}; \
             --dpdk-extra=--allow=DEVICE (or --no-pci) limits them", .0.len(), .0.join(", "))]
    SeveralPorts(
        /// Each as `device (driver)`.
        Vec<String>,
    ),
    /// The port spreads frames over more queues than would be polled.
    #[error(
        "{device} ({driver}) spreads frames over {max} queues but there are {needed} \
         fast-path cores: qpairs={needed} in its --vdev gives one each"
    )]
    UnpolledQueues {
        /// Name of the device.
        device: String,
        /// Name of its driver.
        driver: String,
        /// Queues it has.
        max: u16,
        /// Queues asked for.
        needed: u16,
    },
    /// The MTU asked for cannot be set.
    #[error("{device} ({driver}): cannot set an MTU of {mtu}: {reason}")]
    Mtu {
        /// Name of the device.
        device: String,
        /// Name of its driver.
        driver: String,
        /// MTU asked for, in bytes.
        mtu: u16,
        /// DPDK's error text.
        reason: String,
    },
    /// Buffers could not be allocated.
    #[error(
        "cannot allocate {buffers} packet buffers of {size} bytes: {reason}; reserve more huge \
         pages, or give DPDK more memory with --dpdk-extra=-m --dpdk-extra=MEGABYTES"
    )]
    NoMemory {
        /// Number of buffers.
        buffers: u32,
        /// Bytes of each.
        size: usize,
        /// DPDK's error text.
        reason: String,
    },
    /// A step of opening the port failed.
    #[error("{device} ({driver}): cannot {step}: {reason}")]
    Port {
        /// Name of the device.
        device: String,
        /// Name of its driver.
        driver: String,
        /// The step, as a verb phrase.
        step: &'static str,
        /// DPDK's error text.
        reason: String,
    },
}

/// DPDK's text for an error number, given positive or negative.
fn error_text(errno: c_int) -> String {
    // SAFETY: rte_strerror accepts any number and returns a terminated string
    // that stays valid until this thread's next call; it is copied here.
    unsafe { CStr::from_ptr(dpdk_sys::rte_strerror(errno.saturating_abs())) }
        .to_string_lossy()
        .into_owned()
}

/// The text for this thread's `rte_errno`.
fn last_error() -> String {
    // SAFETY: reads a thread-local variable.
    match unsafe { dpdk_sys::tasnic_errno() } {
        0 => "it gave no reason".into(),
        errno => error_text(errno),
    }
}
