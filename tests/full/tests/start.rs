//! How the service starts, or says why it does not.

use std::time::Duration;

use tas_full_tests::{Finished, Memory, Net, Program, Side, Tas, TasOptions, product};

const TIME: Duration = Duration::from_secs(30);

/// Bad values of every option that takes one, beside `--ip-addr=10.0.0.1`.
const BAD: [&str; 118] = [
    "--ip-addr",
    "--ip-addr=",
    "--ip-addr=10.0.0",
    "--ip-addr=10.0.0.256",
    "--ip-addr=10.0.0.1/33",
    "--ip-addr=10.0.0.1/",
    "--ip-addr=host",
    "--ip-route=10.1.0.0/16",
    "--ip-route=10.1.0.0/16,",
    "--ip-route=10.1.0.1/16,10.0.0.9",
    "--ip-route=10.1.0.0/40,10.0.0.9",
    "--ip-route=,10.0.0.9",
    "--fp-cores-max=0",
    "--fp-cores-max=17",
    "--fp-cores-max=-1",
    "--fp-cores-max=two",
    "--fp-cores-max=1.5",
    "--fp-no-ints=1",
    "--fp-no-xsumoffload=yes",
    "--fp-no-autoscale=on",
    "--fp-no-hugepages=1",
    "--fp-vlan-strip=1",
    "--fp-poll-interval-tas=",
    "--fp-poll-interval-tas=soon",
    "--fp-poll-interval-tas=4294967296",
    "--fp-poll-interval-app=-5",
    "--fp-poll-interval-app=4294967296",
    "--dpdk-extra",
    "--shm-len=0",
    "--shm-len=1G",
    "--shm-len=-1",
    "--shm-len=18446744073709551616",
    "--app-shm-len=0",
    "--app-shm-len=much",
    "--app-shm-total=all",
    "--nic-rx-len=0",
    "--nic-rx-len=x",
    "--nic-tx-len=0",
    "--nic-tx-len=x",
    "--app-kin-len=0",
    "--app-kin-len=63",
    "--app-kin-len=4097",
    "--app-kout-len=0",
    "--app-kout-len=x",
    "--app-kout-len=5000",
    "--tcp-rtt-init=x",
    "--tcp-rtt-init=-1",
    "--tcp-link-bw=x",
    "--tcp-link-bw=0",
    "--tcp-rxbuf-len=0",
    "--tcp-rxbuf-len=2047",
    "--tcp-rxbuf-len=67108865",
    "--tcp-rxbuf-len=8k",
    "--tcp-txbuf-len=0",
    "--tcp-txbuf-len=2047",
    "--tcp-txbuf-len=67108865",
    "--tcp-txbuf-len=8k",
    "--tcp-handshake-timeout=x",
    "--tcp-handshake-timeout=-1",
    "--tcp-handshake-retries=x",
    "--tcp-handshake-retries=31",
    "--tcp-time-wait=x",
    "--tcp-rto-min=x",
    "--cc=",
    "--cc=reno",
    "--cc=DCTCP",
    "--cc-control-granularity=x",
    "--cc-control-interval=x",
    "--cc-control-interval=-1",
    "--cc-rexmit-ints=x",
    "--cc-rexmit-ints=-1",
    "--cc-dctcp-weight=x",
    "--cc-dctcp-weight=1.1",
    "--cc-dctcp-weight=-0.1",
    "--cc-dctcp-weight=nan",
    "--cc-dctcp-init=x",
    "--cc-dctcp-step=x",
    "--cc-dctcp-mimd=0.9",
    "--cc-dctcp-mimd=2.1",
    "--cc-dctcp-mimd=x",
    "--cc-dctcp-min=x",
    "--cc-dctcp-minpkts=x",
    "--cc-const-rate=x",
    "--cc-const-rate=-1",
    "--cc-timely-tlow=x",
    "--cc-timely-thigh=x",
    "--cc-timely-step=x",
    "--cc-timely-init=x",
    "--cc-timely-alpha=1.5",
    "--cc-timely-alpha=x",
    "--cc-timely-beta=1.5",
    "--cc-timely-beta=x",
    "--cc-timely-minrtt=x",
    "--cc-timely-minrate=x",
    "--arp-timeout=x",
    "--arp-timeout=-1",
    "--arp-timout=x",
    "--arp-timeout-max=x",
    "--arp-timeout-max=-1",
    "--kni-name",
    "--ready-fd=x",
    "--ready-fd=-1",
    "--quiet=yes",
    "--shm-mode=x",
    "--shm-mode=8",
    "--shm-group",
    "--shm-group=no-such-group-here",
    "--no-legacy=1",
    "--allow-uid=no-such-user-here",
    "--allow-gid=no-such-group-here",
    "--allow-low-ports=1",
    "--unknown",
    "--fp-cores",
    "-x",
    "stray",
    "--help=1",
    "--version=1",
    "--",
];

fn run(args: &[&str]) -> Finished {
    let mut command = std::process::Command::new(product("tas/tas"));
    command.args(args).stdin(std::process::Stdio::null());
    Program::start("tas", command).finish(TIME)
}

#[test]
fn bad_values() {
    let mut wrong = Vec::new();
    for bad in BAD {
        // After "--" something has to follow to be stray.
        let args: &[&str] = if bad == "--" {
            &["--ip-addr=10.0.0.1", "--", "stray"]
        } else {
            &["--ip-addr=10.0.0.1", bad]
        };
        let finished = run(args);
        let mut lines = finished.err.lines();
        let clear = lines.next().is_some_and(|line| line.starts_with("tas: "))
            && lines
                .next()
                .is_some_and(|line| line.starts_with("Usage: tas "));
        if finished.status.code() != Some(1) || !clear || !finished.out.is_empty() {
            wrong.push((bad, finished));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn missing_address() {
    let finished = run(&[]);
    assert_eq!(finished.status.code(), Some(1), "{finished:#?}");
    assert!(finished.err.contains("--ip-addr"), "{finished:#?}");
}

#[test]
fn help_and_version() {
    let help = run(&["--help"]).success();
    for option in [
        "--ip-addr",
        "--tcp-rxbuf-len",
        "--cc",
        "--dpdk-extra",
        "--ready-fd",
    ] {
        assert!(help.out.contains(option), "{help:#?}");
    }
    let version = run(&["--version"]).success();
    assert!(version.out.starts_with("tas "), "{version:#?}");
}

/// Starts with these arguments on a machine, fails, and says `reason`; nothing
/// stays behind.
fn fails(args: &[String], reason: &str) {
    let net = Net::new();
    let finished = net.start(Side::Near, product("tas/tas"), args).finish(TIME);
    assert!(
        finished.status.code().is_some_and(|code| code != 0),
        "{finished:#?}"
    );
    let said = finished
        .err
        .lines()
        .any(|line| line.starts_with("tas: ") && line.contains(reason));
    assert!(said, "does not say '{reason}': {finished:#?}");
    let left = net.left_behind(Side::Near);
    assert!(left.is_empty(), "left behind: {left:?}");
}

fn arguments(but: impl Fn(&String) -> bool, and: &[&str]) -> Vec<String> {
    let mut args = TasOptions::new().command_line(Side::Near);
    args.retain(|arg| !but(arg));
    args.extend(and.iter().map(|&arg| arg.to_owned()));
    args
}

#[test]
fn no_port() {
    fails(&arguments(|arg| arg.contains("--vdev"), &[]), "port");
}

#[test]
fn two_ports() {
    let second = "--dpdk-extra=--vdev=net_af_packet1,iface=lo";
    fails(&arguments(|_| false, &[second]), "net_af_packet1");
}

#[test]
fn missing_interface() {
    let wrong = "--dpdk-extra=--vdev=net_af_packet0,iface=nothere0";
    fails(&arguments(|arg| arg.contains("--vdev"), &[wrong]), "DPDK");
}

#[test]
fn missing_lcores() {
    let one = "--dpdk-extra=--lcores=0@0";
    fails(
        &arguments(|arg| arg.contains("--lcores"), &[one]),
        "--lcores=",
    );
}

#[test]
fn bad_eal_argument() {
    fails(
        &arguments(|_| false, &["--dpdk-extra=--no-such-thing"]),
        "DPDK",
    );
}

#[test]
fn ready_descriptor_is_not_open() {
    fails(&arguments(|_| false, &["--ready-fd=99"]), "99");
}

/// The statistics' format, which supervisors parse.
#[test]
fn statistics() {
    let net = Net::new();
    let args = arguments(|arg| arg == "--quiet", &[]);
    let mut tas = net.start(Side::Near, product("tas/tas"), args);
    tas.wait_for("stats: drops=", TIME);
    let out = tas.out();
    tas.signal(rustix::process::Signal::TERM);
    tas.finish(TIME).success();
    let host = out.lines().find(|line| line.starts_with("host ip: "));
    assert!(
        host.is_some_and(|line| line.contains("10.77.0.1") && line.contains(" MAC: ")),
        "{out}"
    );
    let line = out
        .lines()
        .find(|line| line.starts_with("stats: "))
        .expect("a line of statistics");
    let keys: Vec<&str> = line["stats: ".len()..]
        .split(' ')
        .filter_map(|pair| pair.split_once('='))
        .filter(|(_, number)| number.parse::<u64>().is_ok())
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys, ["drops", "k_rexmit", "ecn", "acks"], "{line}");
}

/// Asked for, and none there: the message says what to do.
#[test]
fn no_huge_pages() {
    let _pages = HugePages::set(0);
    let args = TasOptions::new()
        .memory(Memory::Huge)
        .command_line(Side::Near);
    fails(&args, "--fp-no-hugepages");
}

#[test]
fn huge_pages() {
    const PAGES: usize = 320;
    let _pages = HugePages::set(PAGES);
    let net = Net::with_linux(Side::Far);
    let free = free_pages();
    let _mount = HugeMount::new(&net);
    let options = TasOptions::new()
        .memory(Memory::Huge)
        .arg("--shm-len=67108864")
        .arg("--app-shm-len=67108864")
        .arg("--dpdk-extra=-m")
        .arg("--dpdk-extra=64");
    for _ in 0..2 {
        let tas = Tas::start(&net, Side::Near, &options);
        let mut server = net.start(
            Side::Near,
            tas_full_tests::bench("verify_ll"),
            ["server", "7777", "4"],
        );
        server.wait_for("listening", TIME);
        assert!(free_pages() < free, "no huge page is in use");
        net.start(
            Side::Far,
            tas_full_tests::bench("verify_linux"),
            ["client", Side::Near.ip(), "7777", "10000", "100", "4"],
        )
        .finish(TIME)
        .success();
        server
            .finish(TIME)
            .success()
            .says("verify: ok 4000000 bytes");
        tas.stop();
        let files = net.run(Side::Near, "ls", ["-A", HUGE_DIR]).out;
        assert!(files.is_empty(), "left behind: {files}");
        assert_eq!(free_pages(), free, "huge pages are left in use");
    }
}

const HUGE_DIR: &str = "/dev/hugepages";

/// /dev/hugepages, mounted on one machine only.
struct HugeMount {
    made: bool,
}

impl HugeMount {
    fn new(net: &Net) -> HugeMount {
        let mount = HugeMount {
            made: std::fs::create_dir(HUGE_DIR).is_ok(),
        };
        net.run(
            Side::Near,
            "mount",
            [
                "-t",
                "hugetlbfs",
                "-o",
                "pagesize=2M",
                "hugetlbfs",
                HUGE_DIR,
            ],
        );
        mount
    }
}

impl Drop for HugeMount {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_dir(HUGE_DIR);
        }
    }
}

const NR_HUGE_PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// Sets the number of the machine's 2 MiB pages until dropped.
struct HugePages(String);

impl HugePages {
    fn set(pages: usize) -> HugePages {
        let before = std::fs::read_to_string(NR_HUGE_PAGES).expect("huge pages of this kernel");
        let restore = HugePages(before);
        std::fs::write(NR_HUGE_PAGES, pages.to_string()).expect("set the number of huge pages");
        let now = std::fs::read_to_string(NR_HUGE_PAGES).expect("number of huge pages");
        assert_eq!(
            now.trim(),
            pages.to_string(),
            "this machine cannot give so many huge pages"
        );
        restore
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = std::fs::write(NR_HUGE_PAGES, self.0.trim());
    }
}

fn free_pages() -> usize {
    let path = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let text = std::fs::read_to_string(path).expect("free huge pages");
    text.trim().parse().expect("a number")
}
