use std::collections::BTreeMap;

use super::*;
use crate::stats::{Column, Kind, Snapshot};
use zerocopy::FromZeros;

fn group(name: &str, columns: &[&str], rows: &[&[u64]]) -> Group {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        kind: Kind::Counter,
        help: String::new(),
    };
    Group {
        name: name.to_owned(),
        columns: columns.iter().map(column).collect(),
        rows: rows.iter().map(|row| row.to_vec()).collect(),
    }
}

fn flow(port: u16, received: u32, acked: u32) -> FlowSt {
    let mut st = FlowSt::new_zeroed();
    st.local_ip.set(0x0a00_0001);
    st.remote_ip.set(0x0a00_0002);
    st.local_port.set(80);
    st.remote_port.set(port);
    (st.rx_len, st.tx_len, st.rx_avail) = (8192, 8192, 8000);
    st.rx_next_seq = 0xffff_ff00u32.wrapping_add(received);
    st.tx_next_seq = acked + 100;
    st.tx_sent = 100;
    st.rtt_est = u32::from(port);
    st
}

/// The service some seconds after its start, with numbers that grow with them.
pub(crate) fn sample(seconds: u64) -> Sample {
    let n = seconds as u32;
    let flows = [
        (3, flow(1000, n * 1000, n * 10)),
        (9, flow(2000, n * 5000, 0)),
    ];
    let core = [
        "rx_frames",
        "busy_cycles",
        "no_buffers",
        "malformed_x",
        "timeouts",
    ];
    let slow = ["connections", "opened", "active_cores", "listeners"];
    let app = ["pid", "uid", "connections", "memory_used", "memory_size"];
    Sample {
        at: 7_000_000_000 + seconds * 1_000_000_000,
        stats: Snapshot {
            pid: 42,
            started: 7_000_000_000,
            cycles_per_second: 1000,
            groups: vec![
                group(
                    "core",
                    &core,
                    &[
                        &[seconds * 50, seconds * 250, seconds, seconds * 2, 0],
                        &[0; 5],
                    ],
                ),
                group("slow", &slow, &[&[2, seconds * 6, 1, 4]]),
                group("app", &app, &[&[77, 1000, 2, 3 << 20, 1 << 30]]),
            ],
        },
        flows: BTreeMap::from(flows),
        names: BTreeMap::from([(77, "echo".to_owned())]),
    }
}

#[test]
fn rates_are_changes_per_second() {
    let picture = Picture::new(Some(&sample(10)), &sample(12), Sort::Rate);
    let core = &picture.cores[0];
    assert_eq!((core.rx_frames, core.busy, core.drops), (50.0, 25.0, 3.0));
    assert_eq!(picture.cores[1].busy, 0.0);
    let summary = &picture.summary;
    assert_eq!(
        (summary.uptime, summary.cores, summary.opens),
        (12, (1, 2), 6.0)
    );
    assert_eq!((summary.connections, summary.listeners), (2, 4));
    let conn = &picture.conns[1];
    assert_eq!((conn.id, conn.rx, conn.tx), (3, 1000.0, 10.0));
    assert_eq!((conn.rx_queue, conn.tx_queue), (192, 100));
    let app = &picture.apps[0];
    assert_eq!(
        (app.pid, app.name.as_str(), app.connections),
        (77, "echo", 2)
    );
}

#[test]
fn there_are_no_rates_at_first_or_after_a_restart() {
    let still = |before: Option<&Sample>| {
        let picture = Picture::new(before, &sample(12), Sort::Rate);
        assert_eq!(picture.cores[0].rx_frames, 0.0);
        assert!(picture.conns.iter().all(|conn| conn.rx == 0.0));
    };
    still(None);
    let mut other = sample(10);
    other.stats.started = 1;
    still(Some(&other));
    still(Some(&sample(12)));
    // Another connection has the id now.
    let mut other = sample(10);
    other.flows.get_mut(&3).unwrap().remote_port.set(5);
    let picture = Picture::new(Some(&other), &sample(12), Sort::Id);
    assert_eq!((picture.conns[0].rx, picture.conns[1].rx), (0.0, 5000.0));
}

#[test]
fn connections_are_in_the_order_asked_for() {
    let ids = |sort| {
        let picture = Picture::new(Some(&sample(1)), &sample(2), sort);
        picture.conns.iter().map(|conn| conn.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Sort::Rate), [9, 3]);
    assert_eq!(ids(Sort::Rtt), [9, 3]);
    assert_eq!(ids(Sort::Queue), [3, 9]);
    assert_eq!(ids(Sort::Id), [3, 9]);
}
