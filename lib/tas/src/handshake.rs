//! The conversation on the service's unix socket, and the regions.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::Duration;

use tas_abi::appif::{
    JoinAnswer, JoinConn, JoinListener, JoinRequest, KERNEL_SOCKET_PATH, TAS_JOIN_SOCKET_PATH,
    TAS_JOIN_VERSION, TAS_SOCKET_PATH, TAS_UXSOCK_DECLARE, TAS_UXSOCK_PROCESS, TAS_UXSOCK_SOCKETS,
    TAS_UXSOCK_TOKEN, TAS_UXSOCK_VERSION, UxsockHello, UxsockQueue, UxsockRequest, UxsockResponse,
};
use tas_abi::ll::FLEXTCP_MAX_FTCPCORES;
use tas_abi::memif::{
    FLEXNIC_FLAG_HUGEPAGES, FLEXNIC_FLAG_READY, FLEXNIC_HUGE_PREFIX, FLEXNIC_INFO_BYTES,
    FLEXNIC_NAME_DMA_MEM, FLEXNIC_NAME_INFO, FLEXNIC_NAME_INTERNAL_MEM, FlexnicInfo, InfoExt,
    TAS_INFO_EXT_OFF, TAS_INFO_EXT_SLEEPS, TAS_INFO_EXT_SOCKETS,
};
use tas_shm::fdpass::{abstract_connect, out_of_the_way, recv_with_fds, send_with_fds};
use tas_shm::{Backing, Mapping};
use zerocopy::{FromZeros, IntoBytes};

use crate::error::{Error, Result};
use crate::ffi::sign;
use crate::network;

/// Where regions lie that are not in huge pages.
const SHM_PREFIX: &str = "/dev/shm";
/// Descriptors of cores in one message.
const CORES_PER_MESSAGE: usize = 4;
/// A service that takes longer to answer than this is taken for broken.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the handshake gave this process.
pub(crate) struct Connection {
    /// Open as long as the application wants to be served.
    pub socket: UnixStream,
    /// Wakes the slow path.
    pub slow_path: OwnedFd,
    /// Wakes the cores.
    pub cores: Vec<OwnedFd>,
    /// The application's own region, if it has one.
    pub isolated: Option<Isolated>,
    /// The process that connected.
    pub pid: u32,
    /// What its children name it by, once it has asked.
    pub token: Option<u64>,
    /// The service knows whose socket it is: a child's was connected by its parent.
    pub introduced: bool,
}

impl Connection {
    /// All descriptors that it keeps.
    pub(crate) fn descriptors(&self) -> Vec<i32> {
        let isolated = self.isolated.iter();
        let regions = isolated.flat_map(|regions| [&regions.info, &regions.region]);
        let events = self.cores.iter().chain([&self.slow_path]);
        let owned = regions.chain(events).map(AsRawFd::as_raw_fd);
        owned.chain([self.socket.as_raw_fd()]).collect()
    }
}

/// A region of the application's own, and what describes the service.
pub(crate) struct Isolated {
    info: OwnedFd,
    region: OwnedFd,
    region_len: u64,
}

/// Mapped regions.
pub struct Regions {
    /// A [`FlexnicInfo`].
    pub info: NonNull<u8>,
    /// The memory that offsets in messages are relative to.
    pub mem: NonNull<u8>,
    /// The service knows the requests that sockets need.
    pub knows_sockets: bool,
}

fn protocol(what: &'static str) -> Error {
    Error::failure(libc::EPROTO, what)
}

/// Connects and takes what the service sends first.
pub(crate) fn connect() -> Result<Connection> {
    match abstract_connect(TAS_SOCKET_PATH.as_bytes()) {
        Ok(socket) => greet(socket, true),
        Err(_) => match abstract_connect(KERNEL_SOCKET_PATH.as_bytes()) {
            Ok(socket) => greet(socket, false),
            Err(error) => Err(Error::io("no TAS service to connect to", &error)),
        },
    }
}

fn greet(socket: UnixStream, isolating: bool) -> Result<Connection> {
    let socket = UnixStream::from(out_of_the_way(socket.into()));
    socket
        .set_read_timeout(Some(ANSWER_TIMEOUT))
        .map_err(|error| Error::io("cannot set up the socket", &error))?;
    let (cores_num, slow_path, isolated) = if isolating {
        greet_isolated(&socket)?
    } else {
        greet_shared(&socket)?
    };
    let cores_num = usize::try_from(cores_num).unwrap_or(usize::MAX);
    if cores_num == 0 || cores_num > FLEXTCP_MAX_FTCPCORES {
        return Err(protocol("the service names an impossible number of cores"));
    }
    let mut cores = Vec::with_capacity(cores_num);
    while cores.len() < cores_num {
        let count = (cores_num - cores.len()).min(CORES_PER_MESSAGE);
        let mut byte = [0];
        cores.extend(receive(&socket, &mut byte, count)?);
    }
    Ok(Connection {
        socket,
        slow_path,
        cores,
        isolated,
        pid: std::process::id(),
        token: None,
        introduced: true,
    })
}

type Greeting = (u32, OwnedFd, Option<Isolated>);

fn greet_shared(socket: &UnixStream) -> Result<Greeting> {
    let mut cores_num = 0u32;
    let mut fds = receive(socket, cores_num.as_mut_bytes(), 1)?.into_iter();
    let slow_path = fds.next().ok_or(protocol("a descriptor is missing"))?;
    Ok((cores_num, slow_path, None))
}

fn greet_isolated(socket: &UnixStream) -> Result<Greeting> {
    let mut hello = UxsockHello::default();
    let fds = receive(socket, hello.as_mut_bytes(), 3)?;
    if hello.version != TAS_UXSOCK_VERSION {
        return Err(protocol(
            "the service speaks another version of the handshake",
        ));
    }
    let [slow_path, info, region] =
        <[OwnedFd; 3]>::try_from(fds).map_err(|_| protocol("a descriptor is missing"))?;
    let isolated = Isolated {
        info,
        region,
        region_len: hello.region_len,
    };
    Ok((hello.cores_num, slow_path, Some(isolated)))
}

/// Receives exactly `buf` and `count` descriptors with it.
fn receive(socket: &UnixStream, buf: &mut [u8], count: usize) -> Result<Vec<OwnedFd>> {
    let got = recv_with_fds(socket.as_fd(), buf, count)
        .map_err(|error| Error::io("handshake", &error))?;
    if got.len == 0 {
        return Err(Error::failure(
            libc::ECONNREFUSED,
            "the service refused this application",
        ));
    }
    if got.fds.len() != count || got.truncated {
        return Err(protocol(
            "the service sent an unexpected number of descriptors",
        ));
    }
    if let Some(rest) = buf.get_mut(got.len..) {
        read_exact(socket, rest)?;
    }
    Ok(got.fds.into_iter().map(out_of_the_way).collect())
}

fn read_exact(mut socket: &UnixStream, buf: &mut [u8]) -> Result<()> {
    socket
        .read_exact(buf)
        .map_err(|error| Error::io("no answer from the service", &error))
}

/// Asks for a context. Returns the answer and the queues, one pair per core.
pub(crate) fn request_context(
    connection: &Connection,
    rxq_len: u32,
    txq_len: u32,
    evfd: BorrowedFd<'_>,
) -> Result<(UxsockResponse, Vec<UxsockQueue>)> {
    let socket = &connection.socket;
    let request = UxsockRequest { rxq_len, txq_len };
    let sent = send_with_fds(socket.as_fd(), request.as_bytes(), &[evfd])
        .map_err(|error| Error::io("cannot register a context", &error))?;
    if sent != size_of::<UxsockRequest>() {
        return Err(protocol("cannot register a context"));
    }
    let mut response = UxsockResponse::new_zeroed();
    read_exact(socket, response.as_mut_bytes())?;
    let count = usize::from(response.flexnic_qs_num);
    if count > FLEXTCP_MAX_FTCPCORES {
        return Err(protocol("the service names an impossible number of queues"));
    }
    let mut queues = vec![UxsockQueue::default(); count];
    read_exact(socket, queues.as_mut_slice().as_mut_bytes())?;
    if response.status != 0 {
        return Err(Error::failure(
            libc::ENOSPC,
            "the service has no room for another context",
        ));
    }
    Ok((response, queues))
}

/// Sends a request that is not for a context, and returns the answer.
fn ask(connection: &Connection, rxq_len: u32, txq_len: u32) -> Result<UxsockResponse> {
    let mut socket = &connection.socket;
    let request = UxsockRequest { rxq_len, txq_len };
    socket
        .write_all(request.as_bytes())
        .map_err(|error| Error::io("cannot talk to the service", &error))?;
    let mut response = UxsockResponse::new_zeroed();
    read_exact(socket, response.as_mut_bytes())?;
    if response.status != 0 {
        return Err(Error::expected(libc::EOPNOTSUPP));
    }
    Ok(response)
}

/// Tells the service whose socket it is, if it cannot know.
pub(crate) fn introduce(connection: &mut Connection) -> Result<()> {
    if !connection.introduced {
        ask(connection, TAS_UXSOCK_PROCESS, connection.pid)?;
        connection.introduced = true;
    }
    Ok(())
}

/// Says that this is an application with sockets.
pub(crate) fn declare_sockets(connection: &Connection) -> Result<()> {
    ask(connection, TAS_UXSOCK_DECLARE, TAS_UXSOCK_SOCKETS).map(|_| ())
}

/// What children name this process by.
pub(crate) fn token(connection: &mut Connection) -> Result<u64> {
    if let Some(token) = connection.token {
        return Ok(token);
    }
    let token = ask(connection, TAS_UXSOCK_TOKEN, 0)?.app_out_off;
    connection.token = Some(token);
    Ok(token)
}

/// Announces a child of the process with this token that inherits these. Returns the child's
/// socket and its own token.
pub(crate) fn join(
    token: u64,
    listeners: &[JoinListener],
    conns: &[JoinConn],
) -> Result<(UnixStream, u64)> {
    let failed = |error: io::Error| Error::io("cannot share sockets with a child", &error);
    let socket = abstract_connect(TAS_JOIN_SOCKET_PATH.as_bytes()).map_err(failed)?;
    let mut socket = UnixStream::from(out_of_the_way(socket.into()));
    let count = |n: usize| u32::try_from(n).map_err(|_| Error::expected(libc::E2BIG));
    let request = JoinRequest {
        version: TAS_JOIN_VERSION,
        listeners: count(listeners.len())?,
        conns: count(conns.len())?,
        reserved: 0,
        token,
    };
    let timeout = Some(ANSWER_TIMEOUT);
    socket.set_read_timeout(timeout).map_err(failed)?;
    socket.set_write_timeout(timeout).map_err(failed)?;
    let bytes = [request.as_bytes(), listeners.as_bytes(), conns.as_bytes()].concat();
    socket.write_all(&bytes).map_err(failed)?;
    let mut answer = JoinAnswer::default();
    read_exact(&socket, answer.as_mut_bytes())?;
    if answer.version != TAS_JOIN_VERSION {
        return Err(protocol(
            "the service speaks another version of the handshake",
        ));
    }
    Ok((socket, answer.token))
}

/// Maps the application's own region.
pub(crate) fn map_isolated(isolated: &Isolated) -> Result<Regions> {
    let info = map(
        isolated.info.as_fd(),
        FLEXNIC_INFO_BYTES as u64,
        false,
        "info page",
    )?;
    ready(&info)?;
    let mem = map(isolated.region.as_fd(), isolated.region_len, true, "region")?;
    let info: &'static Mapping = Box::leak(Box::new(info));
    let ext = info.read_at::<InfoExt>(TAS_INFO_EXT_OFF as u64).ok();
    let version = ext.as_ref().map_or(0, |ext| ext.version);
    if let Some(ext) = &ext {
        network::set(ext);
    }
    sign::set((version >= TAS_INFO_EXT_SLEEPS).then_some(info));
    Ok(Regions {
        info: info.as_ptr(),
        mem: keep(mem),
        knows_sockets: version >= TAS_INFO_EXT_SOCKETS,
    })
}

/// Maps the regions that all applications share.
pub(crate) fn map_legacy() -> Result<Regions> {
    let path = Path::new(SHM_PREFIX).join(FLEXNIC_NAME_INFO);
    let info = map_file(&path, FLEXNIC_INFO_BYTES as u64, false)?;
    let described = ready(&info)?;
    let path = region_path(&described, FLEXNIC_NAME_DMA_MEM);
    let mem = map_file(&path, described.dma_mem_size, true)?;
    sign::set(None);
    Ok(Regions {
        info: keep(info),
        mem: keep(mem),
        knows_sockets: false,
    })
}

/// Maps the service's own state, which tools look at.
pub(crate) fn map_internal(info: &FlexnicInfo) -> Result<NonNull<u8>> {
    let path = region_path(info, FLEXNIC_NAME_INTERNAL_MEM);
    map_file(&path, info.internal_mem_size, true).map(keep)
}

fn region_path(info: &FlexnicInfo, name: &str) -> PathBuf {
    let huge = info.flags & FLEXNIC_FLAG_HUGEPAGES != 0;
    Path::new(if huge {
        FLEXNIC_HUGE_PREFIX
    } else {
        SHM_PREFIX
    })
    .join(name)
}

fn map_file(path: &Path, len: u64, writable: bool) -> Result<Mapping> {
    let named = |error: &io::Error| Error::io(&path.display().to_string(), error);
    let backing = Backing::open(path, writable).map_err(|error| named(&error))?;
    if backing.len() < len {
        return Err(Error::failure(
            libc::EPROTO,
            format!("{}: too short", path.display()),
        ));
    }
    Mapping::new(backing.fd(), len, writable).map_err(|error| named(&error))
}

fn map(fd: BorrowedFd<'_>, len: u64, writable: bool, what: &'static str) -> Result<Mapping> {
    Mapping::new(fd, len, writable).map_err(|error| Error::io(what, &error))
}

fn ready(info: &Mapping) -> Result<FlexnicInfo> {
    let described: FlexnicInfo = info
        .read_at(0)
        .map_err(|_| protocol("the info page is too short"))?;
    if described.flags & FLEXNIC_FLAG_READY == 0 {
        return Err(Error::failure(libc::EAGAIN, "the service is not ready"));
    }
    Ok(described)
}

/// The place of a mapping that stays until the process ends.
fn keep(mapping: Mapping) -> NonNull<u8> {
    let place = mapping.as_ptr();
    std::mem::forget(mapping);
    place
}
