//! What setting an option does.

use std::ffi::c_int;
use std::time::Duration;

use rustix::io::Errno;
use tas_abi::ll::FlextcpContext;
use tas_ll::{ConnRef, calls};

use super::meaning::{Meaning, inherited_len, meaning};
use super::{BufferLen, Linger, Options};
use crate::engine::Locked;
use crate::socket::{Phase, State};
use crate::{Result, fork, listen, operation, ready, send};

/// Attempts to hand options to the service while its queue is full.
const ATTEMPTS: u32 = 1000;

/// Bytes of an option's value that [`was_set`] wants to see.
pub fn wanted_len(level: c_int, name: c_int) -> usize {
    let int = meaning(level, name).map_or(0, |_| size_of::<c_int>());
    inherited_len(level, name).map_or(int, |len| len.max(int))
}

/// An option was set, with a value that the kernel has found good.
///
/// # Errors
/// `EBADF`: closed meanwhile.
pub fn was_set(fd: c_int, level: c_int, name: c_int, value: &[u8]) -> Result<()> {
    let mut locked = operation::lock(fd)?;
    let options = &mut locked.state().options;
    options.inherited.tell(fd);
    if inherited_len(level, name).is_some() {
        options.inherited.note(level, name, value);
    }
    if let Some(meaning) = meaning(level, name) {
        options.take(meaning, value);
        act(&mut locked, meaning);
    }
    Ok(())
}

fn int(value: &[u8]) -> i32 {
    value
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes))
}

/// Two numbers that lie behind each other.
fn pair(value: &[u8]) -> (i64, i64) {
    let number = |part: &[u8]| match (part.first_chunk(), part.len()) {
        (Some(bytes), 8) => i64::from_ne_bytes(*bytes),
        _ => i64::from(int(part)),
    };
    let (first, second) = value.split_at(value.len() / 2);
    (number(first), number(second))
}

/// A time to wait, `None` for ever.
fn timeout(value: &[u8]) -> Option<Duration> {
    let (seconds, micros) = pair(value);
    let micros = u32::try_from(micros).unwrap_or(0);
    match u64::try_from(seconds) {
        Ok(0) if micros == 0 => None,
        Ok(seconds) => Some(Duration::new(seconds, micros.saturating_mul(1000))),
        // Linux does not wait at all then.
        Err(_) => Some(Duration::ZERO),
    }
}

fn linger(value: &[u8]) -> Linger {
    match pair(value) {
        (0, _) => Linger::Background,
        // Linux takes the seconds for unsigned.
        (_, seconds) => Linger::For(Duration::from_secs(u64::from(seconds as u32))),
    }
}

impl Options {
    /// Takes the value of an option.
    pub(super) fn take(&mut self, meaning: Meaning, value: &[u8]) {
        let number = int(value);
        let positive = u32::try_from(number).ok();
        match meaning {
            Meaning::ReceiveTimeout => self.receive_timeout = timeout(value),
            Meaning::SendTimeout => self.send_timeout = timeout(value),
            Meaning::Linger => self.linger = linger(value),
            Meaning::ReceiveBuffer => self.receive_buffer = Some(BufferLen::asked(number)),
            Meaning::SendBuffer => self.send_buffer = Some(BufferLen::asked(number)),
            // socket(7): at least 1; Linux takes a negative number for the greatest.
            Meaning::LowWater => self.low_water = positive.unwrap_or(u32::MAX).max(1),
            Meaning::Probes => self.probes.on = number != 0,
            Meaning::ProbesAfter => self.probes.idle = positive,
            Meaning::ProbesEvery => self.probes.interval = positive,
            Meaning::ProbesCount => self.probes.count = positive,
            Meaning::UserTimeout => self.user_timeout = positive.unwrap_or(0),
            Meaning::Cork => self.cork = number != 0,
            Meaning::NoDelay
            | Meaning::Error
            | Meaning::Listens
            | Meaning::Info
            | Meaning::SegmentMax
            | Meaning::PathMtu
            | Meaning::PeerName => {}
        }
    }
}

/// What follows at once.
fn act(locked: &mut Locked, meaning: Meaning) {
    let Ok(_turn) = fork::claim(locked) else {
        return;
    };
    let socket = locked.socket();
    let buffer = matches!(meaning, Meaning::ReceiveBuffer | Meaning::SendBuffer);
    if buffer && locked.state().phase == Phase::Listening {
        return listen::change_buffers(locked);
    }
    let (state, ctx) = locked.parts();
    if state.phase != Phase::Connected {
        return;
    }
    let Some(ctx) = ctx else { return };
    match meaning {
        Meaning::Cork | Meaning::NoDelay if !state.options.cork => {
            // Sending says so if the connection is broken.
            let _ = send::push_held(state, ctx, socket.conn());
        }
        Meaning::Probes
        | Meaning::ProbesAfter
        | Meaning::ProbesEvery
        | Meaning::ProbesCount
        | Meaning::UserTimeout => {
            let options = state.options.for_service().unwrap_or_default();
            tell_service(ctx, socket.conn(), &options);
        }
        Meaning::SendBuffer => {
            socket.conn().with(|c| state.options.limit_sending(c));
            ready::update(socket, state, 0);
        }
        Meaning::LowWater => ready::update(socket, state, 0),
        _ => {}
    }
}

/// Hands over what was set before the connection came about.
pub(crate) fn hand_over(ctx: &mut FlextcpContext, conn: ConnRef, state: &State) {
    if let Some(options) = state.options.for_service() {
        tell_service(ctx, conn, &options);
    }
}

/// The service takes requests while this waits, whatever the program does. Only
/// one that is stuck loses them.
fn tell_service(ctx: &mut FlextcpContext, conn: ConnRef, options: &calls::Options) {
    for _ in 0..ATTEMPTS {
        match calls::set_options(ctx, conn, options) {
            Err(error) if error.errno() == Errno::AGAIN.raw_os_error() => std::thread::yield_now(),
            // A service that does not know the request goes on as usual.
            Ok(()) | Err(_) => return,
        }
    }
}
