//! Processes with a bounded life.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const TICK: Duration = Duration::from_millis(10);

/// A running process, killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    out: Arc<Mutex<String>>,
    err: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// What came of a process.
#[derive(Debug)]
pub struct Finished {
    /// Its name, for messages.
    pub name: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
}

impl Finished {
    /// Insists on exit status 0.
    ///
    /// # Panics
    /// With what it wrote, otherwise.
    pub fn success(self) -> Finished {
        assert!(self.status.success(), "failed: {self:#?}");
        self
    }

    /// Insists that stdout contains `text`.
    ///
    /// # Panics
    /// With what it wrote, otherwise.
    pub fn says(self, text: &str) -> Finished {
        assert!(self.out.contains(text), "does not say '{text}': {self:#?}");
        self
    }

    /// The number after `key` on stdout, as in `messages=12`.
    ///
    /// # Panics
    /// When there is none.
    pub fn number(&self, key: &str) -> f64 {
        let (_, rest) = self
            .out
            .rsplit_once(&format!("{key}="))
            .unwrap_or_else(|| panic!("no {key}= in {self:#?}"));
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        rest[..end]
            .parse()
            .unwrap_or_else(|_| panic!("no number after {key}= in {self:#?}"))
    }
}

impl Program {
    /// Starts a process. Its stdin is empty unless the command says otherwise.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, mut command: Command) -> Program {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (out, err) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().expect("piped"), Arc::clone(&out)),
            collect(child.stderr.take().expect("piped"), Arc::clone(&err)),
        ];
        Program {
            name: name.to_owned(),
            child,
            out,
            err,
            readers,
        }
    }

    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout.
    pub fn out(&self) -> String {
        lock(&self.out).clone()
    }

    /// What it has written to stderr.
    pub fn err(&self) -> String {
        lock(&self.err).clone()
    }

    /// Waits until stdout contains `text`.
    ///
    /// # Panics
    /// When that does not happen within `time`, or the process ends first.
    pub fn wait_for(&mut self, text: &str, time: Duration) {
        let end = Instant::now() + time;
        while !lock(&self.out).contains(text) {
            let ended = self.ended();
            // What it wrote last may still be on its way.
            if let Some(status) = ended {
                self.join_readers();
                assert!(
                    lock(&self.out).contains(text),
                    "{} ended before it said '{text}': {status}\n{}{}",
                    self.name,
                    self.out(),
                    self.err()
                );
                return;
            }
            assert!(
                Instant::now() < end,
                "{} did not say '{text}' within {time:?}\n{}{}",
                self.name,
                self.out(),
                self.err()
            );
            thread::sleep(TICK);
        }
    }

    /// Whether and how it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for a child")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When that takes longer than `time`.
    pub fn finish(mut self, time: Duration) -> Finished {
        let end = Instant::now() + time;
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(
                Instant::now() < end,
                "{} did not end within {time:?}\n{}{}",
                self.name,
                self.out(),
                self.err()
            );
            thread::sleep(TICK);
        };
        self.join_readers();
        Finished {
            name: self.name.clone(),
            status,
            out: self.out(),
            err: self.err(),
        }
    }

    /// Ends it abruptly.
    pub fn kill(self) {
        drop(self);
    }

    fn join_readers(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join_readers();
    }
}

fn lock(text: &Mutex<String>) -> MutexGuard<'_, String> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(from: impl Read + Send + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            lock(&to).push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
