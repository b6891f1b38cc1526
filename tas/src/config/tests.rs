use std::collections::BTreeSet;
use std::iter;

use super::*;

fn parse(args: &[&str]) -> Result<Config, CliExit> {
    Config::parse_from(iter::once("tas").chain(args.iter().copied()))
}

/// The configuration of `args` behind a valid address.
fn with(args: &[&str]) -> Config {
    let all: Vec<_> = iter::once("--ip-addr=10.0.0.1/24")
        .chain(args.iter().copied())
        .collect();
    parse(&all).unwrap()
}

/// The first line of the complaint about `args`, all of whose form is checked.
fn complaint(args: &[&str]) -> String {
    let exit = parse(args).expect_err(&format!("{args:?} is accepted"));
    assert_eq!(exit.status, 1, "{args:?}");
    assert_eq!(exit.stdout, "", "{args:?}");
    let lines: Vec<_> = exit.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{args:?}: {}", exit.stderr);
    assert!(lines[0].starts_with("tas: "), "{args:?}: {}", lines[0]);
    assert!(lines[1].starts_with("Usage: tas "), "{args:?}");
    lines[0].to_owned()
}

/// Options that take a value, each with values that are wrong by themselves.
const BAD_VALUES: &[(&str, &[&str])] = &[
    (
        "ip-addr",
        &[
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1/33",
            "10.0.0.1/",
            "10.0.0.1/x",
            "10.0.0.1/-1",
            "10.0.0.1/24/1",
            "::1",
            "host",
            " 10.0.0.1",
            "0.0.0.0",
            "127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "/24",
            "10.0.0.1/+8",
            "10.0.0.1\n10.0.0.2",
            "10.0.0.0/24",
            "10.0.0.255/24",
            "10.0.0.3/30",
            "10.255.255.255/8",
        ],
    ),
    (
        "ip-route",
        &[
            "10.1.0.0/16",
            "10.1.0.0/16,",
            ",10.0.0.9",
            "10.1.0.1/16,10.0.0.9",
            "10.1.0.0/33,10.0.0.9",
            "10.1.0.0/16,10.0.0",
            "10.1.0.0/16,10.0.0.9,10.0.0.8",
            "10.1.0.0/16,0.0.0.0",
            "10.1.0.5,10.1.0.5",
            "1.2.3.4/0,10.0.0.9",
        ],
    ),
    ("arp-timeout", &["0", "x", "60000001", "-1", "1.5"]),
    ("arp-timeout-max", &["0", "x", "4294967296"]),
    (
        "kni-name",
        &["sixteen-letters!", "a/b", "a b", ".", "..", "a:b", "ü"],
    ),
    (
        "fp-cores-max",
        &[
            "0",
            "17",
            "x",
            "-1",
            "+1",
            "1 ",
            "0x1",
            "99999999999999999999",
        ],
    ),
    ("fp-poll-interval-tas", &["4294967296", "-1", "x"]),
    ("fp-poll-interval-app", &["4294967296", "-1", "x"]),
    ("dpdk-extra", &[]),
    ("trace", &["", "rxpkt,", "rxpkt,x", "ALL", "all,x", "1"]),
    (
        "metrics-addr",
        &[
            "",
            "9464",
            "localhost:9464",
            "127.0.0.1",
            "127.0.0.1:0",
            "127.0.0.1:65536",
        ],
    ),
    ("trace-len", &["0", "131071", "1073741825", "1M"]),
    ("trace-snap", &["-1", "65536", "x"]),
    (
        "shm-len",
        &[
            "0",
            "1G",
            "2097151",
            "1099511627777",
            "18446744073709551616",
            "-1",
        ],
    ),
    ("app-shm-len", &["0", "1G", "2097151", "1099511627777"]),
    ("app-shm-total", &["0", "x", "35184372088833"]),
    ("nic-rx-len", &["0", "15", "1048577", "x"]),
    ("nic-tx-len", &["0", "15", "1048577", "x"]),
    ("app-kin-len", &["0", "4095", "4160x", "4100", "67108928"]),
    ("app-kout-len", &["0", "4095", "x", "4100", "67108928"]),
    ("tcp-rtt-init", &["0", "x", "60000001"]),
    ("tcp-link-bw", &["0", "x", "1001", "2.5"]),
    ("tcp-rxbuf-len", &["0", "2047", "67108865", "8k"]),
    ("tcp-txbuf-len", &["0", "2047", "67108865", "8k"]),
    ("tcp-handshake-timeout", &["0", "x", "60000001"]),
    ("tcp-handshake-retries", &["31", "x", "-1"]),
    ("tcp-time-wait", &["x", "600000001"]),
    ("tcp-rto-min", &["0", "x", "60000001"]),
    ("tcp-path-mtu-min", &["127", "x", "65536"]),
    ("cc", &["x", "DCTCP-RATE", "dctcp"]),
    ("cc-control-granularity", &["0", "x", "60000001"]),
    ("cc-control-interval", &["0", "x", "10001"]),
    ("cc-rexmit-ints", &["0", "x", "10001"]),
    (
        "cc-dctcp-weight",
        &["-0.1", "1.01", "nan", "inf", "x", "0,5"],
    ),
    ("cc-dctcp-init", &["0", "x", "4294967296"]),
    ("cc-dctcp-step", &["0", "x", "4294967296"]),
    ("cc-dctcp-mimd", &["0.99", "2.01", "nan", "x"]),
    ("cc-dctcp-min", &["-1", "x", "4294967296"]),
    ("cc-dctcp-minpkts", &["-1", "x", "1000001"]),
    ("cc-const-rate", &["-1", "x", "4294967296"]),
    ("cc-timely-tlow", &["-1", "x", "60000001"]),
    ("cc-timely-thigh", &["0", "x", "60000001"]),
    ("cc-timely-step", &["0", "x", "4294967296"]),
    ("cc-timely-init", &["0", "x", "4294967296"]),
    ("cc-timely-alpha", &["-0.1", "1.1", "nan", "x"]),
    ("cc-timely-beta", &["-0.1", "1.1", "nan", "x"]),
    ("cc-timely-minrtt", &["0", "x", "60000001"]),
    ("cc-timely-minrate", &["-1", "x", "4294967296"]),
    ("shm-mode", &["060", "1777", "8", "rw", "400", "-1", "+660"]),
    ("shm-group", &["no-such-group", "4294967295", "-1"]),
    ("allow-uid", &["no-such-user", "4294967295", "-1"]),
    ("allow-gid", &["no-such-group", "4294967295", "-1"]),
    ("ready-fd", &["-1", "x", "2147483648"]),
];

#[test]
fn bad_values_are_named_with_their_option() {
    for (option, values) in BAD_VALUES {
        for value in iter::once("").chain(values.iter().copied()) {
            for args in [
                &[&format!("--{option}={value}") as &str] as &[_],
                &[&format!("--{option}") as &str, value],
            ] {
                let line = complaint(args);
                assert!(line.contains(&format!("--{option}")), "{args:?}: {line}");
            }
        }
    }
}

#[test]
fn options_without_their_value_are_named() {
    for (option, _) in BAD_VALUES {
        let option = format!("--{option}");
        let line = complaint(&["--ip-addr=10.0.0.1", &option]);
        assert_eq!(line, format!("tas: {option} needs a value"));
    }
}

#[test]
fn every_option_is_in_the_tables() {
    let defined: BTreeSet<_> = command()
        .get_arguments()
        .filter(|a| a.get_action().takes_values())
        .filter_map(|a| a.get_long().map(str::to_owned))
        .collect();
    let tested = BAD_VALUES.iter().map(|(o, _)| (*o).to_owned()).collect();
    assert_eq!(defined, tested);
}

#[test]
fn switches_take_no_value() {
    for switch in command()
        .get_arguments()
        .filter(|a| !a.get_action().takes_values())
    {
        let name = switch.get_long().unwrap();
        let line = complaint(&["--ip-addr=10.0.0.1", &format!("--{name}=1")]);
        assert!(line.contains(&format!("--{name} takes no value")), "{line}");
    }
}

#[test]
fn unknown_options_and_stray_arguments_are_refused() {
    for (args, expected) in [
        (&["--bogus"] as &[_], "tas: unknown option '--bogus'"),
        (&["--fp-core-max=1"], "did you mean '--fp-cores-max'?"),
        (&["-x"], "tas: unknown option '-x'"),
        (
            &["--ip-addr=10.0.0.1", "stray"],
            "tas: unexpected argument 'stray'",
        ),
        (&["--ip-addr=10.0.0.1", "--", "--quiet"], "--quiet'"),
        (&["--ip-addr=10.0.0.1", ""], "tas: unexpected argument ''"),
        (
            &["--ip-addr", "10.0.0.1", "10.0.0.2"],
            "tas: unexpected argument '10.0.0.2'",
        ),
        (
            &["--x\nforged line"],
            "tas: unknown option '--x\\nforged line'",
        ),
        // An ambiguous beginning of several names.
        (&["--fp-no"], "tas: unknown option '--fp-no'"),
    ] {
        let line = complaint(args);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
}

#[cfg(unix)]
#[test]
fn arguments_that_are_not_utf8_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let odd = OsString::from_vec(b"--kni-name=\xff".to_vec());
    let exit = Config::parse_from([OsString::from("tas"), odd]).unwrap_err();
    assert_eq!(exit.status, 1);
    assert_eq!(exit.stderr.lines().count(), 3);
}

#[test]
fn checks_across_options() {
    let ip = "--ip-addr=10.0.0.1/24";
    let seventeen: Vec<_> = (1..=17).map(|i| format!("--ip-addr=10.0.0.{i}")).collect();
    let routes: Vec<_> = (0..65)
        .map(|i| format!("--ip-route=10.9.0.{i},10.0.0.9"))
        .collect();
    let mut many_routes: Vec<_> = routes.iter().map(String::as_str).collect();
    many_routes.push(ip);
    let many_addresses: Vec<_> = seventeen.iter().map(String::as_str).collect();
    for (args, expected) in [
        (&[] as &[&str], "--ip-addr is missing"),
        (&["--quiet"], "--ip-addr is missing"),
        (&[ip, "--ip-addr=10.0.0.1/8"], "10.0.0.1 is given twice"),
        (&many_addresses, "--ip-addr is given 17 times"),
        (&many_routes, "--ip-route is given 65 times"),
        (&[ip, "--ip-route=10.1.0.0/16,10.0.0.1"], "own address"),
        (
            &[
                ip,
                "--ip-route=10.1.0.0/16,10.0.0.8",
                "--ip-route=10.1.0.0/16,10.0.0.9",
            ],
            "10.1.0.0/16 is given twice",
        ),
        (
            &[ip, "--arp-timeout-max=499"],
            "--arp-timeout-max (499) is less than --arp-timeout",
        ),
        (
            &[ip, "--cc-timely-tlow=151"],
            "--cc-timely-thigh (150) is less than",
        ),
        (&[ip, "--shm-len=4194304"], "--shm-len=4194304 is too small"),
        (
            &[ip, "--app-shm-len=4194304"],
            "--app-shm-len=4194304 is too small",
        ),
        (
            &[ip, "--tcp-rxbuf-len=67108864", "--shm-len=67108864"],
            "--shm-len=67108864 is too",
        ),
        (
            &[ip, "--app-shm-total=1073741823"],
            "--app-shm-total (1073741823) is less than",
        ),
    ] {
        let line = complaint(args);
        assert!(line.contains(expected), "{args:?}: {line}");
    }
    // The shared region is not there without the original's handshake.
    with(&["--shm-len=4194304", "--no-legacy"]);
}

#[test]
fn defaults() {
    let config = parse(&["--ip-addr=10.0.0.1"]).unwrap();
    let expected = Config {
        addresses: vec![LocalAddr {
            ip: Ipv4Addr::new(10, 0, 0, 1),
            prefix_len: 0,
        }],
        routes: vec![],
        fp: FastPathConfig {
            cores_max: 1,
            interrupts: true,
            xsum_offload: true,
            autoscale: true,
            hugepages: true,
            vlan_strip: false,
            poll_interval_tas_us: 10_000,
            poll_interval_app_us: 10_000,
        },
        dpdk_extra: vec![],
        shm_len: 1_073_741_824,
        nic_rx_len: 16_384,
        nic_tx_len: 16_384,
        app_kin_len: 1_048_576,
        app_kout_len: 1_048_576,
        tcp: TcpConfig {
            rtt_init_us: 50,
            link_bw_gbps: 10,
            rxbuf_len: 8192,
            txbuf_len: 8192,
            sockets_rxbuf_len: 65_536,
            sockets_txbuf_len: 65_536,
            handshake_timeout_us: 10_000,
            handshake_retries: 10,
            time_wait_us: 1_000_000,
            rto_min_us: 1000,
            path_mtu_min: 552,
        },
        cc: CcConfig {
            algorithm: CcAlgorithm::DctcpRate(DctcpRateParams {
                weight: 0.0625,
                init_kbps: 10_000,
                step_kbps: 10_000,
                mimd: None,
                min_kbps: 10_000,
                min_pkts: 50,
            }),
            control_granularity_us: 50,
            control_interval_rtts: 2,
            rexmit_ints: 4,
        },
        arp: ArpConfig {
            timeout_us: 500,
            timeout_max_us: 10_000_000,
        },
        kni_name: None,
        ready_fd: None,
        quiet: false,
        shm_mode: 0o660,
        shm_group: None,
        legacy: true,
        app_shm_len: 1 << 30,
        app_shm_total: 1 << 40,
        allow: AllowConfig {
            uids: vec![],
            gids: vec![],
            low_ports: false,
        },
        trace: TraceConfig {
            events: 0,
            len: 4 << 20,
            snap: 128,
        },
        metrics_addr: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn addresses_and_routes() {
    let config = parse(&[
        "--ip-addr=10.0.0.1/24",
        "--ip-addr",
        "192.168.1.1",
        "--ip-route=10.1.0.0/16,10.0.0.9",
        "--ip-route",
        "10.2.3.4,10.0.0.8",
        "--ip-route=0.0.0.0/0,10.0.0.7",
        // A next hop inside the prefix is found by a longer one.
        "--ip-route=10.3.0.0/16,10.3.0.1",
    ])
    .unwrap();
    let lens: Vec<_> = config.addresses.iter().map(|a| a.prefix_len).collect();
    assert_eq!(lens, [24, 0]);
    let lens: Vec<_> = config.routes.iter().map(|r| r.prefix_len).collect();
    assert_eq!(lens, [16, 32, 0, 16]);
    assert_eq!(config.routes[1].dest, Ipv4Addr::new(10, 2, 3, 4));
    assert_eq!(config.routes[1].next_hop, Ipv4Addr::new(10, 0, 0, 8));
}

#[test]
fn a_network_s_own_addresses_are_no_host_s() {
    assert_eq!(
        complaint(&["--ip-addr=10.0.0.255/24"]),
        "tas: invalid value '10.0.0.255/24' for --ip-addr: 10.0.0.255 is the broadcast address of \
         the network 10.0.0.0/24, whose hosts have 10.0.0.1 to 10.0.0.254"
    );
    // Only the prefix says so, and not all have such addresses.
    for addr in [
        "10.0.0.255/16",
        "10.0.1.0/16",
        "10.0.0.0",
        "10.0.0.0/31",
        "10.0.0.1/31",
        "10.0.0.255/32",
    ] {
        parse(&[&format!("--ip-addr={addr}")]).unwrap();
    }
}

#[test]
fn each_algorithm_gets_its_parameters() {
    let algorithm = |args: &[&str]| with(args).cc.algorithm;
    assert_eq!(
        algorithm(&["--cc=dctcp-win", "--cc-dctcp-weight=1", "--tcp-link-bw=100"]),
        CcAlgorithm::DctcpWin(DctcpWinParams {
            weight: 1.0,
            link_bw_gbps: 100
        })
    );
    assert_eq!(
        algorithm(&["--cc", "const-rate", "--cc-const-rate=5"]),
        CcAlgorithm::ConstRate(ConstRateParams { rate_kbps: 5 })
    );
    assert_eq!(
        algorithm(&["--cc=timely"]),
        CcAlgorithm::Timely(TimelyParams {
            t_low_us: 30,
            t_high_us: 150,
            step_kbps: 10_000,
            init_kbps: 10_000,
            alpha: 0.02,
            beta: 0.8,
            min_rtt_us: 11,
            min_rate_kbps: 10_000,
        })
    );
    let CcAlgorithm::DctcpRate(params) = algorithm(&["--cc-dctcp-mimd=1.5"]) else {
        panic!("not the default algorithm");
    };
    assert_eq!(params.mimd, Some(1.5));
}

#[test]
fn lengths_are_rounded_up() {
    let config = with(&[
        "--tcp-rxbuf-len=2049",
        "--tcp-txbuf-len=67108864",
        "--shm-len=1073741825",
        "--app-shm-len=134217729",
    ]);
    assert_eq!(config.tcp.rxbuf_len, 2112);
    assert_eq!(config.tcp.txbuf_len, 67_108_864);
    assert_eq!(config.tcp.sockets_rxbuf_len, 2112);
    assert_eq!(config.tcp.sockets_txbuf_len, 67_108_864);
    assert_eq!(config.shm_len, 1_075_838_976);
    assert_eq!(config.app_shm_len, 136_314_880);
}

#[test]
fn the_original_spelling_and_getopt_habits() {
    assert_eq!(with(&["--arp-timout=7"]).arp.timeout_us, 7);
    assert_eq!(with(&["--arp-timout", "8"]).arp.timeout_us, 8);
    // The last one wins; an unambiguous beginning of a name will do.
    assert_eq!(
        with(&["--tcp-rtt-init=1", "--tcp-rtt=2"]).tcp.rtt_init_us,
        2
    );
    let extra = with(&["--dpdk-extra", "--lcores=0@0", "--dpdk-extra=-v", "--quiet"]);
    assert_eq!(extra.dpdk_extra, ["--lcores=0@0", "-v"]);
    assert!(extra.quiet);
    // Switches may be repeated, too.
    assert!(with(&["--quiet", "--quiet"]).quiet);
}

#[test]
fn switches() {
    let config = with(&[
        "--fp-no-ints",
        "--fp-no-xsumoffload",
        "--fp-no-autoscale",
        "--fp-no-hugepages",
        "--fp-vlan-strip",
        "--no-legacy",
        "--allow-low-ports",
        "--ready-fd=3",
        "--kni-name=tas0",
        "--allow-uid=root",
        "--allow-uid=1000",
        "--allow-gid=0",
        "--shm-group=root",
        "--shm-mode=0666",
        "--fp-poll-interval-app=4294967295",
    ]);
    let fp = &config.fp;
    assert!(!(fp.interrupts || fp.xsum_offload || fp.autoscale || fp.hugepages));
    assert!(fp.vlan_strip && !config.legacy && config.allow.low_ports);
    assert_eq!(fp.poll_interval_app_us, POLL_FOREVER);
    assert_eq!(fp.poll_interval_tas_us, 10_000);
    assert_eq!(config.ready_fd, Some(3));
    assert_eq!(config.kni_name.as_deref(), Some("tas0"));
    assert_eq!(config.allow.uids, [0, 1000]);
    assert_eq!(config.allow.gids, [0]);
    assert_eq!(config.shm_group, Some(0));
    assert_eq!(config.shm_mode, 0o666);
}

#[test]
fn events_to_trace() {
    assert_eq!(with(&["--trace=all"]).trace.events, 0b1_1111_1111_1111);
    let some = with(&["--trace=rexmit,rxpkt", "--trace-snap=65535"]).trace;
    assert_eq!((some.events, some.snap), (0b1_0000_0001, 65535));
}

#[test]
fn options_without_effect_are_reported() {
    assert!(with(&[]).not_acting().is_empty());
    assert!(with(&["--fp-cores-max=2"]).not_acting().is_empty());
    assert_eq!(with(&["--kni-name=tas0"]).not_acting().len(), 1);
}

#[test]
fn help_and_version_go_to_stdout() {
    for flag in ["--help", "-h"] {
        let help = parse(&[flag]).unwrap_err();
        assert_eq!((help.status, help.stderr.as_str()), (0, ""));
        assert!(
            help.stdout
                .contains("Usage: tas [OPTION]... --ip-addr=IP[/PREFIXLEN]")
        );
        for arg in command().get_arguments() {
            let long = format!("--{}", arg.get_long().unwrap());
            assert!(help.stdout.contains(&long), "{long} is not in the help");
        }
    }
    let version = parse(&["--version"]).unwrap_err();
    assert_eq!((version.status, version.stderr.as_str()), (0, ""));
    assert_eq!(
        version.stdout,
        format!("tas {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn every_option_tells_its_default_and_belongs_to_a_group() {
    for arg in command().get_arguments() {
        let name = arg.get_long().unwrap();
        let help = arg.get_help().unwrap().to_string();
        assert!(arg.get_help_heading().is_some(), "{name}");
        assert!(help.len() >= 10, "{name}: {help}");
        let tells_default = !arg.get_default_values().is_empty()
            || help.contains("[default: ")
            || help.contains("may be repeated")
            || !arg.get_action().takes_values();
        assert!(tells_default, "{name}: {help}");
    }
}

#[test]
fn the_definition_is_consistent() {
    command().debug_assert();
}
