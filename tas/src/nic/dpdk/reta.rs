//! The table by which a port spreads connections over its queues.

use std::ffi::c_int;
use std::sync::Arc;

use super::error_text;
use super::port::PortShared;
use crate::nic::Redirect;
use crate::types::CoreId;

/// The redirection table of an open port.
pub struct Reta {
    shared: Arc<PortShared>,
    driver: String,
    queues: u16,
    buckets: u16,
}

impl Reta {
    /// That of a port with so many queues, which has so many buckets.
    pub(super) fn new(shared: Arc<PortShared>, driver: String, queues: u16, buckets: u16) -> Reta {
        Reta {
            shared,
            driver,
            queues,
            buckets,
        }
    }
}

impl Redirect for Reta {
    fn redirect(&mut self, cores: &[CoreId]) -> Result<(), String> {
        // Cores without a queue get their frames from a core that has one.
        let queues: Vec<u16> = cores.iter().map(|core| core.0 % self.queues).collect();
        let reason = if queues.len() == usize::from(self.buckets) {
            match set_reta(self.shared.id, &queues) {
                Ok(()) => return Ok(()),
                Err(errno) => error_text(errno),
            }
        } else {
            format!("its table has {} entries", self.buckets)
        };
        Err(format!(
            "port {} ({}) cannot steer connections to queues: {reason}",
            self.shared.id, self.driver
        ))
    }
}

/// Sends hash bucket `i` to queue `queues[i]`; as many as the port has.
pub(super) fn set_reta(port: u16, queues: &[u16]) -> Result<(), c_int> {
    let len = u16::try_from(queues.len()).unwrap_or(u16::MAX);
    // SAFETY: the pointer and the length describe one slice; the port is open.
    match unsafe { dpdk_sys::tasnic_port_set_reta(port, queues.as_ptr(), len) } {
        0 => Ok(()),
        errno => Err(errno),
    }
}
