//! Epolls without a service: of the kernel's descriptors, of one another, and of
//! sockets whose readiness the test sets.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use libc::epoll_event;
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::control::{Change, control};
use super::members::{ET, EXCLUSIVE, Interest, ONESHOT};
use crate::close;
use crate::ffi::events::{Mask, Time, Told};
use crate::ready::{ERR, HUP, IN, OUT, RDHUP};
use crate::socket::Domain;
use crate::{Result, create, table};

/// A descriptor of ours, closed at the end of the test.
struct Fd(c_int);

impl Drop for Fd {
    fn drop(&mut self) {
        let _ = close::close(self.0);
    }
}

fn epoll() -> Fd {
    Fd(super::create(true).unwrap())
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
    let before = socket.set_ready(bits);
    super::tell_all(&locked.state().items, bits & !before);
}

fn again(fd: c_int, bits: u32) {
    let socket = table::socket(fd).unwrap();
    let mut locked = socket.lock_any().unwrap();
    super::tell_all(&locked.state().items, bits);
}

fn add(epfd: &Fd, fd: c_int, events: u32) -> Result<()> {
    let data = fd as u64;
    control(epfd.0, fd, Change::Add(Interest { events, data }))
}

fn modify(epfd: &Fd, fd: c_int, events: u32) -> Result<()> {
    let data = fd as u64;
    control(epfd.0, fd, Change::Modify(Interest { events, data }))
}

fn delete(epfd: &Fd, fd: c_int) -> Result<()> {
    control(epfd.0, fd, Change::Delete)
}

fn wait_for(epfd: c_int, most: usize, ms: c_int) -> Result<Vec<(u32, c_int)>> {
    let mut room = vec![MaybeUninit::<epoll_event>::uninit(); most];
    let mut told = Told::new(&mut room);
    super::wait::wait(epfd, &mut told, Time::Millis(ms), Mask::NONE)?;
    Ok(told
        .events()
        .map(|(bits, data)| (bits, data as c_int))
        .collect())
}

fn now(epfd: &Fd) -> Vec<(u32, c_int)> {
    wait_for(epfd.0, 8, 0).unwrap()
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = std::io::pipe().unwrap();
    (read.into(), write.into())
}

fn write(fd: &OwnedFd) {
    rustix::io::write(fd, b"x").unwrap();
}

#[test]
fn errors_are_the_kernels() {
    let (epfd, member) = (epoll(), socket());
    let (read, _write) = pipe();
    assert_eq!(add(&epfd, member.0, IN), Ok(()));
    assert_eq!(add(&epfd, member.0, IN), Err(Errno::EXIST));
    assert_eq!(delete(&epfd, member.0), Ok(()));
    assert_eq!(delete(&epfd, member.0), Err(Errno::NOENT));
    assert_eq!(modify(&epfd, member.0, IN), Err(Errno::NOENT));
    assert_eq!(add(&epfd, epfd.0, IN), Err(Errno::INVAL));
    assert_eq!(add(&member, epfd.0, IN), Err(Errno::INVAL));
    assert_eq!(add(&epfd, -1, IN), Err(Errno::BADF));
    assert_eq!(add(&epfd, read.as_raw_fd(), IN), Ok(()));
    assert_eq!(add(&epfd, read.as_raw_fd(), IN), Err(Errno::EXIST));
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(add(&epfd, file.as_raw_fd(), IN), Err(Errno::PERM));
    assert_eq!(wait_for(member.0, 1, 0), Err(Errno::INVAL));
}

#[test]
fn exclusive_members_are_added_once_and_never_changed() {
    let (epfd, member) = (epoll(), socket());
    let bad = add(&epfd, member.0, IN | EXCLUSIVE | ONESHOT);
    assert_eq!(bad, Err(Errno::INVAL));
    assert_eq!(add(&epfd, member.0, IN | EXCLUSIVE), Ok(()));
    assert_eq!(modify(&epfd, member.0, IN), Err(Errno::INVAL));
    assert_eq!(modify(&epfd, member.0, IN | EXCLUSIVE), Err(Errno::INVAL));
    let inside = epoll();
    let nested = add(&epfd, inside.0, IN | EXCLUSIVE);
    assert_eq!(nested, Err(Errno::INVAL));
}

#[test]
fn level_triggered_sockets_are_told_while_they_are_ready() {
    let (epfd, member) = (epoll(), socket());
    add(&epfd, member.0, IN | RDHUP).unwrap();
    assert_eq!(now(&epfd), []);
    set(member.0, IN | OUT);
    assert_eq!(now(&epfd), [(IN, member.0)]);
    assert_eq!(now(&epfd), [(IN, member.0)]);
    set(member.0, OUT | RDHUP | HUP);
    assert_eq!(now(&epfd), [(RDHUP | HUP, member.0)]);
    set(member.0, OUT);
    assert_eq!(now(&epfd), []);
}

#[test]
fn edges_are_told_once_and_again_when_set_anew() {
    let (epfd, member) = (epoll(), socket());
    set(member.0, IN);
    add(&epfd, member.0, IN | ET).unwrap();
    assert_eq!(now(&epfd), [(IN, member.0)]);
    assert_eq!(now(&epfd), []);
    again(member.0, IN);
    assert_eq!(now(&epfd), [(IN, member.0)]);
    modify(&epfd, member.0, IN | ET).unwrap();
    assert_eq!(now(&epfd), [(IN, member.0)]);
    again(member.0, OUT);
    assert_eq!(now(&epfd), []);
}

#[test]
fn one_shot_members_tell_nothing_until_modified() {
    let (epfd, member) = (epoll(), socket());
    add(&epfd, member.0, IN | ONESHOT).unwrap();
    set(member.0, IN);
    assert_eq!(now(&epfd), [(IN, member.0)]);
    set(member.0, IN | ERR | HUP);
    assert_eq!(now(&epfd), []);
    modify(&epfd, member.0, ONESHOT).unwrap();
    assert_eq!(now(&epfd), [(ERR | HUP, member.0)]);
}

#[test]
fn duplicates_are_members_of_their_own_and_the_last_close_removes_all() {
    let (epfd, member) = (epoll(), socket());
    let twin = Fd(create::duplicate(member.0, 0, true).unwrap());
    add(&epfd, member.0, IN).unwrap();
    add(&epfd, twin.0, IN).unwrap();
    set(member.0, IN);
    assert_eq!(now(&epfd).len(), 2);
    let first = member.0;
    drop(member);
    assert_eq!(
        now(&epfd).len(),
        2,
        "the socket lives, and so do its memberships"
    );
    // Closed, or another test's by now.
    assert!(delete(&epfd, first).is_err());
    drop(twin);
    assert_eq!(now(&epfd), []);
}

#[test]
fn foreign_descriptors_are_told_beside_sockets_that_are_always_ready() {
    let (epfd, member) = (epoll(), socket());
    let (read, write_end) = pipe();
    add(&epfd, member.0, IN).unwrap();
    add(&epfd, read.as_raw_fd(), IN).unwrap();
    set(member.0, IN);
    write(&write_end);
    let seen = (0..200).any(|_| {
        let told = wait_for(epfd.0, 1, 0).unwrap();
        told == [(IN, read.as_raw_fd())]
    });
    assert!(seen, "a busy socket hides a pipe");
    set(member.0, 0);
    assert_eq!(now(&epfd), [(IN, read.as_raw_fd())]);
    assert_eq!(wait_for(epfd.0, 8, -1), Ok(vec![(IN, read.as_raw_fd())]));
}

#[test]
fn a_wait_ends_with_its_time() {
    let epfd = epoll();
    assert_eq!(wait_for(epfd.0, 1, 3), Ok(vec![]));
    let member = socket();
    add(&epfd, member.0, IN).unwrap();
    let begin = std::time::Instant::now();
    assert_eq!(wait_for(epfd.0, 1, 20), Ok(vec![]));
    assert!(begin.elapsed() >= Duration::from_millis(20));
}

/// Runs `change` when the thread that runs `wait` is likely to be asleep.
fn while_waiting<T: Send>(wait: impl FnOnce() -> T + Send, change: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let waiting = scope.spawn(wait);
        thread::sleep(Duration::from_millis(50));
        change();
        waiting.join().unwrap()
    })
}

#[test]
fn sleepers_are_woken_by_sockets_and_by_pipes() {
    let (epfd, member) = (epoll(), socket());
    let (read, write_end) = pipe();
    add(&epfd, member.0, IN).unwrap();
    let told = while_waiting(|| wait_for(epfd.0, 8, -1), || set(member.0, IN));
    assert_eq!(told, Ok(vec![(IN, member.0)]));
    set(member.0, 0);
    let told = while_waiting(
        || wait_for(epfd.0, 8, -1),
        || {
            add(&epfd, read.as_raw_fd(), IN).unwrap();
            thread::sleep(Duration::from_millis(20));
            write(&write_end);
        },
    );
    assert_eq!(told, Ok(vec![(IN, read.as_raw_fd())]));
}

#[test]
fn a_sleeper_in_the_kernel_hears_of_the_first_socket() {
    let (epfd, member) = (epoll(), socket());
    let (read, _write) = pipe();
    add(&epfd, read.as_raw_fd(), IN).unwrap();
    let told = while_waiting(
        || wait_for(epfd.0, 8, -1),
        || {
            add(&epfd, member.0, IN).unwrap();
            thread::sleep(Duration::from_millis(20));
            set(member.0, IN);
        },
    );
    assert_eq!(told, Ok(vec![(IN, member.0)]));
    assert_eq!(wait_for(epfd.0, 8, 0), Ok(vec![(IN, member.0)]));
}

#[test]
fn an_edge_wakes_one_of_the_threads_that_wait() {
    let (epfd, member) = (epoll(), socket());
    add(&epfd, member.0, IN | ET).unwrap();
    let told: usize = thread::scope(|scope| {
        let waits: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| wait_for(epfd.0, 8, 300).unwrap().len()))
            .collect();
        thread::sleep(Duration::from_millis(50));
        set(member.0, IN);
        waits.into_iter().map(|wait| wait.join().unwrap()).sum()
    });
    assert_eq!(told, 1);
}

#[test]
fn of_exclusive_epolls_one_is_woken() {
    let member = socket();
    let epolls: Vec<Fd> = (0..4).map(|_| epoll()).collect();
    for epfd in &epolls {
        add(epfd, member.0, IN | ET | EXCLUSIVE).unwrap();
    }
    let told: usize = thread::scope(|scope| {
        let waits: Vec<_> = epolls
            .iter()
            .map(|epfd| scope.spawn(|| wait_for(epfd.0, 8, 300).unwrap().len()))
            .collect();
        thread::sleep(Duration::from_millis(50));
        set(member.0, IN);
        waits.into_iter().map(|wait| wait.join().unwrap()).sum()
    });
    assert_eq!(told, 1);
}

#[test]
fn epolls_in_epolls_pass_readiness_on() {
    let (outer, middle, inner, member) = (epoll(), epoll(), epoll(), socket());
    add(&outer, middle.0, IN).unwrap();
    add(&middle, inner.0, IN).unwrap();
    add(&inner, member.0, IN).unwrap();
    assert_eq!(now(&outer), []);
    set(member.0, IN);
    assert_eq!(now(&outer), [(IN, middle.0)]);
    assert_eq!(now(&outer), [(IN, middle.0)]);
    set(member.0, 0);
    assert_eq!(now(&outer), []);
    let told = while_waiting(|| wait_for(outer.0, 8, -1), || set(member.0, IN));
    assert_eq!(told, Ok(vec![(IN, middle.0)]));
    drop(inner);
    assert_eq!(now(&outer), []);
}

#[test]
fn epolls_in_epolls_hear_of_foreign_descriptors() {
    let (outer, inner) = (epoll(), epoll());
    let (read, write_end) = pipe();
    add(&outer, inner.0, IN).unwrap();
    add(&inner, read.as_raw_fd(), IN).unwrap();
    assert_eq!(now(&outer), []);
    let told = while_waiting(|| wait_for(outer.0, 8, -1), || write(&write_end));
    assert_eq!(told, Ok(vec![(IN, inner.0)]));
    assert_eq!(now(&outer), [(IN, inner.0)]);
}

#[test]
fn epolls_are_not_in_themselves_nor_too_deep() {
    let epolls: Vec<Fd> = (0..6).map(|_| epoll()).collect();
    for pair in epolls[..5].windows(2) {
        assert_eq!(add(&pair[0], pair[1].0, IN), Ok(()));
    }
    assert_eq!(add(&epolls[4], epolls[5].0, IN), Err(Errno::LOOP));
    assert_eq!(add(&epolls[5], epolls[0].0, IN), Err(Errno::LOOP));
    assert_eq!(add(&epolls[4], epolls[0].0, IN), Err(Errno::LOOP));
    assert_eq!(add(&epolls[0], epolls[1].0, IN), Err(Errno::EXIST));
    assert_eq!(delete(&epolls[0], epolls[1].0), Ok(()));
    assert_eq!(add(&epolls[4], epolls[0].0, IN), Ok(()));
}

#[test]
fn closing_the_epoll_leaves_its_sockets_usable_in_others() {
    let (first, second, member) = (epoll(), epoll(), socket());
    add(&first, member.0, IN).unwrap();
    add(&second, member.0, IN).unwrap();
    drop(first);
    set(member.0, IN);
    assert_eq!(now(&second), [(IN, member.0)]);
    let twin = Fd(create::duplicate(second.0, 0, true).unwrap());
    drop(second);
    assert_eq!(now(&twin), [(IN, member.0)]);
}

#[test]
fn closing_the_epoll_under_a_wait_lets_it_end() {
    let (epfd, member) = (epoll(), socket());
    let number = epfd.0;
    add(&epfd, member.0, IN).unwrap();
    let told = while_waiting(move || wait_for(number, 8, 200), move || drop(epfd));
    assert_eq!(told, Ok(vec![]));
}

#[test]
fn a_socket_that_becomes_the_kernels_stays_a_member() {
    let (epfd, member) = (epoll(), socket());
    add(&epfd, member.0, IN | OUT).unwrap();
    close::release(member.0).unwrap();
    assert!(!table::is_ours(member.0));
    // A socket of the kernel's that was never used.
    assert_eq!(now(&epfd), [(OUT | HUP, member.0)]);
    crate::sys::close(member.0);
    assert_eq!(now(&epfd), []);
}

#[test]
fn all_names_of_a_socket_become_the_kernels() {
    let first = socket();
    let second = crate::create::duplicate(first.0, 0, false).unwrap();
    close::release(second).unwrap();
    assert!(!table::is_ours(first.0) && !table::is_ours(second));
    crate::sys::close(first.0);
    crate::sys::close(second);
}

/// Readiness, memberships and epolls that come and go, all at the same time:
/// nothing blocks for ever, and no event is lost for the epoll that stays.
#[test]
fn everything_at_the_same_time() {
    const ROUNDS: usize = 2000;
    let members: Vec<Fd> = (0..8).map(|_| socket()).collect();
    let (outer, lasting) = (epoll(), epoll());
    add(&outer, lasting.0, IN).unwrap();
    for member in &members {
        add(&lasting, member.0, IN | ET).unwrap();
    }
    thread::scope(|scope| {
        let (members, outer, lasting) = (&members, &outer, &lasting);
        scope.spawn(move || {
            for round in 0..ROUNDS {
                let fd = members[round % members.len()].0;
                set(fd, 0);
                set(fd, IN);
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..ROUNDS / 10 {
                    let epfd = epoll();
                    for member in members {
                        add(&epfd, member.0, IN).unwrap();
                    }
                    add(outer, epfd.0, IN).unwrap();
                    wait_for(epfd.0, 4, 1).unwrap();
                    delete(&epfd, members[0].0).unwrap();
                }
            });
        }
        scope.spawn(move || {
            for _ in 0..ROUNDS {
                wait_for(outer.0, 4, 0).unwrap();
                wait_for(lasting.0, 4, 0).unwrap();
            }
        });
    });
    now(&lasting);
    for member in &members {
        set(member.0, 0);
    }
    assert_eq!(now(&lasting), []);
    for member in &members {
        set(member.0, IN);
        assert_eq!(now(&lasting), [(IN, member.0)]);
    }
}
