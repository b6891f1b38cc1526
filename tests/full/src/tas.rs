//! The service on a machine.

use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use crate::net::{INTERFACE, Net, Side};
use crate::program::{Finished, Program};
use crate::repository::product;

/// Port that servers in tests listen on.
pub const PORT: &str = "7777";

const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(15);

/// Where the shared regions and DPDK's memory are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// In /dev/shm and plain memory.
    Plain,
    /// In huge pages.
    Huge,
}

/// How the service is started.
#[derive(Clone, Debug)]
pub struct TasOptions {
    cores: usize,
    queues: Option<usize>,
    cpus: Option<Vec<usize>>,
    memory: Memory,
    vdev: Option<String>,
    descriptors: Option<usize>,
    extra: Vec<String>,
}

impl Default for TasOptions {
    fn default() -> TasOptions {
        TasOptions {
            cores: 1,
            queues: None,
            cpus: None,
            memory: Memory::Plain,
            vdev: None,
            descriptors: None,
            extra: Vec::new(),
        }
    }
}

impl TasOptions {
    /// One fast-path core, no huge pages, and otherwise what the service does
    /// by default.
    pub fn new() -> TasOptions {
        TasOptions::default()
    }

    /// Number of fast-path cores.
    pub fn cores(mut self, cores: usize) -> TasOptions {
        self.cores = cores;
        self
    }

    /// Number of queues of the port; otherwise one for each core.
    pub fn queues(mut self, queues: usize) -> TasOptions {
        self.queues = Some(queues);
        self
    }

    /// CPUs of the slow path and, from there on, of the cores; otherwise they
    /// take turns.
    pub fn cpus(mut self, cpus: &[usize]) -> TasOptions {
        self.cpus = Some(cpus.to_vec());
        self
    }

    /// Where memory comes from.
    pub fn memory(mut self, memory: Memory) -> TasOptions {
        self.memory = memory;
        self
    }

    /// Another port than the machine's veth interface.
    pub fn vdev(mut self, vdev: impl Into<String>) -> TasOptions {
        self.vdev = Some(vdev.into());
        self
    }

    /// Number of descriptors that the service may open.
    pub fn descriptors(mut self, most: usize) -> TasOptions {
        self.descriptors = Some(most);
        self
    }

    /// Bytes of both buffers of each connection.
    pub fn buffers(self, bytes: usize) -> TasOptions {
        self.arg(format!("--tcp-rxbuf-len={bytes}"))
            .arg(format!("--tcp-txbuf-len={bytes}"))
    }

    /// One more option.
    pub fn arg(mut self, arg: impl Into<String>) -> TasOptions {
        self.extra.push(arg.into());
        self
    }

    /// The whole command line for a machine.
    pub fn command_line(&self, side: Side) -> Vec<String> {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let cpu_of = |lcore: usize| match &self.cpus {
            Some(chosen) => chosen[lcore],
            None => lcore % cpus,
        };
        let lcores: Vec<String> = (0..=self.cores)
            .map(|lcore| format!("{lcore}@{}", cpu_of(lcore)))
            .collect();
        let queues = self.queues.unwrap_or(self.cores);
        let mut args = vec![
            format!("--ip-addr={}/24", side.ip()),
            format!("--fp-cores-max={}", self.cores),
            "--fp-no-xsumoffload".into(),
            "--quiet".into(),
            "--dpdk-extra=--no-pci".into(),
            match &self.vdev {
                Some(vdev) => format!("--dpdk-extra=--vdev={vdev}"),
                None => {
                    format!("--dpdk-extra=--vdev=net_af_packet0,iface={INTERFACE},qpairs={queues}")
                }
            },
            format!("--dpdk-extra=--lcores={}", lcores.join(",")),
        ];
        if self.memory == Memory::Plain {
            args.push("--fp-no-hugepages".into());
            args.push("--dpdk-extra=--no-huge".into());
        }
        args.extend(self.extra.iter().cloned());
        args
    }
}

/// A running service, killed when dropped.
pub struct Tas<'a> {
    net: &'a Net,
    side: Side,
    program: Program,
}

impl<'a> Tas<'a> {
    /// Starts the service and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(net: &'a Net, side: Side, options: &TasOptions) -> Tas<'a> {
        let tas = product("tas/tas");
        let mut program = match options.descriptors {
            None => net.start(side, tas, options.command_line(side)),
            Some(most) => {
                let mut args = vec![format!("--nofile={most}"), tas.display().to_string()];
                args.extend(options.command_line(side));
                net.start(side, "prlimit", args)
            }
        };
        program.wait_for("TAS ready", START);
        Tas { net, side, program }
    }

    /// The process.
    pub fn program(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Insists that it runs and has no connection left, giving those that end
    /// some time.
    ///
    /// # Panics
    /// Otherwise.
    pub fn is_idle(&mut self) {
        let mut flows = self.flows();
        for _ in 0..100 {
            if flows == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(100));
            flows = self.flows();
        }
        panic!("{flows} flows are left behind\n{}", self.program.err());
    }

    /// Number of connections, as statetool sees them.
    ///
    /// # Panics
    /// When the service does not run any more.
    pub fn flows(&mut self) -> usize {
        let ended = self.program.ended();
        assert!(
            ended.is_none(),
            "the service has ended: {ended:?}\n{}",
            self.program.err()
        );
        let state = self.net.run(self.side, product("tools/statetool"), [""; 0]);
        state
            .out
            .lines()
            .filter(|line| line.starts_with("flow "))
            .count()
    }

    /// The core of each flow group, as tools see it. Only without huge pages.
    ///
    /// # Panics
    /// When the service does not run any more.
    pub fn groups(&self) -> Vec<u16> {
        const PLACE: &str = "-j18889024";
        let args = ["-An", "-v", "-tu1", PLACE, "-N128", "/dev/shm/tas_internal"];
        let table = self.net.run(self.side, "od", args);
        let numbers = table.out.split_whitespace();
        numbers.map(|n| n.parse().expect("a number")).collect()
    }

    /// Cores that are on.
    ///
    /// # Panics
    /// As [`Tas::groups`].
    pub fn cores_on(&self) -> usize {
        let groups = self.groups();
        usize::from(groups.into_iter().max().unwrap_or(0)) + 1
    }

    /// Asks for a number of cores.
    pub fn scale(&self, cores: usize) -> Finished {
        let tool = product("tools/scaletool");
        let args = [cores.to_string()];
        self.net
            .start(self.side, tool, args)
            .finish(Duration::from_secs(20))
    }

    /// Ends the service in order, and returns what it wrote.
    ///
    /// # Panics
    /// When it does not end with status 0, or leaves something behind.
    pub fn stop(self) -> Finished {
        self.stop_with(Signal::TERM)
    }

    /// The same with another signal.
    ///
    /// # Panics
    /// As [`Tas::stop`].
    pub fn stop_with(mut self, signal: Signal) -> Finished {
        let ended = self.program.ended();
        assert!(
            ended.is_none(),
            "the service had ended by itself: {ended:?}\n{}",
            self.program.err()
        );
        self.program.signal(signal);
        let finished = self.program.finish(STOP).success();
        let left = self.net.left_behind(self.side);
        assert!(left.is_empty(), "left behind: {left:?}");
        finished
    }

    /// Kills the service, which leaves things behind.
    pub fn kill(self) {
        self.program.kill();
    }
}
