//! Networks that lose, mix up and delay: every byte arrives all the same, in both directions at
//! once, TAS and Linux in both roles.

use std::path::Path as File;
use std::time::Duration;

use tas_full_tests::{Net, PORT, Path, Stack, TasOptions, World, scaled};

const TIME: Duration = Duration::from_secs(120);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A line of 100 Mbit/s.
fn path(delay: Duration, loss: u32, late: u32) -> Path {
    Path {
        delay,
        rate: 100_000_000,
        queue: 150_000,
        loss,
        late,
        late_by: delay / 2,
        seed: 7,
    }
}

fn transfers(server: Stack, client: Stack) {
    let net = Net::apart();
    let options = TasOptions::new().buffers(256 << 10);
    let world = World::new(&net, server, client, &options);
    for (path, kilobytes) in [
        (path(Duration::from_micros(100), 10_000, 0), 512),
        (path(Duration::from_micros(100), 50_000, 10_000), 128),
        (path(ms(5), 10_000, 0), 128),
        (path(ms(5), 0, 50_000), 256),
        (path(ms(25), 10_000, 10_000), 32),
    ] {
        let impair = net.impaired(File::new(env!("CARGO_BIN_EXE_impair")), &path);
        let size = 1024;
        let messages = scaled(kilobytes);
        let (conns, bytes) = (4, 4 * size * messages);
        let server = world.server("verify", &["server", PORT, &conns.to_string(), "1024"]);
        let client = world.client(
            "verify",
            &[
                "client",
                world.server_ip(),
                PORT,
                &size.to_string(),
                &messages.to_string(),
                &conns.to_string(),
            ],
        );
        let ok = format!("verify: ok {bytes} bytes");
        client.finish(TIME).success().says(&ok);
        server.finish(TIME).success().says(&ok);
        impair.kill();
    }
    // Connections that lose their last segments end too.
    let _impair = net.impaired(File::new(env!("CARGO_BIN_EXE_impair")), &Path::default());
    world.end();
}

/// The programs and the network themselves: what fails here is no fault of TAS.
#[test]
fn from_linux_to_linux() {
    transfers(Stack::Linux, Stack::Linux);
}

#[test]
fn from_linux_to_tas() {
    transfers(Stack::Tas, Stack::Linux);
}

#[test]
fn from_tas_to_linux() {
    transfers(Stack::Linux, Stack::Tas);
}

#[test]
fn from_tas_to_tas() {
    transfers(Stack::Tas, Stack::Tas);
}
