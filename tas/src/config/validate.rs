//! From the options as given to a [`Config`]: the checks that concern several
//! values, and the roundings.

use std::collections::HashSet;

use tas_abi::memif::TAS_RX_TAIL_LEN;

use super::args::{Algorithm, Args};
use super::{
    AllowConfig, ArpConfig, CcAlgorithm, CcConfig, Config, ConstRateParams, DctcpRateParams,
    DctcpWinParams, FastPathConfig, LocalAddr, MAX_ADDRESSES, MAX_ROUTES, Route, TcpConfig,
    TimelyParams, TraceConfig,
};

/// Regions consist of whole huge pages, whether huge pages are in use or not.
const REGION_UNIT: u64 = 2 << 20;
/// Connection buffers start and end on cache lines.
const BUFFER_UNIT: u32 = 64;
/// Bytes of a connection's buffers, as in the original.
const BUFFER_LEN: u32 = 8192;
/// The same for programs on sockets, which send and receive as much at once as on Linux.
const SOCKETS_BUFFER_LEN: u32 = 65_536;
/// Queue memory that a library asks for, for one context on one core: 64·32·1024
/// bytes to the application and 64·8192 from it.
const CONTEXT_CORE_QUEUES: u64 = 64 * 32 * 1024 + 64 * 8192;

pub(super) fn validate(args: Args) -> Result<Config, String> {
    check_addresses(&args.ip_addr)?;
    check_routes(&args.ip_route, &args.ip_addr)?;
    check_pairs(&args)?;
    check_regions(&args)?;
    Ok(Config {
        fp: FastPathConfig {
            cores_max: args.fp_cores_max,
            interrupts: !args.fp_no_ints,
            xsum_offload: !args.fp_no_xsumoffload,
            autoscale: !args.fp_no_autoscale,
            hugepages: !args.fp_no_hugepages,
            vlan_strip: args.fp_vlan_strip,
            poll_interval_tas_us: args.fp_poll_interval_tas,
            poll_interval_app_us: args.fp_poll_interval_app,
        },
        tcp: tcp(&args),
        cc: congestion_control(&args),
        arp: ArpConfig {
            timeout_us: args.arp_timeout,
            timeout_max_us: args.arp_timeout_max,
        },
        addresses: args.ip_addr,
        routes: args.ip_route,
        dpdk_extra: args.dpdk_extra,
        shm_len: args.shm_len.next_multiple_of(REGION_UNIT),
        nic_rx_len: args.nic_rx_len,
        nic_tx_len: args.nic_tx_len,
        app_kin_len: args.app_kin_len,
        app_kout_len: args.app_kout_len,
        kni_name: args.kni_name,
        ready_fd: args.ready_fd,
        quiet: args.quiet,
        shm_mode: args.shm_mode,
        shm_group: args.shm_group,
        legacy: !args.no_legacy,
        app_shm_len: args.app_shm_len.next_multiple_of(REGION_UNIT),
        app_shm_total: args.app_shm_total,
        allow: AllowConfig {
            uids: args.allow_uid,
            gids: args.allow_gid,
            low_ports: args.allow_low_ports,
        },
        trace: TraceConfig {
            events: args.trace.unwrap_or(0),
            len: args.trace_len,
            snap: u16::try_from(args.trace_snap).unwrap_or(u16::MAX),
        },
        metrics_addr: args.metrics_addr,
    })
}

fn tcp(args: &Args) -> TcpConfig {
    TcpConfig {
        rtt_init_us: args.tcp_rtt_init,
        link_bw_gbps: args.tcp_link_bw,
        rxbuf_len: buffer_len(args.tcp_rxbuf_len, BUFFER_LEN),
        txbuf_len: buffer_len(args.tcp_txbuf_len, BUFFER_LEN),
        sockets_rxbuf_len: buffer_len(args.tcp_rxbuf_len, SOCKETS_BUFFER_LEN),
        sockets_txbuf_len: buffer_len(args.tcp_txbuf_len, SOCKETS_BUFFER_LEN),
        handshake_timeout_us: args.tcp_handshake_timeout,
        handshake_retries: args.tcp_handshake_retries,
        time_wait_us: args.tcp_time_wait,
        rto_min_us: args.tcp_rto_min,
        path_mtu_min: u16::try_from(args.tcp_path_mtu_min).unwrap_or(u16::MAX),
    }
}

fn buffer_len(asked: Option<u32>, usual: u32) -> u32 {
    asked.unwrap_or(usual).next_multiple_of(BUFFER_UNIT)
}

fn congestion_control(args: &Args) -> CcConfig {
    let algorithm = match args.cc {
        Algorithm::DctcpRate => CcAlgorithm::DctcpRate(DctcpRateParams {
            weight: args.cc_dctcp_weight,
            init_kbps: args.cc_dctcp_init,
            step_kbps: args.cc_dctcp_step,
            mimd: args.cc_dctcp_mimd,
            min_kbps: args.cc_dctcp_min,
            min_pkts: args.cc_dctcp_minpkts,
        }),
        Algorithm::DctcpWin => CcAlgorithm::DctcpWin(DctcpWinParams {
            weight: args.cc_dctcp_weight,
            link_bw_gbps: args.tcp_link_bw,
        }),
        Algorithm::Timely => CcAlgorithm::Timely(TimelyParams {
            t_low_us: args.cc_timely_tlow,
            t_high_us: args.cc_timely_thigh,
            step_kbps: args.cc_timely_step,
            init_kbps: args.cc_timely_init,
            alpha: args.cc_timely_alpha,
            beta: args.cc_timely_beta,
            min_rtt_us: args.cc_timely_minrtt,
            min_rate_kbps: args.cc_timely_minrate,
        }),
        Algorithm::ConstRate => CcAlgorithm::ConstRate(ConstRateParams {
            rate_kbps: args.cc_const_rate,
        }),
    };
    CcConfig {
        algorithm,
        control_granularity_us: args.cc_control_granularity,
        control_interval_rtts: args.cc_control_interval,
        rexmit_ints: args.cc_rexmit_ints,
    }
}

fn check_addresses(addresses: &[LocalAddr]) -> Result<(), String> {
    if addresses.is_empty() {
        return Err("--ip-addr is missing: the service needs an address".to_owned());
    }
    if addresses.len() > MAX_ADDRESSES {
        return Err(format!(
            "--ip-addr is given {} times, at most {MAX_ADDRESSES} are possible",
            addresses.len()
        ));
    }
    let mut seen = HashSet::new();
    match addresses.iter().find(|a| !seen.insert(a.ip)) {
        Some(twice) => Err(format!("--ip-addr={} is given twice", twice.ip)),
        None => Ok(()),
    }
}

fn check_routes(routes: &[Route], addresses: &[LocalAddr]) -> Result<(), String> {
    if routes.len() > MAX_ROUTES {
        return Err(format!(
            "--ip-route is given {} times, at most {MAX_ROUTES} are possible",
            routes.len()
        ));
    }
    let mut seen = HashSet::new();
    for route in routes {
        let (dest, len) = (route.dest, route.prefix_len);
        if !seen.insert((dest, len)) {
            return Err(format!("--ip-route: {dest}/{len} is given twice"));
        }
        if addresses.iter().any(|a| a.ip == route.next_hop) {
            return Err(format!(
                "--ip-route: next hop {} of {dest}/{len} is the service's own address",
                route.next_hop
            ));
        }
    }
    Ok(())
}

/// Pairs of options of which one bounds the other.
fn check_pairs(args: &Args) -> Result<(), String> {
    at_least(
        "--arp-timeout-max",
        args.arp_timeout_max,
        "--arp-timeout",
        args.arp_timeout,
    )?;
    at_least(
        "--cc-timely-thigh",
        args.cc_timely_thigh,
        "--cc-timely-tlow",
        args.cc_timely_tlow,
    )
}

fn at_least(large: &str, large_value: u32, small: &str, small_value: u32) -> Result<(), String> {
    if large_value < small_value {
        return Err(format!(
            "{large} ({large_value}) is less than {small} ({small_value})"
        ));
    }
    Ok(())
}

/// Each kind of region must have room for an application with one context and
/// one connection.
fn check_regions(args: &Args) -> Result<(), String> {
    let needed = u64::from(args.app_kin_len)
        + u64::from(args.app_kout_len)
        + u64::from(args.fp_cores_max) * CONTEXT_CORE_QUEUES
        + u64::from(args.tcp_rxbuf_len.unwrap_or(BUFFER_LEN))
        + u64::from(TAS_RX_TAIL_LEN)
        + u64::from(args.tcp_txbuf_len.unwrap_or(BUFFER_LEN));
    let regions = [
        ("--shm-len", args.shm_len, !args.no_legacy),
        ("--app-shm-len", args.app_shm_len, true),
    ];
    for (option, len, in_use) in regions {
        if in_use && len < needed {
            return Err(format!(
                "{option}={len} is too small: one context and one connection take {needed} bytes"
            ));
        }
    }
    if args.app_shm_total < args.app_shm_len {
        return Err(format!(
            "--app-shm-total ({}) is less than --app-shm-len ({})",
            args.app_shm_total, args.app_shm_len
        ));
    }
    Ok(())
}
