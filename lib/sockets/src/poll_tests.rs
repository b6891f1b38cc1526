//! poll and select without a service: sockets whose readiness the test sets,
//! beside descriptors of the kernel's.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use libc::{POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLRDHUP, POLLRDNORM};
use rustix::net::SocketFlags;

use super::*;
use crate::ready::{self, IN, OUT};
use crate::select::{Sets, select};
use crate::socket::Domain;
use crate::wait::pollfd;
use crate::{close, create, epoll};

/// A descriptor of ours, closed at the end of the test.
struct Fd(c_int);

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = close::close(self.0);
    }
}

/// A socket that is ready for nothing.
fn socket() -> Fd {
    let fd = create::socket(Domain::V4, SocketFlags::CLOEXEC).unwrap();
    set(fd, 0);
    Fd(fd)
}

/// Makes a socket ready, as an event of the service's would.
fn set(fd: c_int, bits: u32) {
    let socket = table::socket(fd).unwrap();
    let mut locked = socket.lock_any().unwrap();
    socket.set_ready(bits);
    for waiter in &locked.state().waiters {
        waiter.tell();
    }
    epoll::tell_all(&locked.state().items, bits);
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into(), write.into())
}

fn write(fd: &OwnedFd) {
    rustix::io::write(fd, b"x").unwrap();
}

/// What poll tells of each descriptor, within `time`.
fn told(wanted: &[(c_int, i16)], time: Option<Duration>) -> Vec<i16> {
    let mut fds: Vec<libc::pollfd> = wanted.iter().map(|(fd, e)| pollfd(*fd, *e)).collect();
    let count = poll(&mut fds, Until::after(time), Mask::NONE).unwrap();
    let told: Vec<i16> = fds.iter().map(|entry| entry.revents).collect();
    assert_eq!(count, told.iter().filter(|bits| **bits != 0).count());
    told
}

fn now(wanted: &[(c_int, i16)]) -> Vec<i16> {
    told(wanted, Some(Duration::ZERO))
}

/// Runs `wait` while `change` happens, when it is likely to be asleep.
fn while_waiting<T: Send>(wait: impl FnOnce() -> T + Send, change: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        thread::sleep(Duration::from_millis(50));
        change();
        waiting.join().unwrap()
    })
}

#[test]
fn entries_tell_what_they_ask_for_and_errors() {
    let socket = socket();
    set(socket.0, ready::READ | OUT | ready::RDHUP);
    let asked = [POLLIN, POLLOUT, POLLIN | POLLRDHUP, POLLRDNORM, 0];
    let entries: Vec<_> = asked.iter().map(|events| (socket.0, *events)).collect();
    assert_eq!(now(&entries), asked);
    set(socket.0, ready::ERR | ready::HUP);
    assert_eq!(now(&[(socket.0, 0)]), [POLLERR | POLLHUP]);
}

#[test]
fn ours_and_the_kernels_are_told_in_one_call() {
    let socket = socket();
    let (read, write_end) = pipe();
    let entries = [
        (socket.0, POLLIN),
        (read.as_raw_fd(), POLLIN),
        (-1, POLLIN),
        (write_end.as_raw_fd(), POLLOUT),
        (c_int::MAX, POLLIN),
    ];
    assert_eq!(now(&entries), [0, 0, 0, POLLOUT, POLLNVAL]);
    write(&write_end);
    set(socket.0, IN);
    assert_eq!(now(&entries), [POLLIN, POLLIN, 0, POLLOUT, POLLNVAL]);
}

#[test]
fn a_sleeper_is_woken_by_a_socket_by_a_pipe_and_by_an_epoll() {
    let (first, second) = (socket(), socket());
    let (read, write_end) = pipe();
    let epfd = Fd(epoll::create(true).unwrap());
    let interest = control::Wanted {
        events: IN,
        data: 0,
    };
    control::control(epfd.0, second.0, control::Change::Add(interest)).unwrap();
    let entries = [
        (first.0, POLLIN),
        (epfd.0, POLLIN),
        (read.as_raw_fd(), POLLIN),
    ];
    let wait = || told(&entries, None);
    assert_eq!(while_waiting(wait, || set(first.0, IN)), [POLLIN, 0, 0]);
    set(first.0, 0);
    assert_eq!(while_waiting(wait, || set(second.0, IN)), [0, POLLIN, 0]);
    set(second.0, 0);
    assert_eq!(while_waiting(wait, || write(&write_end)), [0, 0, POLLIN]);
    let mut locked = table::socket(first.0).unwrap().lock_any().unwrap();
    assert!(locked.state().waiters.is_empty());
}

#[test]
fn a_poll_ends_with_its_time() {
    let socket = socket();
    let begin = std::time::Instant::now();
    let time = Duration::from_millis(20);
    assert_eq!(told(&[(socket.0, POLLIN)], Some(time)), [0]);
    assert!(begin.elapsed() >= time);
}

fn bits(fds: &[c_int]) -> Vec<u64> {
    let mut words = vec![0u64; 16];
    for fd in fds {
        words[*fd as usize / 64] |= 1 << (*fd % 64);
    }
    words
}

#[test]
fn select_keeps_what_is_ready_and_counts_each_set() {
    let socket = socket();
    let (read, write_end) = pipe();
    let (read, write_fd) = (read.as_raw_fd(), write_end.as_raw_fd());
    let mut readable = bits(&[socket.0, read]);
    let mut writable = bits(&[socket.0, write_fd]);
    let count = 1 + socket.0.max(read).max(write_fd) as usize;
    set(socket.0, ready::READ | ready::WRITE);
    let sets = Sets {
        read: Some(&mut readable),
        write: Some(&mut writable),
        except: None,
    };
    assert!(sets.any_ours(count));
    assert_eq!(select(count, sets, Until::Forever, Mask::NONE), Ok(3));
    assert_eq!(readable, bits(&[socket.0]));
    assert_eq!(writable, bits(&[socket.0, write_fd]));
}

#[test]
fn select_fails_with_a_descriptor_that_is_closed() {
    let socket = socket();
    let mut readable = bits(&[socket.0, 1023]);
    let before = readable.clone();
    let sets = Sets {
        read: Some(&mut readable),
        write: None,
        except: None,
    };
    let failed = select(1024, sets, Until::Forever, Mask::NONE);
    assert_eq!(failed, Err(Errno::BADF));
    assert_eq!(readable, before);
}
