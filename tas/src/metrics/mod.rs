//! The statistics over HTTP, for Prometheus: `GET /metrics` on a socket of the host.
//!
//! A thread of its own accepts, and each request has a short-lived one; none of them touches more
//! than the numbers that cores and slow path write anyway. Clients are strangers: how many there
//! are, how long they take and how much they say is bounded.

mod http;
mod text;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use thiserror::Error;

use crate::stats::StatsPage;

/// Clients at a time; more are sent away.
const CLIENTS: usize = 8;
/// How long a client may take for its request, and again for its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A pause when the system has no descriptor or thread for a client.
const PAUSE: Duration = Duration::from_millis(100);
/// How nice the threads are: fast-path cores may share their processor.
const NICE: i32 = 10;

/// Why there is no endpoint.
#[derive(Debug, Error)]
#[error("--metrics-addr={addr}: {source}")]
pub struct MetricsError {
    addr: SocketAddr,
    source: io::Error,
}

/// The endpoint, until it is dropped.
pub struct Metrics {
    addr: SocketAddr,
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Metrics {
    /// Serves the numbers of a page on an address of the host.
    ///
    /// # Errors
    /// The address is taken or is not the host's.
    pub fn serve(addr: SocketAddr, page: Arc<StatsPage>) -> Result<Metrics, MetricsError> {
        Self::start(addr, page).map_err(|source| MetricsError { addr, source })
    }

    fn start(addr: SocketAddr, page: Arc<StatsPage>) -> io::Result<Metrics> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let thread = thread::Builder::new()
            .name("tas-metrics".to_owned())
            .spawn(move || {
                // Only a preference.
                let _ = rustix::process::setpriority_process(None, NICE);
                accept(&listener, &stopped, &page);
            })?;
        Ok(Metrics {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        // The thread sees the other end close.
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, stopped: &UnixStream, page: &Arc<StatsPage>) {
    let clients = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = [
            PollFd::new(listener, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        if poll(&mut fds, None).is_ok() && !fds[1].revents().is_empty() {
            return;
        }
        match listener.accept() {
            Ok((stream, _)) => attend(stream, &clients, page),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Out of descriptors, for instance.
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// One of the clients at a time.
struct Place(Arc<AtomicUsize>);

impl Place {
    /// A place, if there is one.
    fn take(clients: &Arc<AtomicUsize>) -> Option<Place> {
        let place = Place(Arc::clone(clients));
        (place.0.fetch_add(1, Ordering::Relaxed) < CLIENTS).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn attend(stream: TcpStream, clients: &Arc<AtomicUsize>, page: &Arc<StatsPage>) {
    let Some(place) = Place::take(clients) else {
        return;
    };
    let page = Arc::clone(page);
    // Without a thread for it, the client is sent away: the closure goes, and its stream.
    let _ = thread::Builder::new()
        .name("tas-metrics-get".to_owned())
        .spawn(move || {
            let _place = place;
            // The client's trouble, whatever it is.
            let _ = http::answer(&stream, PATIENCE, || text::exposition(&page));
        });
}

#[cfg(test)]
mod tests;
