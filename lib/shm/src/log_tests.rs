use std::sync::atomic::AtomicBool;
use std::thread;

use super::*;
use crate::Backing;

const PLACES: LogPlaces = LogPlaces {
    end: 0,
    ring: 16,
    len: 1000,
    claimed: 4096,
    written: 4104,
};

fn mapping() -> Arc<Mapping> {
    let backing = Backing::memfd("log", 8192, false).unwrap();
    Arc::new(Mapping::new(backing.fd(), 8192, true).unwrap())
}

#[test]
fn records_go_round_the_ring() {
    let mapping = mapping();
    let mut log = LogWriter::map(&mapping, PLACES).unwrap();
    assert!(log.is_empty());
    let record: Vec<u8> = (0..=255).collect();
    for _ in 0..5 {
        assert!(log.write(&[&record[..100], &record[100..]]));
    }
    let snapshot = log.reader().snapshot();
    assert_eq!((snapshot.start, snapshot.end), (280, 1280));
    let mut read = vec![0; 256];
    for at in [1024, 768, 512] {
        assert!(snapshot.read(at, &mut read));
        assert_eq!(read, record);
    }
    assert!(!snapshot.read(256, &mut read), "overwritten");
    assert!(!snapshot.read(1025, &mut read), "not there yet");
    let snapshot = log.reader().snapshot_since(768);
    assert_eq!((snapshot.start, snapshot.end), (768, 1280));
    assert!(snapshot.read(768, &mut read));
    assert_eq!(read, record);
    let snapshot = log.reader().snapshot_since(9999);
    assert_eq!((snapshot.start, snapshot.end), (1280, 1280));
    drop(log);
    assert_eq!(mapping.load_u64(0), Ok(280));
}

#[test]
fn a_record_as_long_as_the_ring_fits_and_a_longer_one_does_not() {
    let mapping = mapping();
    let mut log = LogWriter::map(&mapping, PLACES).unwrap();
    assert!(!log.write(&[&[0; 1001]]));
    assert!(log.is_empty());
    assert!(log.write(&[&[1; 3]]));
    assert!(log.write(&[&[2; 1000]]));
    let snapshot = log.reader().snapshot();
    let mut read = vec![0; 1000];
    assert!(snapshot.read(3, &mut read));
    assert_eq!(read, [2; 1000]);
    drop(log);
    assert_eq!(mapping.load_u64(0), Ok(3));
}

#[test]
fn a_log_has_its_bytes_to_itself_and_a_real_place() {
    let mapping = mapping();
    let log = LogWriter::map(&mapping, PLACES).unwrap();
    assert!(LogWriter::map(&mapping, PLACES).is_err());
    drop(log);
    let reader = LogReader::map(&mapping, PLACES).unwrap();
    assert!(LogWriter::map(&mapping, PLACES).is_err());
    drop(reader);
    let wrong = [
        LogPlaces { len: 0, ..PLACES },
        LogPlaces {
            len: 9000,
            ..PLACES
        },
        LogPlaces { end: 1, ..PLACES },
        LogPlaces {
            written: 8192,
            ..PLACES
        },
    ];
    for places in wrong {
        assert!(LogWriter::map(&mapping, places).is_err(), "{places:?}");
    }
    assert!(LogWriter::map(&mapping, PLACES).is_ok());
}

#[test]
fn a_ring_that_lies_still_is_read_whole() {
    let snapshot = LogSnapshot::of_ring(vec![3, 4, 1, 2], 2);
    let mut read = [0; 4];
    assert!(snapshot.read(snapshot.start, &mut read));
    assert_eq!(read, [1, 2, 3, 4]);
    assert!(!LogSnapshot::of_ring(Vec::new(), 7).read(0, &mut [0]));
}

/// Records of equal bytes: a snapshot taken at any time has only whole ones.
#[test]
fn whatever_is_read_while_it_is_written_is_whole() {
    let mut log = LogWriter::map(&mapping(), PLACES).unwrap();
    let reader = log.reader();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for value in 0..200_000u32 {
                let len = 8 + (value % 7) as usize;
                let bytes = [value as u8; 16];
                assert!(log.write(&[&[len as u8], &bytes[..len], &[len as u8]]));
            }
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) {
            check(&reader.snapshot());
        }
    });
    check(&reader.snapshot());
}

fn check(snapshot: &LogSnapshot) {
    let mut at = snapshot.end;
    let mut count = 0u64;
    while at > snapshot.start {
        let mut len = [0];
        assert!(snapshot.read(at - 1, &mut len));
        let len = usize::from(len[0]);
        let mut record = vec![0; len + 2];
        let Some(start) = at.checked_sub(record.len() as u64) else {
            break;
        };
        if !snapshot.read(start, &mut record) {
            break;
        }
        assert_eq!(usize::from(record[0]), len);
        assert!(record[1..=len].iter().all(|byte| *byte == record[1]));
        at = start;
        count += 1;
    }
    // A record takes 16 bytes at most.
    assert!(count + 1 >= (snapshot.end - snapshot.start) / 16);
}
