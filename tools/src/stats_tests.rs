use zerocopy::IntoBytes;

use super::*;

/// A page with a group of a counter, and one of rows with names.
fn page() -> Vec<u8> {
    let mut page = vec![0u8; 8192];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    let name = |text: &str| {
        let mut name = [0; 32];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    };
    let group = |text, columns, rows, columns_at, values_at, stride| StatsGroup {
        name: name(text),
        columns,
        rows,
        columns_at,
        values_at,
        stride,
    };
    let column = |text: &str, kind| {
        let mut column = StatsColumn {
            name: [0; 40],
            kind,
            _pad: 0,
            help: [b'x'; 208],
        };
        column.name[..text.len()].copy_from_slice(text.as_bytes());
        column
    };
    let header = StatsHeader {
        magic: STATS_MAGIC,
        version: STATS_VERSION,
        groups: 2,
        len: 8192,
        pid: 42,
        started: 5,
        cycles_per_second: 1000,
        _pad: 0,
    };
    put(0, header.as_bytes());
    put(48, group("core", 1, 2, 1024, 4096, 128).as_bytes());
    put(112, group("app", 2, 3, 2048, 6144, 16).as_bytes());
    put(1024, column("rx_frames", STATS_COUNTER).as_bytes());
    put(2048, column("pid", STATS_LABEL).as_bytes());
    put(2304, column("connections", STATS_GAUGE).as_bytes());
    for (at, value) in [(4096, 7u64), (4224, 8), (6144, 100), (6152, 1), (6176, 102)] {
        put(at, value.as_bytes());
    }
    page
}

pub(crate) fn file(bytes: &[u8]) -> Backing {
    let file = Backing::memfd("stats", bytes.len() as u64, false).unwrap();
    let mapping = Mapping::new(file.fd(), file.len(), true).unwrap();
    mapping.write_bytes(0, bytes).unwrap();
    file
}

#[test]
fn reads_what_the_page_describes() {
    let snapshot = Stats::new(&file(&page())).unwrap().read().unwrap();
    assert_eq!((snapshot.pid, snapshot.cycles_per_second), (42, 1000));
    let core = snapshot.group("core");
    assert_eq!(
        (core.value(0, "rx_frames"), core.total("rx_frames")),
        (7, 15)
    );
    assert_eq!(core.columns[0].help, "x".repeat(208));
    let app = snapshot.group("app");
    assert_eq!(
        app.rows,
        [[100, 1], [102, 0]],
        "the row between is not in use"
    );
    assert_eq!((app.value(9, "pid"), app.value(0, "unknown")), (0, 0));
    assert!(snapshot.group("none").rows.is_empty());
}

#[test]
fn refuses_what_is_no_page() {
    let whole = page();
    let broken = |at: usize, value: u64| {
        let mut page = whole.clone();
        page[at..at + 8].copy_from_slice(value.as_bytes());
        Stats::new(&file(&page)).and_then(|stats| stats.read())
    };
    assert!(broken(0, 0).is_err(), "no magic");
    assert!(broken(8, u64::from(STATS_VERSION + 1)).is_err(), "version");
    assert!(broken(48 + 32, u64::MAX).is_err(), "columns and rows");
    for at in [40, 48, 56] {
        assert!(broken(48 + at, u64::MAX).is_err(), "place {at}");
        assert!(broken(48 + at, 8190).is_err(), "place {at}");
    }
    assert!(Stats::new(&file(&[0; 4096])).is_err());
    for len in (0..whole.len()).step_by(512) {
        if let Ok(stats) = Stats::new(&file(&[&whole[..len], &vec![0; 4096][..]].concat())) {
            let _ = stats.read();
        }
    }
}
