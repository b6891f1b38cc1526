//! A virtual machine on which the service has an emulated NIC, and Linux on the other end of its
//! cable.
//!
//! QEMU runs on [`Side::Far`], whose Linux stack has the tap interface behind the NIC. The guest is
//! what `tests/guest/image.sh` builds; it does what it is told over a serial line. Without the
//! processor's help (KVM) it is slow, so nothing here is about speed.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::net::{Net, Side};
use crate::program::Program;
use crate::repository::product;
use crate::tas::PORT;

/// Name of the tap interface.
const TAP: &str = "tap0";
/// The NIC's place in the guest, and its name in QEMU.
const SLOT: &str = "0000:00:04.0";
const NIC: &str = "nic0";
/// Processors of the guest: one for each thread of a service with two cores.
const CPUS: usize = 3;

const BOOT: Duration = Duration::from_secs(60);
const BOOTS: usize = 3;
/// What the guest says when it waits for commands.
const READY: &str = "@@ ready\n";
/// What it says when a command has succeeded.
const DONE: &str = "@@ 0\n";
const START: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(30);
const TICK: Duration = Duration::from_millis(50);

/// How the NIC is given to DPDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// By vfio-pci, behind an IOMMU.
    Vfio,
    /// By uio_pci_generic, in a guest without an IOMMU.
    Uio,
}

/// A kind of machine.
#[derive(Clone, Copy, Debug)]
pub struct Hardware {
    /// QEMU's device, with its properties.
    pub device: &'static str,
    /// Pairs of queues.
    pub queues: usize,
    /// How DPDK gets at it.
    pub binding: Binding,
}

/// A running guest. It ends when dropped.
pub struct Guest<'a> {
    net: &'a Net,
    qemu: Program,
    line: UnixStream,
    /// Of what has come by the line, what nobody has looked at.
    unread: Vec<u8>,
    directory: PathBuf,
}

impl<'a> Guest<'a> {
    /// Boots a guest, and binds its NIC to the driver that DPDK needs. Of some forty guests one
    /// does not get beyond its first steps: then it is switched off and on.
    ///
    /// # Panics
    /// When that does not succeed.
    pub fn boot(net: &'a Net, hardware: &Hardware) -> Guest<'a> {
        lay_cable(net, hardware.queues);
        let ready = |text: &str| text.find(READY).map(|at| at + READY.len());
        let mut guest = Guest::switch_on(net, hardware);
        for _ in 1..BOOTS {
            match guest.try_read_until(BOOT, ready) {
                Ok(_) => return guest.bound(hardware),
                Err(reason) => eprintln!("booting again: {reason}"),
            }
            drop(guest);
            guest = Guest::switch_on(net, hardware);
        }
        guest.read_until(BOOT, ready);
        guest.bound(hardware)
    }

    fn switch_on(net: &'a Net, hardware: &Hardware) -> Guest<'a> {
        let directory = env::temp_dir().join(format!("tas-guest-{}", process::id()));
        // What a test that was killed has left.
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir(&directory).expect("a directory for the guest's sockets");
        let qemu = Program::start("qemu", qemu(net, hardware, &directory));
        let line = connect(&directory.join("line"));
        Guest {
            net,
            qemu,
            line,
            unread: Vec::new(),
            directory,
        }
    }

    fn bound(mut self, hardware: &Hardware) -> Guest<'a> {
        let driver = match hardware.binding {
            Binding::Vfio => "vfio-pci",
            Binding::Uio => "uio_pci_generic",
        };
        self.run(&format!(
            "echo {driver} >/sys/bus/pci/devices/{SLOT}/driver_override && \
             echo {SLOT} >/sys/bus/pci/drivers_probe && test -e /sys/bus/pci/drivers/{driver}/{SLOT}"
        ));
        self
    }

    /// Runs a command of the guest's shell; returns what it printed.
    ///
    /// # Panics
    /// When it fails, or takes long.
    pub fn run(&mut self, command: &str) -> String {
        self.run_for(command, SHORT)
    }

    fn run_for(&mut self, command: &str, time: Duration) -> String {
        writeln!(self.line, "{command}").expect("the guest's serial line");
        let answer = self.read_until(time, |text| {
            let status = text.rfind("@@ ")?;
            Some(status + text[status..].find('\n')? + 1)
        });
        let (printed, status) = answer.split_at(answer.rfind("@@ ").unwrap_or(0));
        assert_eq!(
            status.trim(),
            "@@ 0",
            "in the guest, {command}:\n{printed}\n{}",
            self.log()
        );
        printed.to_owned()
    }

    /// Reads the line until `end` finds where in the text it ends.
    fn read_until(&mut self, time: Duration, end: impl Fn(&str) -> Option<usize>) -> String {
        match self.try_read_until(time, end) {
            Ok(text) => text,
            Err(reason) => panic!("{reason}"),
        }
    }

    fn try_read_until(
        &mut self,
        time: Duration,
        end: impl Fn(&str) -> Option<usize>,
    ) -> Result<String, String> {
        let deadline = Instant::now() + time;
        self.line
            .set_read_timeout(Some(TICK))
            .expect("a socket's timeout");
        loop {
            let mut text = String::from_utf8_lossy(&self.unread).into_owned();
            if let Some(end) = end(&text) {
                self.unread.clear();
                text.truncate(end);
                return Ok(text);
            }
            if let Some(status) = self.qemu.ended() {
                return Err(format!("QEMU has ended: {status}\n{}", self.qemu.err()));
            }
            if Instant::now() > deadline {
                let console = self.console();
                return Err(format!("no answer within {time:?}\n{text}\n{console}"));
            }
            let mut bytes = [0; 4096];
            match self.line.read(&mut bytes) {
                Ok(got) => self.unread.extend_from_slice(&bytes[..got]),
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    "the guest's serial line: {error}"
                ),
            }
        }
    }

    /// What the guest's kernel has said.
    fn console(&self) -> String {
        fs::read_to_string(self.directory.join("console")).unwrap_or_default()
    }

    /// Plugs the cable in or out, as the NIC sees it.
    ///
    /// # Panics
    /// When QEMU's monitor does not answer.
    pub fn set_link(&self, up: bool) {
        let mut monitor = connect(&self.directory.join("monitor"));
        monitor.set_read_timeout(Some(SHORT)).expect("a timeout");
        wait_for_prompt(&mut monitor);
        let to = if up { "on" } else { "off" };
        writeln!(monitor, "set_link {NIC} {to}").expect("QEMU's monitor");
        wait_for_prompt(&mut monitor);
    }

    /// Starts the service with so many cores, and waits until it is ready. `options` come behind
    /// those that it needs. Its memory is in huge pages where there is no IOMMU, since there DPDK
    /// needs physical addresses.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_tas(&mut self, cores: usize, binding: Binding, options: &str) {
        let memory = match binding {
            Binding::Vfio => "--fp-no-hugepages --dpdk-extra=--no-huge",
            Binding::Uio => "",
        };
        let lcores: Vec<_> = (0..=cores).map(|n| format!("{n}@{}", n % CPUS)).collect();
        self.run_for(
            &format!(
                "RUST_LOG=debug tas --ip-addr={}/24 --fp-cores-max={cores} --quiet --no-legacy \
                 --app-shm-len=67108864 --metrics-addr=127.0.0.1:9100 {memory} \
                 --dpdk-extra=--allow={SLOT} --dpdk-extra=--lcores={} {options} \
                 >/tmp/tas 2>&1 & tas=$!; \
                 until grep -q 'TAS ready' /tmp/tas || ! kill -0 $tas; do sleep 0.1; done; \
                 grep -q 'TAS ready' /tmp/tas",
                Side::Near.ip(),
                lcores.join(",")
            ),
            START,
        );
    }

    /// What the service and DPDK have said.
    ///
    /// # Panics
    /// When the guest does not answer.
    pub fn log(&mut self) -> String {
        // No insisting on success here: this is asked for when something has failed.
        writeln!(self.line, "cat /tmp/tas; true").expect("the guest's serial line");
        self.read_until(SHORT, |text| text.rfind(DONE).map(|at| at + DONE.len()))
    }

    /// Ends the service in order.
    ///
    /// # Panics
    /// When it does not end with status 0, or leaves something behind.
    pub fn stop_tas(&mut self) {
        self.run("kill $tas && wait $tas");
        let left = self.run("find /dev/shm /dev/hugepages -mindepth 1");
        assert_eq!(left, "", "left behind");
    }

    /// Kills the service, which leaves things behind.
    pub fn kill_tas(&mut self) {
        self.run("kill -9 $tas; wait $tas; true");
    }

    /// A counter of the service's cores, by core.
    ///
    /// # Panics
    /// When there is none of that name.
    pub fn counters(&mut self, name: &str) -> Vec<u64> {
        let text = self.run(&format!(
            "wget -qO- http://127.0.0.1:9100/metrics | grep '^tas_core_{name}_total'"
        ));
        text.lines()
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect()
    }

    /// Asks for a number of cores.
    pub fn scale(&mut self, cores: usize) {
        self.run(&format!("scaletool {cores}"));
    }

    /// Starts a program of `tests/c/bench` in the guest, to be waited for by [`Guest::finish`].
    pub fn start(&mut self, program: &str, args: &str) {
        self.run(&format!("{program} {args} >/tmp/out 2>&1 & program=$!"));
    }

    /// The same with one that listens; waits until it does.
    pub fn serve(&mut self, program: &str, args: &str) {
        self.start(program, args);
        self.run("until grep -q listening /tmp/out || ! kill -0 $program; do sleep 0.1; done");
    }

    /// Waits for the program, which succeeds.
    ///
    /// # Panics
    /// Otherwise, with what it wrote.
    pub fn finish(&mut self, time: Duration) {
        self.run_for("wait $program || { cat /tmp/out; false; }", time);
    }

    /// Kills the program.
    pub fn kill(&mut self) {
        self.run("kill $program; wait $program; true");
    }

    /// Connections that send so many messages of 64 KiB each way at the same time, from Linux to
    /// the guest; both ends check every byte. `meanwhile` is called until they have ended.
    ///
    /// # Panics
    /// When a byte is wrong or missing, or it takes too long.
    pub fn transfer(
        &mut self,
        messages: usize,
        connections: usize,
        time: Duration,
        mut meanwhile: impl FnMut(&mut Self),
    ) {
        self.serve("verify_ll", &format!("server {PORT} {connections} 65536"));
        let (messages, connections) = (messages.to_string(), connections.to_string());
        let verify = crate::repository::bench("verify_linux");
        let ip = Side::Near.ip();
        let args = ["client", ip, PORT, "65536", &messages, &connections];
        let mut client = self.net.start(Side::Far, verify, args);
        let end = Instant::now() + time;
        while client.ended().is_none() && Instant::now() < end {
            meanwhile(self);
            thread::sleep(TICK);
        }
        client.finish(TICK).success();
        self.finish(time);
    }

    /// The same with connections that the guest opens.
    ///
    /// # Panics
    /// As [`Guest::transfer`].
    pub fn transfer_to_linux(&mut self, messages: usize, connections: usize, time: Duration) {
        let verify = crate::repository::bench("verify_linux");
        let count = connections.to_string();
        let args = ["server", PORT, &count, "65536"];
        let mut server = self.net.start(Side::Far, verify, args);
        server.wait_for("listening", SHORT);
        let ip = Side::Far.ip();
        let args = format!("client {ip} {PORT} 65536 {messages} {connections}");
        self.start("verify_ll", &args);
        self.finish(time);
        server.finish(time).success();
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        // QEMU ends with `qemu`; what it has open may go before.
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Makes the tap interface, and gives it the address of Linux.
fn lay_cable(net: &Net, queues: usize) {
    let several = if queues > 1 { " multi_queue" } else { "" };
    let side = Side::Far;
    // There is one when a guest comes after another.
    net.start(side, "ip", ["link", "del", TAP]).finish(SHORT);
    // vnet_hdr: frames between the NIC and Linux can go without checksums.
    net.ip(
        side,
        &format!("tuntap add dev {TAP} mode tap vnet_hdr{several}"),
    );
    net.ip(side, &format!("addr add {}/24 dev {TAP}", side.ip()));
    net.ip(side, &format!("link set {TAP} up"));
}

/// The command that runs a guest.
fn qemu(net: &Net, hardware: &Hardware, directory: &Path) -> Command {
    let file = |name: &str| product(&format!("target/guest/{name}"));
    let socket = |name: &str| format!("unix:{},server=on,wait=off", directory.join(name).display());
    let several = match hardware.queues {
        1 => String::new(),
        queues => format!(",queues={queues}"),
    };
    // It ends with the test, however that ends.
    let mut command = net.command(Side::Far, "setpriv");
    command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi"]);
    // Five-level page tables are more than vfio expects of this IOMMU.
    command.args(["-cpu", "max,-la57", "-smp", &CPUS.to_string()]);
    command.args([
        "-m",
        "1200",
        "-nodefaults",
        "-display",
        "none",
        "-no-reboot",
    ]);
    command.arg("-kernel").arg(file("vmlinuz"));
    command.arg("-initrd").arg(file("initramfs"));
    command.args([
        "-append",
        "console=ttyS0 quiet panic=-1 mitigations=off intel_iommu=on hugepages=200",
    ]);
    let console = directory.join("console");
    command.args(["-serial", &format!("file:{}", console.display())]);
    command.args(["-serial", &socket("line"), "-monitor", &socket("monitor")]);
    if hardware.binding == Binding::Vfio {
        command.args(["-device", "intel-iommu,intremap=on"]);
    }
    command.args([
        "-netdev",
        &format!("tap,id=cable,ifname={TAP},script=no,downscript=no,vhost=off{several}"),
        "-device",
        &format!(
            "{},netdev=cable,id={NIC},addr=4,mac=52:54:00:12:34:56",
            hardware.device
        ),
    ]);
    command
}

/// QEMU's monitor prompts when it has done what it was told, and at first.
fn wait_for_prompt(monitor: &mut UnixStream) {
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"\n(qemu) ") {
        monitor.read_exact(&mut byte).expect("QEMU's monitor");
        said.push(byte[0]);
    }
}

fn connect(path: &Path) -> UnixStream {
    let end = Instant::now() + SHORT;
    loop {
        match UnixStream::connect(path) {
            Ok(stream) => return stream,
            Err(error) => assert!(
                Instant::now() < end,
                "QEMU does not listen on {}: {error}",
                path.display()
            ),
        }
        thread::sleep(TICK);
    }
}
