//! What is pending when a flow moves to another core: turns to send, frames that the port has not
//! taken, updates that the application has posted to where the flow was.

use tas::nic::sim::{Path, Random};
use tas::sim::{HostConf, HostIndex};
use tas::types::Micros;
use tas_wire::{Packet, SeqNum, Verify};

use crate::CLIENT;
use crate::cores::scale;
use crate::link::Link;
use crate::rates::buffers;
use crate::seeds;

const CORES: u64 = 3;

/// Another address means another group of flows.
fn several_cores(mut conf: HostConf, seed: u64) -> HostConf {
    if conf.ip.octets() == CLIENT {
        conf.ip = [10, 0, 0, 2 + (seed % 200) as u8].into();
    }
    conf.with(format!("--fp-cores-max={CORES}"))
        .with("--fp-no-autoscale")
}

fn moved(link: &mut Link, host: HostIndex) -> u64 {
    let counters = link.world.host(host).counters();
    counters.iter().map(|core| core.flows_moved.get()).sum()
}

/// Nothing but its turn makes the flow send: all is acknowledged, and the application is silent.
#[test]
fn a_flow_that_waits_for_its_rate_goes_on_elsewhere() {
    let mut moves = 0;
    for seed in seeds(10) {
        let mut link = Link::new(seed, |conf| {
            buffers(several_cores(conf, seed).with("--cc-const-rate=1000"))
        });
        let bytes = vec![7; 30_000];
        assert_eq!(link.a.send(&bytes), bytes.len());
        let mut got = 0;
        for round in 0..400 {
            if got == bytes.len() {
                break;
            }
            let here = link.a.host;
            scale(&mut link.world, here, 1 + (round % CORES) as u32);
            link.run_until(Micros(2300), |_| false);
            got += link.b.receive().len();
        }
        assert_eq!(got, bytes.len(), "seed {seed}");
        let here = link.a.host;
        moves += moved(&mut link, here);
    }
    assert!(moves > 0, "nothing moved");
}

/// A port that takes nothing for a while holds segments of the old core when the new one could
/// send already.
#[test]
fn segments_stay_in_order_while_the_port_takes_nothing() {
    const TOTAL: usize = 2_000_000;
    /// More than a core prepares at a time.
    const MUCH: usize = 200_000;
    let mut moves = 0;
    for seed in seeds(20) {
        let mut random = Random::new(seed);
        let path = Path {
            delay: Micros(20),
            ..Path::default()
        };
        let mut link = Link::over(seed, |conf| buffers(several_cores(conf, seed)), path);
        let here = link.a.host;
        let port = link.world.host(here).port();
        link.world.network.record();
        let (mut next, mut left) = (None::<SeqNum>, TOTAL);
        let mut got = 0;
        while got < TOTAL {
            left -= link.a.send(&vec![7; left.min(MUCH)]);
            link.world
                .network
                .set_takes(port, Some(random.below(3) as usize));
            link.run_until(Micros(random.between(1, 20)), |_| false);
            scale(&mut link.world, here, random.between(1, CORES) as u32);
            link.run_until(Micros(random.between(1, 60)), |_| false);
            link.world.network.set_takes(port, None);
            link.run_until(Micros(random.between(1, 60)), |_| false);
            got += link.b.receive().len();
            for seen in link.world.network.seen() {
                let Ok(Packet::Tcp(packet)) = tas_wire::parse_with(&seen.frame, Verify::NONE)
                else {
                    continue;
                };
                if packet.payload.is_empty() || packet.tcp.dst_port != crate::PORT {
                    continue;
                }
                let expected = next.get_or_insert(packet.tcp.seq);
                assert_eq!(*expected, packet.tcp.seq, "seed {seed} at {:?}", seen.at);
                *expected += packet.seq_len();
            }
        }
        moves += moved(&mut link, here);
    }
    assert!(moves > 0, "nothing moved");
}

/// The application posts its last bytes to the core where the flow was, which is held up, and
/// closes.
#[test]
fn a_close_waits_for_what_was_posted_elsewhere() {
    let mut moves = 0;
    for seed in seeds(60) {
        let mut random = Random::new(seed);
        let mut link = Link::new(seed, |conf| {
            let mut conf = several_cores(conf, seed);
            conf.stalls = 300;
            conf.stall = Micros(60);
            conf
        });
        link.a.app.follows = false;
        let here = link.a.host;
        for _ in 0..4 {
            scale(&mut link.world, here, random.between(1, CORES) as u32);
            link.run_until(Micros(random.between(1, 300)), |_| false);
        }
        moves += moved(&mut link, here);
        let sent = link.a.send(&[7; 3000]);
        link.a.close(false);
        let mut got = 0;
        let ended = link.run_until(Micros::from_millis(5000), |link| {
            got += link.b.receive().len();
            link.b.state().rx_closed
        });
        assert!(ended && !link.b.state().reset, "seed {seed}");
        assert_eq!(got + link.b.receive().len(), sent, "seed {seed}");
    }
    assert!(moves > 0, "nothing moved");
}
