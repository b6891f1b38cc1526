use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::Shutdown;

use super::*;
use crate::stats::AppValues;

struct Service {
    dir: std::path::PathBuf,
    page: Arc<StatsPage>,
    metrics: Metrics,
}

impl Service {
    fn new(name: &str) -> Service {
        let dir = std::env::temp_dir().join(format!("tas-metrics-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let page = Arc::new(StatsPage::create_in(&dir, 2).unwrap());
        let any = "127.0.0.1:0".parse().unwrap();
        let metrics = Metrics::serve(any, Arc::clone(&page)).unwrap();
        Service { dir, page, metrics }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.metrics.addr()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    /// The answer to a request; empty when the service hangs up on it.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        let mut answer = Vec::new();
        // It may have hung up already.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn get(&self) -> String {
        self.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// A sample: name with labels, and its value.
type Sample = (String, u64);

/// Reads an exposition as strictly as the format is defined: families in one piece, with help and
/// type before their samples, no sample twice.
fn parse(text: &str) -> Vec<Sample> {
    assert!(text.ends_with('\n'));
    let (mut families, mut seen, mut samples) = (HashSet::new(), HashSet::new(), Vec::new());
    let mut family: Option<(String, String)> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty());
            let kind = lines.next().unwrap();
            let kind = kind.strip_prefix(&format!("# TYPE {name} ")).expect(kind);
            assert!(["counter", "gauge"].contains(&kind));
            assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
            assert!(families.insert(name.to_owned()), "{name} twice");
            family = Some((name.to_owned(), kind.to_owned()));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect(line);
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert_eq!(Some(name), family.as_ref().map(|(name, _)| name.as_str()));
        let labels = labels.strip_suffix('}').expect(line);
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').expect(line);
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
            assert!(value.len() >= 2 && value.starts_with('"') && value.ends_with('"'));
        }
        assert!(seen.insert(series.to_owned()), "{series} twice");
        samples.push((series.to_owned(), value.parse().expect(line)));
    }
    samples
}

#[test]
fn every_number_is_served() {
    let service = Service::new("all");
    service.page.cores[1].rx_frames.add(5);
    service.page.slow.store(0, 17);
    let app = AppValues {
        pid: 1234,
        id: 0,
        uid: 1000,
        connections: 3,
        ..AppValues::default()
    };
    for (index, value) in app.values().enumerate() {
        service.page.apps.store(index as u32, value);
    }
    let answer = service.get();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"));
    assert!(head.contains(&format!("Content-Length: {}", body.len())));
    let samples = parse(body);
    let value = |series: &str| {
        let found = samples.iter().find(|(name, _)| name == series);
        found.expect(series).1
    };
    assert_eq!(value("tas_core_rx_frames_total{core=\"1\"}"), 5);
    assert_eq!(value("tas_core_rx_frames_total{core=\"0\"}"), 0);
    assert_eq!(value("tas_slow_connections"), 17);
    let app = "tas_app_connections{pid=\"1234\",id=\"0\",uid=\"1000\"}";
    assert_eq!(value(app), 3);
    for group in crate::stats::Group::all() {
        for column in group.columns.iter().filter(|column| column.name != "pid") {
            assert!(body.contains(&column.name), "{}", column.name);
        }
    }
}

#[test]
fn other_requests_are_told_what_is_wrong() {
    let service = Service::new("wrong");
    let status = |request: &str| {
        let answer = service.ask(request.as_bytes());
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), "404");
    assert_eq!(status("DELETE /metrics HTTP/1.1\r\n\r\n"), "405");
    assert_eq!(status("nonsense"), "400");
    assert_eq!(status(""), "400");
    assert_eq!(status(&format!("GET /{}", "x".repeat(20_000))), "431");
    let head = service.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"));
}

#[test]
fn clients_that_say_nothing_take_their_places_and_no_more() {
    let service = Service::new("silent");
    let silent: Vec<TcpStream> = (0..CLIENTS - 1).map(|_| service.connect()).collect();
    // One place is left.
    assert!(service.get().starts_with("HTTP/1.1 200"));
    let mut more: Vec<TcpStream> = (0..100).map(|_| service.connect()).collect();
    // Nearly all of them are hung up on at once, whoever got the last place.
    let mut gone = 0;
    for stream in &mut more {
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        gone += usize::from(matches!(stream.read(&mut [0]), Ok(0)));
        if gone >= 90 {
            break;
        }
    }
    assert!(gone >= 90, "{gone}");
    drop(more);
    drop(silent);
    // Their places come back.
    let end = std::time::Instant::now() + 4 * PATIENCE;
    while !service.get().starts_with("HTTP/1.1 200") {
        assert!(std::time::Instant::now() < end);
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_address_that_is_taken_is_named() {
    let service = Service::new("taken");
    let error = Metrics::serve(service.metrics.addr(), Arc::clone(&service.page)).err();
    let text = error.unwrap().to_string();
    assert!(text.starts_with(&format!("--metrics-addr={}: ", service.metrics.addr())));
}
