//! The benchmark from beginning to end.

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::isolation::HugePages;
use crate::loopback::{self, Connect, Echo, Pair, Times};
use crate::machine::Machine;
use crate::plan::{self, Algorithm, CONNECTS, Cell, Load, Setup, SocketsCell, Table, usual};
use crate::results::{Measured, Results};
use crate::service::{HUGE_PAGES, Service, command_line};
use crate::{Pages, Part, Run, memory, process, table};

/// Measures everything that `run` asks for.
pub fn run(run: &Run) -> Result<Results> {
    let run = &settled(run);
    let mut machine = Machine::this(run.fast_cpu, run.app_cpu)?;
    let _pages = match run.pages {
        Pages::Plain => None,
        Pages::Huge => Some(HugePages::reserve(HUGE_PAGES)?),
        Pages::Auto => HugePages::reserve(HUGE_PAGES)
            .inspect_err(|error| eprintln!("bench: {error:#}"))
            .ok(),
    };
    machine.huge_pages = _pages.is_some();
    let mut bench = Bench {
        run,
        times: Times {
            warmup_ms: run.warmup_ms,
            ms: run.ms,
        },
        machine: &machine,
        service: None,
    };
    let echo = bench.echo()?;
    let sockets = bench.sockets()?;
    let connect = bench.connect()?;
    bench.stop()?;
    let memory = bench.memory()?;
    Ok(Results {
        command: command_line(&machine, usual(), &run.service_arg),
        times: bench.times,
        echo,
        sockets,
        connect,
        memory,
        machine,
    })
}

/// What `--quick` means.
fn settled(run: &Run) -> Run {
    let mut run = run.clone();
    if run.quick {
        run.runs = 1;
        run.matrix_runs = 1;
        run.ms = run.ms.min(150);
        run.warmup_ms = run.warmup_ms.min(100);
    }
    if run.only.is_empty() {
        run.only = Part::value_variants().to_vec();
    }
    run
}

struct Bench<'a> {
    run: &'a Run,
    times: Times,
    machine: &'a Machine,
    service: Option<(Setup, Service)>,
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        self.run.only.contains(&part)
    }

    fn echo(&mut self) -> Result<Vec<Measured<Cell, Echo>>> {
        let mut cells = Vec::new();
        if self.wants(Part::Original) {
            cells.extend(plan::original());
        }
        if self.wants(Part::Matrix) {
            cells.extend(plan::matrix());
        }
        let mut all = Vec::new();
        for cell in by_setup(cells) {
            let runs = match cell.table {
                _ if cell.skipped.is_some() => 0,
                Table::Original => self.run.runs,
                Table::Matrix => self.run.matrix_runs,
            };
            let (load, setup) = (cell.load, cell.setup);
            let measured = self.repeat(cell, setup, runs, |machine, times| {
                loopback::echo(machine, load, times, false)
            })?;
            if let Some(run) = measured.echo() {
                eprintln!("{}", table::progress(&measured.cell, run));
            }
            all.push(measured);
        }
        Ok(all)
    }

    fn sockets(&mut self) -> Result<Vec<Measured<SocketsCell, Pair>>> {
        let mut all = Vec::new();
        if self.wants(Part::Sockets) {
            for cell in plan::sockets() {
                let runs = self.run.runs;
                let SocketsCell { load, idle } = cell;
                let low_level = self.repeat(cell, usual(), runs, |machine, times| {
                    Ok(match idle {
                        0 => Some(loopback::echo(machine, load, times, false)?),
                        _ => None,
                    })
                })?;
                let sockets = self.repeat(cell, usual(), runs, |machine, times| {
                    loopback::sockets(machine, load, idle, times)
                })?;
                all.push(pairs(cell, low_level, sockets));
            }
        }
        Ok(all)
    }

    fn connect(&mut self) -> Result<Vec<Measured<u32, Connect>>> {
        let mut all = Vec::new();
        if self.wants(Part::Connect) {
            for in_flight in CONNECTS {
                let runs = self.run.runs;
                all.push(self.repeat(in_flight, usual(), runs, |machine, times| {
                    loopback::connect(machine, in_flight, times)
                })?);
            }
        }
        Ok(all)
    }

    fn memory(&mut self) -> Result<Vec<Measured<plan::MemoryCell, f64>>> {
        let mut all = Vec::new();
        if self.wants(Part::Memory) {
            for cell in plan::memory() {
                let found = memory::measure(self.machine, cell, &self.run.service_arg);
                all.push(outcome(cell, found)?);
            }
        }
        Ok(all)
    }

    /// Runs a measurement so many times; the first failure ends it, and the
    /// service with it.
    fn repeat<C, R>(
        &mut self,
        cell: C,
        setup: Setup,
        runs: u32,
        once: impl Fn(&Machine, Times) -> Result<R>,
    ) -> Result<Measured<C, R>> {
        let mut measured = Measured {
            cell,
            runs: Vec::new(),
            failure: None,
        };
        for _ in 0..runs {
            let found = self
                .ready(setup)
                .and_then(|()| once(self.machine, self.times));
            match found {
                Ok(run) => measured.runs.push(run),
                Err(error) => {
                    process::check_stop()?;
                    eprintln!("bench: {error:#}");
                    self.service = None;
                    measured.failure = Some(format!("{error:#}"));
                    break;
                }
            }
        }
        Ok(measured)
    }

    /// Sees to it that a service with these options is there, without
    /// connections.
    fn ready(&mut self, setup: Setup) -> Result<()> {
        if let Some((current, service)) = &self.service
            && *current == setup
        {
            return service.clear();
        }
        self.stop()?;
        let service = Service::start(self.machine, setup, &self.run.service_arg)?;
        self.service = Some((setup, service));
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        match self.service.take() {
            Some((_, service)) => service.stop(),
            None => Ok(()),
        }
    }
}

/// Each run of the one beside one of the other.
fn pairs(
    cell: SocketsCell,
    low_level: Measured<SocketsCell, Option<Echo>>,
    sockets: Measured<SocketsCell, Echo>,
) -> Measured<SocketsCell, Pair> {
    let both = low_level.runs.into_iter().zip(sockets.runs);
    Measured {
        cell,
        runs: both
            .map(|(low_level, sockets)| Pair { low_level, sockets })
            .collect(),
        failure: low_level.failure.or(sockets.failure),
    }
}

fn outcome<C>(cell: C, found: Result<f64>) -> Result<Measured<C, f64>> {
    let mut measured = Measured {
        cell,
        runs: Vec::new(),
        failure: None,
    };
    match found {
        Ok(figure) => measured.runs.push(figure),
        Err(error) => {
            process::check_stop()?;
            eprintln!("bench: {error:#}");
            measured.failure = Some(format!("{error:#}"));
        }
    }
    Ok(measured)
}

/// In an order that needs few starts of the service.
fn by_setup(mut cells: Vec<Cell>) -> Vec<Cell> {
    // Stable: otherwise the order is as given.
    cells.sort_by_key(|cell| {
        let cc = match cell.setup.cc {
            Algorithm::ConstRate => 0,
            Algorithm::DctcpRate => 1,
            Algorithm::DctcpWin => 2,
        };
        (std::cmp::Reverse(cell.setup.buffer), cc)
    });
    cells
}

/// One short run of each kind, with the responses compared.
pub fn smoke() -> Result<()> {
    process::catch_signals()?;
    let machine = Machine::this(None, None)?;
    let times = Times {
        warmup_ms: 20,
        ms: 100,
    };
    let service = Service::start(&machine, usual(), &[])?;
    let load = Load {
        bytes: 1448,
        connections: 16,
        pending: 16,
    };
    let echo = loopback::echo(&machine, load, times, true)?;
    ensure!(echo.errors == 0 && echo.silent_connections == 0, "{echo:?}");
    service.clear()?;
    let sockets = loopback::sockets(&machine, load, 4, times)?;
    ensure!(sockets.silent_connections == 0, "{sockets:?}");
    service.clear()?;
    let connect = loopback::connect(&machine, 4, times)?;
    ensure!(connect.errors == 0, "{connect:?}");
    service.clear()?;
    service.stop()
}
