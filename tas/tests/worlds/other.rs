//! Hosts with smoltcp, a TCP that others wrote.

use std::cell::Cell;
use std::collections::HashSet;
use std::net::Ipv4Addr;

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use tas::nic::sim::{Network, PortId, SimFrame, SimQueue};
use tas::nic::{Frame, Frames, NicQueue};
use tas::types::Micros;

use crate::plan::OtherConf;
use crate::talk::{Socket, View};

/// Ethernet header, which smoltcp counts as part of its largest transmission unit.
const ETHERNET: usize = 14;

thread_local! {
    /// smoltcp asks a function without arguments for its timestamps.
    static CLOCK: Cell<u32> = const { Cell::new(0) };
}

fn clock() -> u32 {
    CLOCK.get()
}

fn instant(now: Micros) -> Instant {
    Instant::from_micros(now.0 as i64)
}

/// A port for smoltcp.
struct Port {
    queue: SimQueue,
    received: Frames<SimFrame>,
    mtu: usize,
}

struct Received(SimFrame);

struct Sending<'a>(&'a mut SimQueue);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0.data())
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = self.0.alloc().expect("a port has more buffers than this");
        assert!(frame.set_len(len), "smoltcp respects its MTU");
        frame.data_mut().fill(0);
        let result = f(frame.data_mut());
        let mut frames = Frames::new();
        frames.push(frame);
        self.0.tx_burst(&mut frames);
        result
    }
}

impl Device for Port {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        if self.received.is_empty() {
            self.queue.rx_burst(&mut self.received);
        }
        let frame = self.received.pop_at(0)?;
        Some((Received(frame), Sending(&mut self.queue)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.queue))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + ETHERNET;
        capabilities
    }
}

/// A host with smoltcp.
pub struct Other {
    pub port: PortId,
    /// When it is not there any more, and says so to nobody.
    pub vanishes: Option<Micros>,
    conf: OtherConf,
    device: Port,
    interface: Interface,
    sockets: SocketSet<'static>,
    /// Sockets that were in a state from which an ordinary end leads to CLOSED.
    ending: HashSet<SocketHandle>,
    wakes: Option<Micros>,
}

impl Other {
    pub fn new(network: &Network, conf: &OtherConf, ip: [u8; 4], seed: u64, now: Micros) -> Other {
        let mut port = network.add(conf.port.clone());
        let mut device = Port {
            queue: port.queues.remove(0),
            received: Frames::new(),
            mtu: conf.port.mtu.into(),
        };
        let address = HardwareAddress::Ethernet(EthernetAddress(conf.port.mac.0));
        let mut config = Config::new(address);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut device, instant(now));
        interface.update_ip_addrs(|addresses| {
            let ours = IpCidr::new(IpAddress::Ipv4(Ipv4Addr::from(ip)), 24);
            addresses.push(ours).expect("room for one address");
        });
        Other {
            port: port.id,
            vanishes: conf.vanishes,
            conf: conf.clone(),
            device,
            interface,
            sockets: SocketSet::new(Vec::new()),
            ending: HashSet::new(),
            wakes: None,
        }
    }

    fn socket(&self, keepalive: bool) -> tcp::Socket<'static> {
        let (rx, tx) = self.conf.buffers;
        let buffer = |len| tcp::SocketBuffer::new(vec![0; len]);
        let mut socket = tcp::Socket::new(buffer(rx), buffer(tx));
        socket.set_nagle_enabled(self.conf.nagle);
        let delay = self.conf.ack_delay;
        socket.set_ack_delay(delay.map(|delay| Duration::from_micros(delay.0)));
        if self.conf.timestamps {
            socket.set_tsval_generator(Some(clock));
        }
        socket.set_congestion_control(if self.conf.reno {
            tcp::CongestionControl::Reno
        } else {
            tcp::CongestionControl::None
        });
        if keepalive {
            socket.set_keep_alive(Some(Duration::from_secs(2)));
            socket.set_timeout(Some(Duration::from_secs(600)));
        }
        socket
    }

    pub fn listen(&mut self, port: u16, keepalive: bool) -> SocketHandle {
        let mut socket = self.socket(keepalive);
        socket.listen(port).expect("a port");
        self.sockets.add(socket)
    }

    pub fn connect(
        &mut self,
        to: (Ipv4Addr, u16),
        from_port: u16,
        keepalive: bool,
    ) -> SocketHandle {
        let mut socket = self.socket(keepalive);
        let context = self.interface.context();
        let to = (IpAddress::Ipv4(to.0), to.1);
        socket.connect(context, to, from_port).expect("an address");
        self.sockets.add(socket)
    }

    /// Lets the stack work. True when something happened.
    pub fn turn(&mut self, now: Micros) -> bool {
        CLOCK.set((now.0 / 1000) as u32);
        let at = instant(now);
        self.note_ending();
        let changed = self.interface.poll(at, &mut self.device, &mut self.sockets);
        let wakes = self.interface.poll_at(at, &self.sockets);
        self.wakes = wakes.map(|at| Micros(at.total_micros().max(0) as u64));
        changed == PollResult::SocketStateChanged
    }

    /// Nobody is there: what arrives disappears.
    pub fn ignore(&mut self) {
        while self.device.receive(Instant::ZERO).is_some() {}
        self.wakes = None;
    }

    fn note_ending(&mut self) {
        for (handle, socket) in self.sockets.iter() {
            let smoltcp::socket::Socket::Tcp(socket) = socket;
            if matches!(socket.state(), tcp::State::LastAck | tcp::State::TimeWait) {
                self.ending.insert(handle);
            }
        }
    }

    /// When it does something by itself.
    pub fn wakes(&self) -> Option<Micros> {
        self.wakes
    }

    pub fn conn(&mut self, handle: SocketHandle) -> OtherConn<'_> {
        OtherConn {
            ended: self.ending.contains(&handle),
            socket: self.sockets.get_mut(handle),
        }
    }
}

/// A connection of smoltcp's.
pub struct OtherConn<'a> {
    socket: &'a mut tcp::Socket<'static>,
    /// If it is closed, then not by a reset.
    ended: bool,
}

impl OtherConn<'_> {
    /// It is established, or was.
    pub fn is_up(&self) -> bool {
        use tcp::State::{Closed, Listen, SynReceived, SynSent};
        !matches!(self.socket.state(), Closed | Listen | SynReceived | SynSent)
    }

    pub fn is_closed(&self) -> bool {
        self.socket.state() == tcp::State::Closed
    }

    /// Nothing more will be sent but answers to the peer's FIN.
    pub fn is_done(&self) -> bool {
        matches!(
            self.socket.state(),
            tcp::State::Closed | tcp::State::TimeWait
        )
    }
}

impl Socket for OtherConn<'_> {
    fn view(&self) -> View {
        use tcp::State::{CloseWait, Closed, Closing, FinWait2, LastAck, TimeWait};
        let state = self.socket.state();
        let closed = state == Closed;
        let ended = matches!(state, CloseWait | Closing | LastAck | TimeWait);
        View {
            readable: self.socket.recv_queue(),
            writable: if self.socket.can_send() {
                self.socket.send_capacity() - self.socket.send_queue()
            } else {
                0
            },
            ended: ended || closed && self.ended,
            reset: closed && !self.ended,
            timed_out: false,
            acknowledged: matches!(state, FinWait2 | TimeWait | Closed),
        }
    }

    fn read(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(self.socket.recv_queue())];
        let len = self.socket.recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(len);
        bytes
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        self.socket.send_slice(bytes).unwrap_or(0)
    }

    fn shutdown(&mut self) -> bool {
        self.socket.close();
        true
    }

    fn close(&mut self) -> bool {
        self.socket.close();
        true
    }

    fn reset(&mut self) {
        self.socket.abort();
    }
}
