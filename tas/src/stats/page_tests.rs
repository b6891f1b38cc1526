use std::collections::HashSet;

use zerocopy::FromBytes;

use super::*;
use crate::stats::Kind;

fn create(name: &str) -> (PathBuf, StatsPage) {
    let dir = std::env::temp_dir().join(format!("tas-stats-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let page = StatsPage::create_in(&dir, 3).unwrap();
    (dir, page)
}

/// A structure in the file, as another process reads it.
fn read<T: FromBytes>(file: &[u8], at: u64) -> T {
    T::read_from_prefix(&file[at as usize..]).unwrap().0
}

#[test]
fn the_page_describes_itself() {
    let (dir, page) = create("self");
    page.cores[1].rx_frames.add(7);
    page.cores[2].malformed[1].add(9);
    page.slow.store(3, 11);
    let row = AppValues::columns().len() as u32;
    page.apps.store(row + 2, 13);
    let file = fs::read(dir.join(STATS_NAME)).unwrap();
    let header: StatsHeader = read(&file, 0);
    assert_eq!((header.magic, header.version), (STATS_MAGIC, STATS_VERSION));
    assert_eq!((header.len, header.groups), (file.len() as u64, 3));
    assert_eq!(header.pid, std::process::id());
    let value = |group: u64, row: u64, name: &str| {
        let group: StatsGroup = read(&file, 48 + group * 64);
        assert!(row < group.rows.into());
        let column = (0..group.columns.into()).position(|index| {
            let column: StatsColumn = read(&file, group.columns_at + index * 256);
            let end = column.name.iter().position(|byte| *byte == 0).unwrap();
            &column.name[..end] == name.as_bytes()
        });
        let at = group.values_at + row * group.stride + 8 * column.expect(name) as u64;
        read::<u64>(&file, at)
    };
    assert_eq!(value(0, 1, "rx_frames"), 7);
    assert_eq!(value(0, 0, "rx_frames"), 0);
    assert_eq!(value(0, 2, "malformed_unknown_ethertype"), 9);
    assert_eq!(value(1, 0, "listeners"), 11);
    assert_eq!(value(2, 1, "uid"), 13);
    drop(page);
    assert!(!dir.join(STATS_NAME).exists());
    fs::remove_dir(dir).unwrap();
}

#[test]
fn every_column_is_named_once_and_explained() {
    for group in Group::all() {
        let mut names = HashSet::new();
        for column in &group.columns {
            let Column { name, help, .. } = column;
            assert!(names.insert(name), "{name} twice in {}", group.name);
            assert!(name.len() < 40 && help.len() < 208, "{name}: {help}");
            assert!(help.len() > 5 && help.ends_with('.'), "{name}: {help}");
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(name.chars().all(plain), "{name}");
        }
    }
    let [_, _, app] = Group::all();
    assert_eq!(app.columns[0].kind, Kind::Label);
}

#[test]
fn the_columns_of_a_core_are_its_counters() {
    let counters = CoreCounters::default();
    let columns = CoreCounters::columns();
    assert_eq!(counters.each().count(), columns.len());
    for ((name, _), column) in counters.each().zip(&columns) {
        assert_eq!(column.name.trim_start_matches("malformed_"), name);
    }
    assert!(size_of::<CoreCounters>() >= 8 * columns.len());
}
