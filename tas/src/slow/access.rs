//! Who may attach, by what the kernel says of the peer (SO_PEERCRED, /proc/PID/status).

use std::fs;

use tas_shm::fdpass::PeerCred;

use crate::config::Config;

/// Number of CAP_NET_BIND_SERVICE (capabilities(7)).
const CAP_NET_BIND_SERVICE: u32 = 10;
/// Ports below this need the capability (ip(7)).
pub const UNPRIVILEGED_PORTS: u16 = 1024;

/// The rules.
#[derive(Clone, Debug)]
pub struct Access {
    uids: Vec<u32>,
    gids: Vec<u32>,
    mode: u32,
    group: Option<u32>,
    low_ports: bool,
    own_uid: u32,
    own_gid: u32,
}

/// What the kernel says of a process beyond SO_PEERCRED.
#[derive(Default, Debug, PartialEq, Eq)]
struct Status {
    groups: Vec<u32>,
    capabilities: u64,
}

impl Access {
    /// As the options say.
    pub fn new(config: &Config) -> Access {
        Access {
            uids: config.allow.uids.clone(),
            gids: config.allow.gids.clone(),
            mode: config.shm_mode,
            group: config.shm_group,
            low_ports: config.allow.low_ports,
            own_uid: rustix::process::geteuid().as_raw(),
            own_gid: rustix::process::getegid().as_raw(),
        }
    }

    /// Whether a process may attach.
    pub fn admits(&self, peer: PeerCred) -> bool {
        peer.uid == 0 || self.admits_with(peer, &Status::of(peer.pid))
    }

    /// Whether it may listen on ports below 1024.
    pub fn low_ports(&self, peer: PeerCred) -> bool {
        self.low_ports || Status::of(peer.pid).capabilities & (1 << CAP_NET_BIND_SERVICE) != 0
    }

    fn admits_with(&self, peer: PeerCred, status: &Status) -> bool {
        let in_group = |gid: u32| peer.gid == gid || status.groups.contains(&gid);
        if !self.uids.is_empty() || !self.gids.is_empty() {
            return self.uids.contains(&peer.uid) || self.gids.iter().any(|gid| in_group(*gid));
        }
        // The same as for a file of this mode, group and owner; attaching takes reading and
        // writing.
        let bits = if peer.uid == self.own_uid {
            self.mode >> 6
        } else if in_group(self.group.unwrap_or(self.own_gid)) {
            self.mode >> 3
        } else {
            self.mode
        };
        bits & 6 == 6
    }
}

impl Status {
    fn of(pid: u32) -> Status {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .map(|text| Status::parse(&text))
            .unwrap_or_default()
    }

    fn parse(text: &str) -> Status {
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_default()
        };
        Status {
            groups: value("Groups:")
                .split_whitespace()
                .filter_map(|gid| gid.parse().ok())
                .collect(),
            capabilities: u64::from_str_radix(value("CapEff:").trim(), 16).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(mode: u32) -> Access {
        Access {
            uids: vec![],
            gids: vec![],
            mode,
            group: Some(50),
            low_ports: false,
            own_uid: 7,
            own_gid: 8,
        }
    }

    fn peer(uid: u32, gid: u32) -> PeerCred {
        PeerCred { pid: 0, uid, gid }
    }

    #[test]
    fn mode_decides_as_for_a_file() {
        let none = Status::default();
        assert!(access(0o660).admits_with(peer(7, 9), &none));
        assert!(access(0o660).admits_with(peer(9, 50), &none));
        assert!(!access(0o660).admits_with(peer(9, 9), &none));
        assert!(!access(0o640).admits_with(peer(9, 50), &none));
        assert!(access(0o666).admits_with(peer(9, 9), &none));
        let member = Status {
            groups: vec![3, 50],
            capabilities: 0,
        };
        assert!(access(0o660).admits_with(peer(9, 9), &member));
    }

    #[test]
    fn lists_replace_the_mode() {
        let mut access = access(0o666);
        access.uids = vec![20];
        assert!(access.admits_with(peer(20, 9), &Status::default()));
        assert!(!access.admits_with(peer(21, 50), &Status::default()));
        access.gids = vec![50];
        assert!(access.admits_with(peer(21, 50), &Status::default()));
    }

    #[test]
    fn status_file_is_understood() {
        let text = "Name:\tx\nGroups:\t4 24 \nCapEff:\t0000000000000400\n";
        let status = Status::parse(text);
        assert_eq!(
            status,
            Status {
                groups: vec![4, 24],
                capabilities: 1 << CAP_NET_BIND_SERVICE
            }
        );
        assert_eq!(Status::parse(""), Status::default());
    }
}
