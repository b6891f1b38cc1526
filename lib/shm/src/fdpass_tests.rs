use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use super::*;
use crate::EventFd;

const ROLE: &str = "TAS_SHM_TEST_FDPASS_ADDRESS";

fn pipes(count: usize) -> Vec<(std::io::PipeReader, std::io::PipeWriter)> {
    (0..count).map(|_| std::io::pipe().unwrap()).collect()
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn address(name: &str) -> Vec<u8> {
    format!("tas_shm_test_{name}_{}", std::process::id()).into_bytes()
}

#[test]
fn descriptors_arrive_in_order_and_work() {
    let (here, there) = UnixStream::pair().unwrap();
    let pipes = pipes(3);
    let ends: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
    assert_eq!(send_with_fds(here.as_fd(), b"take", &ends).unwrap(), 4);
    let mut buf = [0; 16];
    let got = recv_with_fds(there.as_fd(), &mut buf, 3).unwrap();
    assert_eq!(
        (&buf[..got.len], got.fds.len(), got.truncated),
        (&b"take"[..], 3, false)
    );
    for (fd, (reader, _)) in got.fds.into_iter().zip(&pipes) {
        // SAFETY: no pointers involved.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        File::from(fd).write_all(b"!").unwrap();
        let mut byte = [0];
        (&*reader).read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"!");
    }
}

#[test]
fn surplus_descriptors_are_closed_and_reported() {
    let (here, there) = UnixStream::pair().unwrap();
    let pipes = pipes(8);
    let ends: Vec<_> = pipes.iter().map(|(reader, _)| reader.as_fd()).collect();
    let mut buf = [0; 4];
    for wanted in 0..8 {
        send_with_fds(here.as_fd(), b"x", &ends).unwrap();
        let got = recv_with_fds(there.as_fd(), &mut buf, wanted).unwrap();
        assert_eq!(
            (got.len, got.fds.len(), got.truncated),
            (1, wanted, true),
            "{wanted}"
        );
    }
    // Every writer notices when the last reader is gone, so no copy leaked
    // (but a process that a test beside this one forked may hold one briefly).
    for (reader, mut writer) in pipes {
        drop(reader);
        let mut tries = (0..500).map(|_| std::thread::sleep(std::time::Duration::from_millis(10)));
        assert!(writer.write(b"x").is_err() || tries.any(|()| writer.write(b"x").is_err()));
    }
}

#[test]
fn nothing_leaks_over_many_messages() {
    let (here, there) = UnixStream::pair().unwrap();
    let event = EventFd::new().unwrap();
    let before = open_descriptors();
    for _ in 0..2000 {
        send_with_fds(here.as_fd(), b"x", &[event.as_fd(); 3]).unwrap();
        recv_with_fds(there.as_fd(), &mut [0; 4], 1).unwrap();
    }
    // Other tests run beside this one and hold a few of their own.
    assert!(open_descriptors() < before + 500);
}

#[test]
fn ends_and_errors_are_told_apart() {
    let (here, there) = UnixStream::pair().unwrap();
    assert!(send_with_fds(here.as_fd(), b"", &[there.as_fd()]).is_err());
    assert!(recv_with_fds(here.as_fd(), &mut [0], 254).is_err());
    there.set_nonblocking(true).unwrap();
    let empty = recv_with_fds(there.as_fd(), &mut [0], 1).unwrap_err();
    assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
    drop(here);
    assert_eq!(recv_with_fds(there.as_fd(), &mut [0], 1).unwrap().len, 0);
    let broken = send_with_fds(there.as_fd(), b"x", &[]).unwrap_err();
    assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn the_kernel_names_the_peer() {
    let (here, _there) = UnixStream::pair().unwrap();
    let cred = peer_cred(here.as_fd()).unwrap();
    // SAFETY: no preconditions.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    assert_eq!(
        cred,
        PeerCred {
            pid: std::process::id(),
            uid,
            gid
        }
    );
}

#[test]
fn abstract_names_are_padded_to_the_full_length() {
    let name = address("padded");
    let listener = abstract_listen(&name).unwrap();
    // SAFETY: zeros are valid, and getsockname gets the struct's true length.
    let (bound, len) = unsafe {
        let mut bound: libc::sockaddr_un = zeroed();
        let mut len = ADDRESS_LEN;
        libc::getsockname(listener.as_raw_fd(), (&raw mut bound).cast(), &mut len);
        (bound, len)
    };
    assert_eq!(len, ADDRESS_LEN);
    assert_eq!(bound.sun_path[0], 0);
    assert_eq!(bound.sun_path[1] as u8, name[0]);
    assert_eq!(bound.sun_path[107], 0);
    assert_eq!(
        abstract_listen(&name).unwrap_err().kind(),
        io::ErrorKind::AddrInUse
    );
    assert!(abstract_listen(&[b'x'; 108]).is_err());
    // With or without the leading zero it is the same address.
    abstract_connect(&[b"\0", name.as_slice()].concat()).unwrap();
    drop(listener);
    let gone = abstract_connect(&name).unwrap_err();
    assert_eq!(gone.kind(), io::ErrorKind::ConnectionRefused);
}

/// The other process of the next test; does nothing when run on its own.
#[test]
fn other_process_sends_an_eventfd() {
    let Ok(address) = std::env::var(ROLE) else {
        return;
    };
    let sock = abstract_connect(address.as_bytes()).unwrap();
    let event = EventFd::new().unwrap();
    send_with_fds(sock.as_fd(), b"event", &[event.as_fd()]).unwrap();
    let mut done = [0];
    (&sock).read_exact(&mut done).unwrap();
    assert!(event.drain());
    (&sock).write_all(b"seen").unwrap();
}

#[test]
fn an_eventfd_crosses_between_processes() {
    let name = address("crossing");
    let listener = abstract_listen(&name).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fdpass::tests::other_process_sends_an_eventfd"])
        .env(ROLE, String::from_utf8(name).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (sock, _) = listener.accept().unwrap();
    assert_eq!(peer_cred(sock.as_fd()).unwrap().pid, child.id());
    let mut buf = [0; 8];
    let mut got = recv_with_fds(sock.as_fd(), &mut buf, 1).unwrap();
    assert_eq!(&buf[..got.len], b"event");
    EventFd::from_peer(got.fds.remove(0)).unwrap().notify();
    (&sock).write_all(b"!").unwrap();
    (&sock).read_exact(&mut buf[..4]).unwrap();
    assert_eq!(&buf[..4], b"seen");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_descriptor_moves_out_of_the_way() {
    let file = std::fs::File::open("/dev/null").unwrap();
    let low = file.as_raw_fd();
    let high = out_of_the_way(file.into());
    assert!(high.as_raw_fd() > low && high.as_raw_fd() >= 7 * 8);
}
