//! Keeping the kernel's own IP stack away from frames that are ours.
//!
//! net_af_packet receives copies: the kernel goes on with the frame itself, looks for a route to
//! an address that it does not have, and drops it. That costs as much as the copy, and where the
//! kernel forwards packets it would send ours on. A small BPF program, attached to the interface's
//! traffic control behind the packet sockets (tcx, Linux 6.6), drops them first. It is gone with
//! its descriptor, however the service ends.

use std::ffi::c_long;
use std::io;
use std::mem;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Commands, types and verdicts of linux/bpf.h.
const BPF_PROG_LOAD: c_long = 5;
const BPF_LINK_CREATE: c_long = 28;
const BPF_PROG_TYPE_SCHED_CLS: u32 = 3;
const BPF_TCX_INGRESS: u32 = 46;
const TCX_NEXT: i32 = -1;
const TCX_DROP: i32 = 2;

/// Where the type of an Ethernet frame is, its value for IPv4, and where the destination address
/// of an IPv4 packet without VLAN tag is.
const ETHERTYPE_AT: i32 = 12;
const ETHERTYPE_IPV4: i32 = 0x0800;
const DESTINATION_AT: i32 = 14 + 16;

/// Makes the kernel's own stack drop IPv4 packets to `addresses` that arrive on an interface, as
/// long as the returned value lives.
pub(super) fn drop_packets_to(addresses: &[Ipv4Addr], interface: u32) -> io::Result<OwnedFd> {
    let program = load(&program(addresses)?)?;
    link(&program, interface)
}

/// An instruction, as the kernel reads it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instruction {
    code: u8,
    /// Destination in the lower four bits, source in the upper.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, registers: u8, offset: i16, immediate: i32) -> Self {
        Self {
            code,
            registers,
            offset,
            immediate,
        }
    }

    /// r6 = r1: where loads from the packet expect their context.
    const TAKE_CONTEXT: Self = Self::new(0xbf, 0x16, 0, 0);
    const EXIT: Self = Self::new(0x95, 0, 0, 0);

    /// r0 = the 16 bits at `offset` of the frame; ends the program with 0 where the frame ends
    /// before, and 0 lets it pass.
    const fn load_16(offset: i32) -> Self {
        Self::new(0x28, 0, 0, offset)
    }

    /// The same with 32 bits.
    const fn load_32(offset: i32) -> Self {
        Self::new(0x20, 0, 0, offset)
    }

    /// Skips `skip` instructions unless r0 is `value`.
    const fn skip_unless(value: i32, skip: i16) -> Self {
        Self::new(0x56, 0, skip, value)
    }

    /// Skips `skip` instructions if r0 is `value`.
    const fn skip_if(value: i32, skip: i16) -> Self {
        Self::new(0x16, 0, skip, value)
    }

    /// r0 = `value`.
    const fn answer(value: i32) -> Self {
        Self::new(0xb7, 0, 0, value)
    }
}

fn program(addresses: &[Ipv4Addr]) -> io::Result<Vec<Instruction>> {
    let too_many = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let count = i16::try_from(addresses.len()).map_err(too_many)?;
    let mut program = vec![
        Instruction::TAKE_CONTEXT,
        Instruction::load_16(ETHERTYPE_AT),
        // Behind the load and the comparisons.
        Instruction::skip_unless(ETHERTYPE_IPV4, count + 1),
        Instruction::load_32(DESTINATION_AT),
    ];
    // Behind the other comparisons, and the two instructions of the other answer.
    program.extend(
        addresses
            .iter()
            .zip((0..count).rev())
            .map(|(address, left)| Instruction::skip_if(address.to_bits().cast_signed(), left + 2)),
    );
    for answer in [TCX_NEXT, TCX_DROP] {
        program.extend([Instruction::answer(answer), Instruction::EXIT]);
    }
    Ok(program)
}

/// The beginning of bpf_attr for BPF_PROG_LOAD, up to what is used.
#[repr(C)]
struct LoadAttr {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The same for BPF_LINK_CREATE.
#[repr(C)]
struct LinkAttr {
    prog_fd: RawFd,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
    relative_fd: u32,
    padding: u32,
    expected_revision: u64,
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attr = LoadAttr {
        prog_type: BPF_PROG_TYPE_SCHED_CLS,
        insn_cnt: program.len() as u32,
        insns: program.as_ptr() as u64,
        license: c"MIT".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
    };
    // SAFETY: the attribute begins as bpf_attr does for this command, without padding; its
    // pointers are to insn_cnt instructions and a terminated string, which outlive the call.
    unsafe { bpf(BPF_PROG_LOAD, &attr) }
}

fn link(program: &OwnedFd, interface: u32) -> io::Result<OwnedFd> {
    let attr = LinkAttr {
        prog_fd: program.as_raw_fd(),
        target_ifindex: interface,
        attach_type: BPF_TCX_INGRESS,
        flags: 0,
        relative_fd: 0,
        padding: 0,
        expected_revision: 0,
    };
    // SAFETY: the attribute begins as bpf_attr does for this command, without padding, and has no
    // pointers.
    unsafe { bpf(BPF_LINK_CREATE, &attr) }
}

/// The bpf system call, for commands that return a descriptor.
///
/// # Safety
/// `attr` is what the command reads, without padding.
unsafe fn bpf<A>(command: c_long, attr: &A) -> io::Result<OwnedFd> {
    // SAFETY: the kernel reads the given number of bytes of attr, which the caller vouches for.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_ref(attr),
            mem::size_of::<A>(),
        )
    };
    let fd = RawFd::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, and its descriptor is new.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

const _: () = assert!(mem::size_of::<Instruction>() == 8);
const _: () = assert!(mem::size_of::<LoadAttr>() == 48);
const _: () = assert!(mem::size_of::<LinkAttr>() == 32);

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers for a frame.
    fn run(program: &[Instruction], frame: &[u8]) -> i32 {
        let (mut at, mut r0) = (0usize, 0i32);
        loop {
            let Instruction {
                code,
                offset,
                immediate,
                ..
            } = program[at];
            at += 1;
            let from = immediate as usize;
            match code {
                0xbf => {}
                0x28 if frame.len() < from + 2 => return 0,
                0x28 => r0 = i32::from(u16::from_be_bytes([frame[from], frame[from + 1]])),
                0x20 if frame.len() < from + 4 => return 0,
                0x20 => r0 = i32::from_be_bytes(frame[from..from + 4].try_into().unwrap()),
                0x56 if r0 != immediate => at += offset as usize,
                0x16 if r0 == immediate => at += offset as usize,
                0x56 | 0x16 => {}
                0xb7 => r0 = immediate,
                0x95 => return r0,
                _ => panic!("unknown instruction {code:#x}"),
            }
        }
    }

    fn frame(ethertype: u16, to: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        frame[30..34].copy_from_slice(&to.octets());
        frame
    }

    #[test]
    fn drops_what_is_for_its_addresses_and_nothing_else() {
        let ours = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(192, 168, 3, 4)];
        let program = program(&ours).unwrap();
        for address in ours {
            assert_eq!(run(&program, &frame(0x0800, address)), TCX_DROP);
            // ARP, and a packet with a VLAN tag.
            assert_eq!(run(&program, &frame(0x0806, address)), TCX_NEXT);
            assert_eq!(run(&program, &frame(0x8100, address)), TCX_NEXT);
        }
        let other = Ipv4Addr::new(10, 0, 0, 2);
        assert_eq!(run(&program, &frame(0x0800, other)), TCX_NEXT);
        assert_eq!(run(&program, &frame(0x0800, ours[0])[..33]), 0);
        assert_eq!(run(&program, &[0; 13]), 0);
    }

    #[test]
    fn without_addresses_everything_passes() {
        let program = program(&[]).unwrap();
        assert_eq!(run(&program, &frame(0x0800, Ipv4Addr::LOCALHOST)), TCX_NEXT);
    }
}
