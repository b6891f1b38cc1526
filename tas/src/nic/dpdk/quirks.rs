//! What drivers say of their ports and should not be believed.

/// The driver of Intel's older gigabit NICs. It offers two queues, also of NICs that have one; what
/// there is of a second one receives nothing, as the driver does not spread frames, and shares with
/// the first the place where the NIC keeps how checksums are to be filled in.
const E1000: &str = "net_e1000_em";

/// Of the pairs of queues that a driver offers, how many work.
pub(super) fn usable_queues(driver: &str, offered: u16) -> u16 {
    match driver {
        E1000 => 1,
        _ => offered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_nics_are_not_believed_to_have_two_queues() {
        assert_eq!(usable_queues("net_e1000_em", 2), 1);
        assert_eq!(usable_queues("net_e1000_igb", 2), 2);
        assert_eq!(usable_queues("net_virtio", 8), 8);
    }
}
