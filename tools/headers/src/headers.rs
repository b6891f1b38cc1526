//! The headers and what each is made of.

use tas_abi::{appif, memif, trace};

/// One header.
pub struct Header {
    /// Where it is written, from the root of the tree.
    pub path: &'static str,
    /// First line of the comment at its top.
    pub about: &'static str,
    /// Rust files whose declarations it has.
    pub sources: &'static [&'static str],
    /// Headers it includes, with their quotes or brackets.
    pub includes: &'static [&'static str],
    /// Structures that it uses and that are declared elsewhere.
    pub foreign: &'static [&'static str],
    /// Functions of the sources that it declares.
    pub functions: Functions,
    /// String constants, which cbindgen does not know.
    pub strings: &'static [(&'static str, &'static str)],
    /// C text before the declarations.
    pub text: &'static str,
    /// Replacements of what cbindgen cannot express; each must apply once.
    pub patches: &'static [(&'static str, &'static str)],
}

/// A choice of functions.
#[derive(Clone, Copy)]
pub enum Functions {
    /// Only these.
    Only(&'static [&'static str]),
    /// All but these.
    Except(&'static [&'static str]),
    /// Those whose names start with this, and not with any of these.
    Starting {
        with: &'static str,
        but_not: &'static [&'static str],
    },
}

impl Functions {
    /// Those outside the choice, out of those that are defined.
    pub fn unwanted<'a>(self, defined: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        match self {
            Self::Only(names) => defined.filter(|name| !names.contains(name)).collect(),
            Self::Except(names) => names.to_vec(),
            Self::Starting { with, but_not } => {
                let wanted = |name: &str| {
                    name.starts_with(with) && !but_not.iter().any(|other| name.starts_with(other))
                };
                defined.filter(|name| !wanted(name)).collect()
            }
        }
    }
}

impl Header {
    /// Its name without directories.
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

const PLAIN: Header = Header {
    path: "",
    about: "",
    sources: &[],
    includes: &["<stdint.h>"],
    foreign: &[],
    functions: Functions::Except(&[]),
    strings: &[],
    text: "",
    patches: &[],
};

/// All generated headers.
pub const HEADERS: &[Header] = &[
    Header {
        path: "include/packet_defs.h",
        about: "Ethernet, ARP, IPv4 and TCP headers.",
        sources: &["lib/abi/src/packet.rs"],
        includes: &["<arpa/inet.h>", "<stdint.h>", "\"utils.h\""],
        text: include_str!("text/packet_defs.h"),
        ..PLAIN
    },
    Header {
        path: "include/kernel_appif.h",
        about: "Messages between an application and the slow path.",
        sources: &[
            "lib/abi/src/appif.rs",
            "lib/abi/src/appif/sockets.rs",
            "lib/abi/src/appif/family.rs",
            "lib/abi/src/appif/layout.rs",
        ],
        strings: &[
            ("KERNEL_SOCKET_PATH", appif::KERNEL_SOCKET_PATH),
            ("TAS_SOCKET_PATH", appif::TAS_SOCKET_PATH),
            ("TAS_JOIN_SOCKET_PATH", appif::TAS_JOIN_SOCKET_PATH),
        ],
        patches: &[
            ("enum KERNEL_APPOUT {", "enum kernel_appout_type {"),
            ("enum KERNEL_APPIN {", "enum kernel_appin_type {"),
        ],
        ..PLAIN
    },
    Header {
        path: "include/tas_memif.h",
        about: "Memory shared between service, applications and tools.",
        sources: &["lib/abi/src/memif.rs", "lib/abi/src/memif/layout.rs"],
        includes: &["<stdint.h>", "\"packet_defs.h\"", "\"utils.h\""],
        foreign: &["EthAddr"],
        strings: &[
            ("FLEXNIC_HUGE_PREFIX", memif::FLEXNIC_HUGE_PREFIX),
            ("FLEXNIC_NAME_INFO", memif::FLEXNIC_NAME_INFO),
            ("FLEXNIC_NAME_DMA_MEM", memif::FLEXNIC_NAME_DMA_MEM),
            (
                "FLEXNIC_NAME_INTERNAL_MEM",
                memif::FLEXNIC_NAME_INTERNAL_MEM,
            ),
        ],
        patches: &[
            (
                "aligned(64) flextcp_pl_flowst {",
                "aligned(64))) flextcp_pl_flowst {",
            ),
            // Rust refuses to pack a structure with aligned parts.
            (
                "struct flextcp_pl_mem {",
                "struct __attribute__((packed)) flextcp_pl_mem {",
            ),
        ],
        ..PLAIN
    },
    Header {
        path: "include/tas_trace.h",
        about: "Trace buffers of the fast-path cores.",
        sources: &["lib/abi/src/trace.rs"],
        strings: &[("FLEXNIC_TRACE_NAME", trace::FLEXNIC_TRACE_NAME)],
        ..PLAIN
    },
    Header {
        path: "include/utils_rng.h",
        about: "Random numbers for load generators and tests; not for secrets.",
        sources: &["lib/utils/src/rng/mod.rs", "lib/utils/src/rng/ffi.rs"],
        includes: &["<stddef.h>", "<stdint.h>"],
        ..PLAIN
    },
    Header {
        path: "include/utils_timeout.h",
        about: "Timeouts that lie in their owner's memory.",
        sources: &[
            "lib/utils/src/timeout/mod.rs",
            "lib/utils/src/timeout/ffi.rs",
        ],
        functions: Functions::Except(&["clock_gettime"]),
        ..PLAIN
    },
    Header {
        path: "lib/tas/include/tas_ll.h",
        about: "Low-level interface to the TAS service.",
        sources: &[
            "lib/abi/src/ll.rs",
            "lib/tas/src/ffi.rs",
            "lib/tas/src/ffi/seams.rs",
        ],
        includes: &["<stddef.h>", "<stdint.h>", "<sys/types.h>"],
        foreign: &["AtxEntry"],
        functions: Functions::Except(&[
            "flexnic_driver_connect",
            "flexnic_driver_internal",
            // The service's replacement in a test harness declares it itself.
            "flextcp_kernel_connect",
        ]),
        text: "\nstruct flextcp_pl_atx;\n",
        patches: &[("enum FLEXTCP_EV {", "enum flextcp_event_type {")],
        ..PLAIN
    },
    Header {
        path: "lib/tas/include/tas_ll_connect.h",
        about: "How the low-level library finds the service's memory.",
        sources: &["lib/tas/src/ffi/seams.rs"],
        functions: Functions::Only(&["flexnic_driver_connect", "flexnic_driver_internal"]),
        foreign: &["FlexnicInfo"],
        text: "\nstruct flexnic_info;\n",
        ..PLAIN
    },
    Header {
        path: "lib/sockets/include/tas_sockets.h",
        about: "The kernel's socket calls, on the TAS service.",
        sources: &[
            "lib/sockets/src/ffi/calls.rs",
            "lib/sockets/src/ffi/options.rs",
            "lib/sockets/src/ffi/data.rs",
            "lib/sockets/src/ffi/messages.rs",
            "lib/sockets/src/ffi/transfer.rs",
            "lib/sockets/src/ffi/poll.rs",
            "lib/sockets/src/ffi/compat.rs",
        ],
        includes: &[
            "<poll.h>",
            "<signal.h>",
            "<stddef.h>",
            "<sys/epoll.h>",
            "<sys/select.h>",
            "<sys/socket.h>",
            "<sys/types.h>",
            "<sys/uio.h>",
            "<time.h>",
        ],
        foreign: &[
            "epoll_event",
            "iovec",
            "msghdr",
            "pollfd",
            "sockaddr",
            "timespec",
            "timeval",
        ],
        functions: Functions::Starting {
            with: "tas_",
            but_not: &["tas_libc_", "tas_sock_"],
        },
        // Functions with three dots can be called in Rust, but not be defined.
        patches: &[
            ("int command, unsigned long arg)", "int command, ...)"),
            (
                "unsigned long request, unsigned long arg)",
                "unsigned long request, ...)",
            ),
        ],
        ..PLAIN
    },
];
