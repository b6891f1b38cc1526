//! The options of net_af_packet, the driver on top of packet sockets.
//!
//! It keeps frames in rings that it shares with the kernel, in slots of one size, and drops what
//! is larger. That size does not follow the interface's MTU by itself, and the driver does not
//! tell it, so both are done here.

/// Name of the driver.
pub(super) const DRIVER: &str = "net_af_packet";

/// A slot where `framesz=` is not given, and the part of it that the kernel's header and alignment
/// take, in bytes.
pub(super) const DEFAULT_SLOT: usize = 2048;
pub(super) const SLOT_HEADER: usize = 96;

/// Largest slot that packet buffers can take, whose length is a u16. Slots must divide blocks, and
/// blocks are powers of two.
const LARGEST_SLOT: usize = 32 * 1024;

/// Slots in each ring where they are larger than the default: 4 MiB of 9,000-byte frames.
const LARGE_SLOTS: usize = 256;

/// Ethernet header and a VLAN tag, in bytes.
const LINK_HEADER: usize = 14 + 4;

/// `framesz=` of a device among the EAL's arguments, in bytes.
pub(super) fn given_slot(arguments: &[String]) -> Option<usize> {
    arguments
        .iter()
        .filter_map(|a| options(a))
        .filter_map(|options| value(options, "framesz")?.parse().ok())
        .max()
}

/// The arguments, with slots for frames of the interface's MTU (`mtu_of`, in bytes) where they
/// leave the size open and the driver's default is too small.
pub(super) fn fit_slots(
    arguments: &[String],
    mtu_of: impl Fn(&str) -> Option<usize>,
) -> Vec<String> {
    let fitted = |argument: &String| {
        let options = options(argument)?;
        let chosen = ["framesz", "blocksz", "framecnt"];
        if chosen.iter().any(|name| value(options, name).is_some()) {
            return None;
        }
        let frame = mtu_of(value(options, "iface")?)? + LINK_HEADER + SLOT_HEADER;
        if frame <= DEFAULT_SLOT {
            return None;
        }
        let slot = frame.next_power_of_two().min(LARGEST_SLOT);
        Some(format!(
            "{argument},framesz={slot},blocksz={slot},framecnt={LARGE_SLOTS}"
        ))
    };
    arguments
        .iter()
        .map(|argument| fitted(argument).unwrap_or_else(|| argument.clone()))
        .collect()
}

/// The options of a device of this driver, if the argument is one.
fn options(argument: &str) -> Option<&str> {
    let (device, options) = argument.split_once(',')?;
    device.contains(DRIVER).then_some(options)
}

fn value<'a>(options: &'a str, name: &str) -> Option<&'a str> {
    options
        .split(',')
        .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(argument: &str, mtu: usize) -> String {
        let mtu_of = |name: &str| (name == "eth0").then_some(mtu);
        fit_slots(&[argument.to_owned()], mtu_of).remove(0)
    }

    #[test]
    fn the_slot_is_read_from_the_device_arguments() {
        let slot = |argument: &str| given_slot(&[argument.to_owned()]);
        let of_4k = "--vdev=net_af_packet0,iface=a,framesz=4096";
        assert_eq!(slot(of_4k), Some(4096));
        let of_8k = "net_af_packet0,framesz=8192,blocksz=65536";
        assert_eq!(slot(of_8k), Some(8192));
        assert_eq!(slot("--vdev=net_af_packet0,iface=a"), None);
        assert_eq!(slot("--vdev=net_tap0,framesz=4096"), None);
        assert_eq!(slot("--vdev=net_af_packet0,framesz=x"), None);
    }

    #[test]
    fn slots_fit_the_mtu_of_the_interface() {
        let device = "--vdev=net_af_packet0,iface=eth0,qpairs=2";
        for mtu in [576, 1500, 1934] {
            assert_eq!(fit(device, mtu), device, "{mtu}");
        }
        for (mtu, slot) in [
            (1935, 4096),
            (9000, 16384),
            (16270, 16384),
            (16271, 32768),
            (65535, 32768),
        ] {
            let fitted = format!("{device},framesz={slot},blocksz={slot},framecnt=256");
            assert_eq!(fit(device, mtu), fitted, "{mtu}");
        }
    }

    #[test]
    fn what_is_given_or_no_such_device_is_left_alone() {
        for argument in [
            "--vdev=net_af_packet0,iface=eth0,framesz=4096,blocksz=4096",
            "--vdev=net_af_packet0,iface=eth0,blocksz=8192",
            "--vdev=net_af_packet0,iface=eth0,framecnt=1024",
            "--vdev=net_af_packet0,iface=eth1",
            "--vdev=net_af_packet0",
            "--vdev=net_af_xdp0,iface=eth0",
            "--vdev=net_tap0,remote=net_af_packet,iface=eth0",
            "",
        ] {
            assert_eq!(fit(argument, 9000), argument);
        }
    }
}
