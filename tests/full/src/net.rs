//! Two machines and the cable between them.

use std::ffi::OsStr;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::path::Path;
use crate::program::{Finished, Program};

/// One of the two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// 10.77.0.1
    Near,
    /// 10.77.0.2
    Far,
}

impl Side {
    /// The machine's address, whichever stack has it.
    pub fn ip(self) -> &'static str {
        match self {
            Side::Near => "10.77.0.1",
            Side::Far => "10.77.0.2",
        }
    }
}

/// Name of the interface, on both machines.
pub(crate) const INTERFACE: &str = "veth0";
/// Names of the machine in the middle for the cables that end there.
const ENDS: [&str; 2] = ["near", "far"];
const PREFIX_LEN: u8 = 24;
const SHORT: Duration = Duration::from_secs(10);

/// Two machines joined by a veth pair. They have no names that could collide:
/// each lives as long as the process that keeps it, and that ends with the
/// test, whose end closes its stdin.
pub struct Net {
    near: Machine,
    far: Machine,
    /// Between them, if the cable is cut in two.
    middle: Option<Machine>,
}

struct Machine(Child);

/// A machine behind one of the two, which forwards to it. Their cable has the MTU of Ethernet.
pub struct Behind(Machine);

/// Name of the forwarding machine's end of the cable to one behind it.
const INNER: &str = "inner0";

impl Behind {
    /// The machine's address.
    pub const IP: &str = "198.51.100.2";
    /// The network that it is in.
    pub const NETWORK: &str = "198.51.100.0/24";

    /// Starts a program on it.
    pub fn start(
        &self,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Program {
        let mut command = self.0.command(program.as_ref());
        command.args(args);
        Program::start(&program.as_ref().to_string_lossy(), command)
    }

    /// Runs iproute2's `ip`.
    pub fn ip(&self, args: &str) {
        self.run("ip", args);
    }

    fn run(&self, program: &str, args: &str) {
        self.start(program, args.split(' ')).finish(SHORT).success();
    }
}

impl Net {
    /// Makes the machines, without addresses.
    ///
    /// # Panics
    /// When not called by root, or something that is needed is missing.
    #[expect(clippy::new_without_default, reason = "it is no plain value")]
    pub fn new() -> Net {
        let net = Net::machines(None);
        net.cable(&net.near, INTERFACE, &net.far, INTERFACE);
        net
    }

    /// Two machines whose cables end in a third, which hands nothing on until [`Net::impaired`].
    pub fn apart() -> Net {
        let net = Net::machines(Some(Machine::new()));
        if let Some(middle) = &net.middle {
            for (machine, end) in [(&net.near, ENDS[0]), (&net.far, ENDS[1])] {
                net.cable(machine, INTERFACE, middle, end);
                // Frames are for the other machine.
                net.run_in(middle, "ip", ["link", "set", end, "promisc", "on"]);
            }
        }
        net
    }

    fn machines(middle: Option<Machine>) -> Net {
        assert!(
            rustix::process::geteuid().is_root(),
            "the full-system tests make network namespaces and need root: \
             run `make check-full`, or as root `cargo test -p tas-full-tests --release`"
        );
        Net {
            near: Machine::new(),
            far: Machine::new(),
            middle,
        }
    }

    /// Joins two machines.
    fn cable(&self, one: &Machine, name: &str, other: &Machine, other_name: &str) {
        let pid = other.0.id();
        let add = format!("link add {name} type veth peer name {other_name} netns {pid}");
        self.run_in(one, "ip", add.split(' '));
        for (machine, name) in [(one, name), (other, other_name)] {
            // As a NIC would, the cable carries whole frames: checksums are
            // filled in, and no segment is larger than the MTU.
            let offloads = format!("-K {name} tx off rx off tso off gso off gro off");
            self.run_in(machine, "ethtool", offloads.split(' '));
            self.run_in(machine, "ip", ["link", "set", "lo", "up"]);
            self.run_in(machine, "ip", ["link", "set", name, "up"]);
        }
    }

    /// Joins machines that are apart by a path, until the program is killed. `impair` is the
    /// program of that name of this package.
    ///
    /// # Panics
    /// When it does not start, or the machines are joined already.
    pub fn impaired(&self, impair: &std::path::Path, path: &Path) -> Program {
        let middle = self.middle.as_ref().expect("machines that are apart");
        let mut command = middle.command(impair);
        command.args(ENDS).arg(path.to_string());
        let mut program = Program::start("impair", command);
        program.wait_for("forwarding", SHORT);
        program
    }

    /// The same, and the Linux stack of `side` has the machine's address.
    pub fn with_linux(side: Side) -> Net {
        let net = Net::new();
        net.give_linux(side);
        net
    }

    /// Gives the machine's address to its Linux stack.
    pub fn give_linux(&self, side: Side) {
        self.ip(
            side,
            &format!("addr add {}/{PREFIX_LEN} dev {INTERFACE}", side.ip()),
        );
    }

    /// A machine behind `side`, whose Linux stack has an address already and becomes a router. The
    /// way from there has the MTU `mtu`: of what is larger, the router tells the sender.
    pub fn behind(&self, side: Side, mtu: u16) -> Behind {
        let behind = Behind(Machine::new());
        let pid = behind.0.0.id();
        self.ip(
            side,
            &format!("link add {INNER} type veth peer name {INTERFACE} netns {pid}"),
        );
        let offloads = "tx off rx off tso off gso off gro off";
        self.run(side, "ethtool", format!("-K {INNER} {offloads}").split(' '));
        self.ip(side, &format!("link set {INNER} up"));
        self.ip(
            side,
            &format!("route add {} dev {INNER} mtu lock {mtu}", Behind::NETWORK),
        );
        self.run(side, "sh", ["-ec", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
        behind.run("ethtool", &format!("-K {INTERFACE} {offloads}"));
        for args in [
            "link set lo up".to_owned(),
            format!("link set {INTERFACE} up"),
            format!("addr add {}/{PREFIX_LEN} dev {INTERFACE}", Behind::IP),
            format!("route add {} dev {INTERFACE}", side.ip()),
            format!("route add default via {}", side.ip()),
        ] {
            behind.ip(&args);
        }
        behind
    }

    /// Sets the congestion control of the connections of the machine's Linux stack.
    pub fn set_congestion_control(&self, side: Side, name: &str) {
        // As a route's metric, since a namespace may not have any of its own as default.
        let network = "10.77.0.0/24";
        self.ip(
            side,
            &format!(
                "route replace {network} dev {INTERFACE} proto kernel scope link src {} congctl {name}",
                side.ip()
            ),
        );
    }

    /// Sets the MTU of the machine's end of the cable, in bytes. The cable drops what is larger
    /// than the receiving end's.
    pub fn set_mtu(&self, side: Side, mtu: u16) {
        self.ip(side, &format!("link set {INTERFACE} mtu {mtu}"));
    }

    /// Frames and bytes that the machine's end of the cable has received.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn received(&self, side: Side) -> (u64, u64) {
        let table = self.run(side, "cat", ["/proc/net/dev"]).out;
        let counts: Vec<u64> = table
            .lines()
            .filter_map(|line| line.trim().strip_prefix(INTERFACE)?.strip_prefix(':'))
            .flat_map(str::split_whitespace)
            .filter_map(|count| count.parse().ok())
            .collect();
        (counts[1], counts[0])
    }

    /// Packets that reached the IP layer of the machine's Linux stack.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn ip_received(&self, side: Side) -> u64 {
        let table = self.run(side, "cat", ["/proc/net/snmp"]).out;
        let mut lines = table.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (names, counts) = (lines.next().unwrap(), lines.next().unwrap());
        names
            .split_whitespace()
            .zip(counts.split_whitespace())
            .find_map(|(name, count)| (name == "InReceives").then(|| count.parse().unwrap()))
            .expect("InReceives")
    }

    /// A command that runs on a machine.
    pub fn command(&self, side: Side, program: impl AsRef<OsStr>) -> Command {
        self.machine(side).command(program)
    }

    /// Starts a program on a machine.
    pub fn start(
        &self,
        side: Side,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Program {
        let mut command = self.command(side, program.as_ref());
        command.args(args);
        Program::start(&program.as_ref().to_string_lossy(), command)
    }

    /// Runs a program that succeeds at once.
    pub fn run(
        &self,
        side: Side,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Finished {
        self.start(side, program, args).finish(SHORT).success()
    }

    fn run_in(
        &self,
        machine: &Machine,
        program: &str,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) {
        let mut command = machine.command(program);
        command.args(args);
        Program::start(program, command).finish(SHORT).success();
    }

    /// Runs iproute2's `ip`.
    pub fn ip(&self, side: Side, args: &str) {
        self.run(side, "ip", args.split(' '));
    }

    /// What is in the machine's /dev/shm, and which abstract sockets of the
    /// service it has.
    pub fn left_behind(&self, side: Side) -> Vec<String> {
        let files = self.run(side, "find", ["/dev/shm", "-mindepth", "1"]).out;
        let sockets = self.run(side, "cat", ["/proc/net/unix"]).out;
        files
            .lines()
            .chain(
                sockets
                    .lines()
                    .filter_map(|line| line.split_whitespace().nth(7))
                    .filter(|name| name.starts_with("@tas") || name.starts_with("@flexnic_os")),
            )
            .map(str::to_owned)
            .collect()
    }

    fn machine(&self, side: Side) -> &Machine {
        match side {
            Side::Near => &self.near,
            Side::Far => &self.far,
        }
    }
}

impl Machine {
    fn new() -> Machine {
        let keeper = Command::new("unshare")
            .args(["--net", "--mount", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare of util-linux");
        let machine = Machine(keeper);
        machine.wait_until_made();
        let pid = machine.0.id().to_string();
        let mounted = Command::new("nsenter")
            .args(["--target", &pid, "--net", "--mount", "--", "sh", "-ec"])
            .arg(
                "mount -t tmpfs tmpfs /dev/shm
                 for conf in all default; do
                     echo 1 >/proc/sys/net/ipv6/conf/$conf/disable_ipv6 || true
                 done 2>/dev/null",
            )
            .status();
        assert!(
            mounted.is_ok_and(|status| status.success()),
            "cannot mount a /dev/shm of its own"
        );
        machine
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.0.id().to_string()])
            .args(["--net", "--mount", "--"])
            .arg(program)
            .stdin(Stdio::null());
        command
    }

    /// The mounts are private once unshare has become what it runs.
    fn wait_until_made(&self) {
        let comm = format!("/proc/{}/comm", self.0.id());
        let end = Instant::now() + SHORT;
        while fs::read_to_string(&comm).is_ok_and(|name| name != "cat\n") {
            assert!(Instant::now() < end, "unshare takes too long");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
