//! As much of HTTP/1.1 (RFC 9112) as one resource needs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Longest request that is read.
const REQUEST_MAX: usize = 8192;
/// What is read of a client that goes on after its request, so that it sees the answer rather
/// than a reset.
const SURPLUS_MAX: usize = 65536;

/// What an answer begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    TooLarge,
}

impl Status {
    fn line(self) -> &'static str {
        match self {
            Status::Ok => "200 OK",
            Status::BadRequest => "400 Bad Request",
            Status::NotFound => "404 Not Found",
            Status::MethodNotAllowed => "405 Method Not Allowed",
            Status::TooLarge => "431 Request Header Fields Too Large",
        }
    }
}

/// Reads a request and answers it: with what `metrics` returns if it asks for that.
///
/// # Errors
/// The client is gone or too slow.
pub fn answer(
    mut stream: &TcpStream,
    patience: Duration,
    metrics: impl FnOnce() -> String,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let request = read_request(stream, patience)?;
    let (status, with_body) = judge(&request);
    let body = match status {
        Status::Ok => metrics(),
        other => format!("{}\n", other.line()),
    };
    let kind = match status {
        Status::Ok => "text/plain; version=0.0.4; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    };
    let allow = match status {
        Status::MethodNotAllowed => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        status.line(),
        body.len()
    );
    let end = Instant::now() + patience;
    write_until(stream, head.as_bytes(), end)?;
    if with_body {
        write_until(stream, body.as_bytes(), end)?;
    }
    stream.flush()?;
    stream.shutdown(Shutdown::Write)?;
    drain(stream, end)
}

/// Reads up to the empty line, or as much as is read at all.
fn read_request(mut stream: &TcpStream, patience: Duration) -> io::Result<Vec<u8>> {
    let end = Instant::now() + patience;
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while request.len() < REQUEST_MAX && !is_complete(&request) {
        stream.set_read_timeout(Some(left(end)?))?;
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        request.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    Ok(request)
}

fn is_complete(request: &[u8]) -> bool {
    request.windows(4).any(|four| four == b"\r\n\r\n")
}

/// The answer's status, and whether it has a body.
fn judge(request: &[u8]) -> (Status, bool) {
    if !is_complete(request) {
        return match request.len() < REQUEST_MAX {
            true => (Status::BadRequest, true),
            false => (Status::TooLarge, true),
        };
    }
    let line = request.split(|byte| *byte == b'\r').next();
    let line = line.and_then(|line| std::str::from_utf8(line).ok());
    let words: Vec<&str> = line.unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else {
        return (Status::BadRequest, true);
    };
    if !version.starts_with("HTTP/1.") {
        return (Status::BadRequest, true);
    }
    let with_body = method != "HEAD";
    let path = target.split('?').next().unwrap_or_default();
    match (method, path) {
        ("GET" | "HEAD", "/metrics") => (Status::Ok, with_body),
        ("GET" | "HEAD", _) => (Status::NotFound, with_body),
        _ => (Status::MethodNotAllowed, with_body),
    }
}

fn write_until(mut stream: &TcpStream, mut bytes: &[u8], end: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(end)?))?;
        let count = stream.write(bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Closing with unread bytes resets the connection, and the answer with it.
fn drain(mut stream: &TcpStream, end: Instant) -> io::Result<()> {
    let mut buffer = [0; 4096];
    let mut surplus = 0;
    while surplus < SURPLUS_MAX {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            count => surplus += count,
        }
    }
    Ok(())
}

fn left(end: Instant) -> io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(io::ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_judged_by_method_and_path() {
        let judge = |line: &str| super::judge(format!("{line}\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(judge("GET /metrics HTTP/1.1"), (Status::Ok, true));
        assert_eq!(judge("GET /metrics?a=b HTTP/1.0"), (Status::Ok, true));
        assert_eq!(judge("HEAD /metrics HTTP/1.1"), (Status::Ok, false));
        assert_eq!(judge("GET / HTTP/1.1"), (Status::NotFound, true));
        assert_eq!(judge("GET /metrics/ HTTP/1.1"), (Status::NotFound, true));
        let post = judge("POST /metrics HTTP/1.1");
        assert_eq!(post, (Status::MethodNotAllowed, true));
        for wrong in [
            "",
            "GET",
            "GET /metrics",
            "GET  /metrics HTTP/1.1",
            "GET /metrics HTTP/2",
            "\u{0}",
        ] {
            assert_eq!(judge(wrong), (Status::BadRequest, true), "{wrong}");
        }
        assert_eq!(super::judge(b"\xff\r\n\r\n").0, Status::BadRequest);
        assert_eq!(
            super::judge(b"GET /metrics HTTP/1.1\r\n").0,
            Status::BadRequest
        );
        assert_eq!(super::judge(&[b'a'; REQUEST_MAX]).0, Status::TooLarge);
    }
}
