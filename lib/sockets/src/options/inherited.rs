//! Options that connections have from their listener.
//!
//! Their placeholders are new, and are told only once a program asks: most never do.

use std::ffi::c_int;
use std::sync::Arc;

use crate::ffi::kernel;

/// An option as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    level: c_int,
    name: c_int,
    value: Vec<u8>,
}

/// What was set, in the order in which it was set.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    settings: Arc<Vec<Setting>>,
    /// The placeholder does not know of them yet.
    untold: bool,
}

impl Inherited {
    /// Notes an option, which the placeholder has taken.
    pub fn note(&mut self, level: c_int, name: c_int, value: &[u8]) {
        let settings = Arc::make_mut(&mut self.settings);
        settings.retain(|setting| (setting.level, setting.name) != (level, name));
        settings.push(Setting {
            level,
            name,
            value: value.to_vec(),
        });
    }

    /// The same for a connection of the listener.
    pub fn for_connection(&self) -> Inherited {
        Inherited {
            settings: Arc::clone(&self.settings),
            untold: !self.settings.is_empty(),
        }
    }

    /// Tells the placeholder, if it does not know yet.
    pub fn tell(&mut self, fd: c_int) {
        if std::mem::take(&mut self.untold) {
            for setting in self.settings.iter() {
                // What the listener's placeholder took, this one takes.
                let _ = kernel::set_option(fd, setting.level, setting.name, &setting.value);
            }
        }
    }

    /// Names of options, in the order in which they were set.
    #[cfg(test)]
    pub fn names(&self) -> Vec<c_int> {
        self.settings.iter().map(|setting| setting.name).collect()
    }
}
