//! What is measured.

use serde::{Deserialize, Serialize};

/// Message sizes of the matrix, in bytes.
pub const BYTES: [u32; 4] = [64, 512, 1448, 8192];
/// Connections of the matrix.
pub const CONNECTIONS: [u32; 5] = [1, 16, 256, 4096, 32768];
/// Requests in flight on each connection of the matrix.
pub const PENDING: [u32; 2] = [1, 16];
/// Connections opened and closed at a time.
pub const CONNECTS: [u32; 3] = [1, 64, 256];

/// Buffers of a connection in each direction, in bytes.
const BUFFER: u32 = 16384;
/// The same with very many connections.
const SMALL_BUFFER: u32 = 2048;
const MANY_CONNECTIONS: u32 = 32768;
/// More bytes on their way than this take seconds to go round once.
const MAX_IN_FLIGHT: u64 = 1 << 30;

/// Congestion control of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Algorithm {
    /// No limit.
    ConstRate,
    /// DCTCP, by rates.
    DctcpRate,
    /// DCTCP, by windows.
    DctcpWin,
}

impl Algorithm {
    /// As the service's option has it.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::ConstRate => "const-rate",
            Algorithm::DctcpRate => "dctcp-rate",
            Algorithm::DctcpWin => "dctcp-win",
        }
    }
}

/// Options of the service; it is started anew when they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Congestion control.
    pub cc: Algorithm,
    /// Bytes of each buffer of a connection.
    pub buffer: u32,
}

/// The load of one measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Bytes of a request, and of its response.
    pub bytes: u32,
    /// Connections.
    pub connections: u32,
    /// Requests in flight on each.
    pub pending: u32,
}

/// What the original implementation does under the same load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Requests per second; none where it stalls.
    pub requests_per_s: Option<f64>,
    /// Median round trip in microseconds.
    pub p50_us: Option<f64>,
}

/// Which table a measurement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Beside the original's figures.
    Original,
    /// Sizes by connections by requests in flight.
    Matrix,
}

/// One measurement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// Where it is shown.
    pub table: Table,
    /// The service.
    pub setup: Setup,
    /// The load.
    pub load: Load,
    /// What to compare with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reference: Option<Reference>,
    /// Why it is not measured, if it is not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub skipped: Option<String>,
}

/// A measurement of the sockets library, beside the low-level one where they can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketsCell {
    /// The load.
    pub load: Load,
    /// Connections that are registered in the same epoll, and quiet; the
    /// low-level library has nothing of the kind.
    pub idle: u32,
}

/// A measurement of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryCell {
    /// The service.
    pub setup: Setup,
    /// Connections.
    pub connections: u32,
    /// Whether their buffers have been used.
    pub used: bool,
}

/// The service as the original was measured.
pub fn usual() -> Setup {
    Setup {
        cc: Algorithm::ConstRate,
        buffer: BUFFER,
    }
}

/// The rows for which the original's figures are known: 2.5 GHz Xeon, 16 KiB
/// buffers, medians of runs that vary by 20 % either way.
pub fn original() -> Vec<Cell> {
    use Algorithm::{ConstRate, DctcpRate, DctcpWin};
    [
        (ConstRate, 64, 1, 1, Some((300_000.0, 2.6))),
        (ConstRate, 64, 256, 1, Some((930_000.0, 250.0))),
        (ConstRate, 64, 256, 16, Some((8_300_000.0, 470.0))),
        (ConstRate, 512, 64, 1, Some((750_000.0, 76.0))),
        (ConstRate, 1448, 64, 1, Some((570_000.0, 98.0))),
        (ConstRate, 8192, 16, 4, Some((77_000.0, 790.0))),
        (ConstRate, 64, 1024, 1, None),
        (DctcpRate, 64, 256, 1, Some((730_000.0, 355.0))),
        (DctcpWin, 64, 256, 1, Some((580_000.0, 420.0))),
    ]
    .into_iter()
    .map(|(cc, bytes, connections, pending, figures)| Cell {
        table: Table::Original,
        setup: Setup { cc, ..usual() },
        load: Load {
            bytes,
            connections,
            pending,
        },
        reference: Some(Reference {
            requests_per_s: figures.map(|(requests, _)| requests),
            p50_us: figures.map(|(_, p50)| p50),
        }),
        skipped: None,
    })
    .collect()
}

/// All sizes, numbers of connections, and requests in flight.
pub fn matrix() -> Vec<Cell> {
    let mut cells = Vec::new();
    for connections in CONNECTIONS {
        for bytes in BYTES {
            for pending in PENDING {
                cells.push(matrix_cell(Load {
                    bytes,
                    connections,
                    pending,
                }));
            }
        }
    }
    cells
}

fn matrix_cell(load: Load) -> Cell {
    let in_flight = u64::from(load.bytes) * u64::from(load.connections) * u64::from(load.pending);
    let many = load.connections >= MANY_CONNECTIONS;
    Cell {
        table: Table::Matrix,
        setup: Setup {
            buffer: if many { SMALL_BUFFER } else { BUFFER },
            ..usual()
        },
        load,
        reference: None,
        skipped: (in_flight > MAX_IN_FLIGHT)
            .then(|| format!("{} GiB in flight take seconds", in_flight >> 30)),
    }
}

/// Sockets: the rows of the original's table that are without a rate limit, and
/// ten busy connections with both ends in an epoll of a hundred sockets and of
/// ten thousand.
pub fn sockets() -> Vec<SocketsCell> {
    let loads = [
        (64, 1, 1, 0),
        (64, 256, 1, 0),
        (64, 256, 16, 0),
        (512, 64, 1, 0),
        (1448, 64, 1, 0),
        (8192, 16, 4, 0),
        (64, 10, 1, 40),
        (64, 10, 1, 4990),
    ];
    let cell = |(bytes, connections, pending, idle)| SocketsCell {
        load: Load {
            bytes,
            connections,
            pending,
        },
        idle,
    };
    loads.into_iter().map(cell).collect()
}

/// What connections take of memory.
pub fn memory() -> Vec<MemoryCell> {
    let mut cells = Vec::new();
    for (connections, buffer) in [(4096, BUFFER), (MANY_CONNECTIONS, SMALL_BUFFER)] {
        for used in [false, true] {
            cells.push(MemoryCell {
                setup: Setup { buffer, ..usual() },
                connections,
                used,
            });
        }
    }
    cells
}
