use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use tas_shm::LogWriter;

const LEN: u32 = 1024;

fn file(bytes: u64) -> Backing {
    Backing::memfd("trace", bytes, false).unwrap()
}

fn open(file: &Backing) -> io::Result<TraceBuffer> {
    let file = Backing::from_fd(file.fd().try_clone_to_owned()?)?;
    TraceBuffer::new(PathBuf::new(), file, true)
}

/// A buffer as the service makes it, and what another process would read it with.
fn ours() -> (Backing, TraceBuffer) {
    let file = file(trace_region_len(LEN));
    let mapping = Mapping::new(file.fd(), file.len(), true).unwrap();
    mapping.store_u64(8, LEN.into()).unwrap();
    mapping
        .store_u64(trace_control_off(LEN), TRACE_CONTROL_MAGIC)
        .unwrap();
    let buffer = open(&file).unwrap();
    (file, buffer)
}

fn record(seq: u32, len: usize) -> Vec<u8> {
    let length = len as u16;
    let head = TraceEntryHead {
        ts: u64::from(seq) * 10,
        seq,
        type_: 1,
        length,
    };
    let tail = TraceEntryTail { length };
    let body = vec![seq as u8; len];
    [head.as_bytes(), &body, tail.as_bytes()].concat()
}

fn seqs(records: &[Record]) -> Vec<u32> {
    records.iter().map(|record| record.seq).collect()
}

/// Writes to a buffer through the file alone, as another process would.
struct Writer {
    mapping: Mapping,
    total: u64,
}

impl Writer {
    fn new(file: &Backing) -> Writer {
        let other = Backing::from_fd(file.fd().try_clone_to_owned().unwrap()).unwrap();
        Writer {
            mapping: Mapping::new(other.fd(), other.len(), true).unwrap(),
            total: 0,
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = TRACE_RING_OFF + self.total % u64::from(LEN);
            self.mapping.write_bytes(at, &[*byte]).unwrap();
            self.total += 1;
        }
        self.mapping
            .store_u64(0, self.total % u64::from(LEN))
            .unwrap();
    }
}

#[test]
fn a_buffer_of_the_original_is_read_backwards_as_far_as_it_is_whole() {
    let file = file(4096);
    let mut writer = Writer::new(&file);
    writer.mapping.store_u64(8, LEN.into()).unwrap();
    let buffer = open(&file).unwrap();
    assert!(!buffer.can_follow() && buffer.switch(1, 1).is_err());
    assert!(buffer.records().unwrap().is_empty());
    for seq in 0..3 {
        writer.write(&record(seq, 20));
    }
    assert_eq!(seqs(&buffer.records().unwrap()), [2, 1, 0]);
    for seq in 3..100 {
        writer.write(&record(seq, (seq % 40) as usize));
    }
    let records = buffer.records().unwrap();
    let seqs = seqs(&records);
    assert_eq!(seqs[0], 99);
    assert!(seqs.len() > 15 && seqs.windows(2).all(|w| w[0] == w[1] + 1));
    assert!(
        records
            .iter()
            .all(|r| r.body == vec![r.seq as u8; (r.seq % 40) as usize])
    );
}

#[test]
fn switching_is_a_word_and_a_name() {
    let (_file, buffer) = ours();
    assert_eq!(wanted_text(buffer.wanted().unwrap()), "off");
    buffer.switch(0b101, 96).unwrap();
    assert_eq!(buffer.wanted().unwrap(), 96 << 32 | 5);
    assert_eq!(wanted_text(buffer.wanted().unwrap()), "rxpkt,atx snap=96");
    buffer.switch(0, 96).unwrap();
    assert_eq!(buffer.wanted().unwrap(), 0);
}

#[test]
fn what_is_no_buffer_is_said_to_be_none() {
    assert!(open(&file(4096)).is_err(), "no ring");
    let short = file(4096);
    let mapping = Mapping::new(short.fd(), 4096, true).unwrap();
    for len in [4081, u64::from(u32::MAX), u64::MAX] {
        mapping.store_u64(8, len).unwrap();
        assert!(open(&short).is_err(), "{len}");
    }
}

#[test]
fn nothing_in_a_ring_breaks_the_walk() {
    // Every length in the tail, every end.
    for tail in [0u16, 1, 5, 100, 1006, 1007, 0xffff] {
        for end in [0, 1, 2, 17, 500, 1023] {
            let mut ring = vec![0xabu8; 1024];
            for at in (0..1024).step_by(2) {
                ring[at..at + 2].copy_from_slice(&tail.to_ne_bytes());
            }
            let records = walk(&LogSnapshot::of_ring(ring, end), 0);
            assert!(records.len() <= 1024 / 18);
        }
    }
}

#[test]
fn followers_see_every_record_once_and_know_what_they_missed() {
    let (file, _) = ours();
    let mapping = Arc::new(Mapping::new(file.fd(), file.len(), true).unwrap());
    let control = trace_control_off(LEN);
    let places = LogPlaces {
        end: 0,
        ring: TRACE_RING_OFF,
        len: LEN,
        claimed: control + 8,
        written: control + 16,
    };
    let mut log = LogWriter::map(&mapping, places).unwrap();
    let mut buffer = TraceBuffer {
        path: PathBuf::new(),
        file,
        mapping,
        len: LEN,
        reader: Some(log.reader()),
        read: 0,
        last: None,
    };
    let done = AtomicBool::new(false);
    let total = 50_000;
    thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 0..total {
                log.write(&[&record(seq, (seq % 50) as usize)]);
            }
            done.store(true, Ordering::Release);
        });
        let mut next = 0;
        loop {
            let ended = done.load(Ordering::Acquire);
            let news = buffer.news().unwrap();
            if let Some(first) = news.records.first() {
                assert!(next == 0 || first.seq == next + news.lost, "{next}");
                next = first.seq;
            }
            for record in news.records {
                assert_eq!(record.seq, next);
                assert_eq!(record.body, vec![next as u8; (next % 50) as usize]);
                next += 1;
            }
            if ended {
                assert_eq!(next, total);
                break;
            }
        }
    });
}
