//! What is measured.

mod core;
mod flow;
mod library;
mod looped;
mod queues;
mod rings;
mod table;
mod wire;
mod world;

use tas::config::Config;
use tas::proto::{FlowInit, TcpParams, TimestampInit};
use tas::service::tcp_params;
use tas::types::Micros;
use tas_wire::{FlowTuple, Ipv4Addr, MacAddr, SeqNum, WindowScale};

use crate::harness::Case;

/// All cases, in the order of the baseline.
pub fn all() -> Vec<Case> {
    [
        flow::CASES,
        wire::CASES,
        queues::CASES,
        table::CASES,
        rings::CASES,
        core::CASES,
        library::CASES,
    ]
    .into_iter()
    .flatten()
    .map(|&(name, ops, prepare)| Case { name, ops, prepare })
    .collect()
}

/// A case as its file lists it: name, operations, preparation.
type Entry = (&'static str, u32, fn(u32) -> crate::harness::Run);

/// Every case begins at this time.
const START: Micros = Micros(1_000_000);
/// Our address.
const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// Ours and the peer's Ethernet address.
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// Bytes of each buffer of a connection.
const BUFFER: u32 = 16 * 1024;
/// Data in a full segment.
const FULL: usize = 1448;

/// Options: all may send as fast as they can.
const CONST_RATE: &[&str] = &["--cc=const-rate"];
/// Options: DCTCP with a window.
const DCTCP_WIN: &[&str] = &["--cc=dctcp-win"];
/// Options: a rate that makes every segment wait some 50 µs for its turn.
const PACED: &[&str] = &["--cc=const-rate", "--cc-const-rate=10000"];

/// TCP's parameters for these options.
fn params(options: &[&str]) -> TcpParams {
    let args = ["tas", "--ip-addr=10.0.0.1/24"];
    let config = Config::parse_from(args.iter().chain(options))
        .unwrap_or_else(|exit| panic!("{}", exit.stderr));
    tcp_params(&config)
}

/// The addresses of connection `number`, seen from the side that opened it.
fn tuple(number: u32) -> FlowTuple {
    FlowTuple {
        local_ip: IP,
        local_port: 1024 + (number % 60_000) as u16,
        remote_ip: IP,
        remote_port: 80 + (number / 60_000) as u16,
    }
}

/// A connection as two sides of our own agree on: timestamps, SACK, window scaling. Data begins
/// at 1001 and 5001.
fn init(tuple: FlowTuple) -> FlowInit {
    FlowInit {
        tuple,
        remote_mac: MAC,
        flow_group: 0,
        db_id: 0,
        opaque: 0,
        mss: 1460,
        snd_wscale: WindowScale::ZERO,
        rcv_wscale: WindowScale::ZERO,
        timestamps: Some(TimestampInit {
            recent: 500,
            offset: 500,
        }),
        sack: true,
        ecn: false,
        iss: SeqNum(1000),
        irs: SeqNum(5000),
        snd_wnd: BUFFER,
        rcv_wnd: BUFFER,
        rx_base: 0,
        rx_len: BUFFER,
        tx_base: 0,
        tx_len: BUFFER,
        rtt: Some(Micros(20)),
    }
}
