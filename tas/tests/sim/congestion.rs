//! Congestion control at a bottleneck: the queue, the use of the wire, and how flows share it.

use tas::sim::{Bottleneck, BottleneckConf, Sight};
use tas::types::Micros;

/// Bytes on the wire for a full segment, and those of them that are data.
const ON_WIRE: f64 = 1538.0;
const DATA: f64 = 1448.0;
/// What RFC 8257 §4.1 recommends at 10 Gbit/s: 65 packets; and 20 at 1 Gbit/s.
const MARK_10G: u32 = 65 * 1514;
const MARK_1G: u32 = 20 * 1514;
const DELAY: Micros = Micros(10);

const fn ms(ms: u64) -> Micros {
    Micros::from_millis(ms)
}

fn ten_gbps(cc: &str) -> BottleneckConf {
    BottleneckConf::new(cc, 10_000_000, 1_000_000, MARK_10G, DELAY)
}

fn one_gbps(cc: &str) -> BottleneckConf {
    BottleneckConf::new(cc, 1_000_000, 1_000_000, MARK_1G, DELAY)
}

/// What was seen over a while.
struct Seen {
    kbps: u32,
    sights: Vec<Sight>,
}

impl Seen {
    /// Opens `flows` flows one after the other, `apart` so long, and waits for `before`; then looks
    /// for `span`.
    fn of(
        conf: &BottleneckConf,
        flows: usize,
        apart: Micros,
        before: Micros,
        span: Micros,
    ) -> Seen {
        let mut bottleneck = Bottleneck::new(conf).unwrap();
        for flow in 0..flows {
            bottleneck.start(flow);
            bottleneck.run(apart, apart);
        }
        bottleneck.run(before, before);
        Seen {
            kbps: conf.wire.rate_kbps,
            sights: bottleneck.run(span, Micros(5)),
        }
    }

    fn span_us(&self) -> f64 {
        let (first, last) = (&self.sights[0], &self.sights[self.sights.len() - 1]);
        last.at.since(first.at).0 as f64
    }

    /// Bytes of each flow.
    fn bytes(&self) -> Vec<f64> {
        let (first, last) = (&self.sights[0], &self.sights[self.sights.len() - 1]);
        let flows = first.acked.iter().zip(&last.acked);
        flows
            .map(|(before, after)| (after - before) as f64)
            .collect()
    }

    /// How much of the wire was used, percent.
    fn used(&self) -> f64 {
        let most = f64::from(self.kbps) / 8000.0 * self.span_us() * DATA / ON_WIRE;
        self.bytes().iter().sum::<f64>() / most * 100.0
    }

    /// The queue that was not exceeded in `percent` of the time, bytes.
    fn queue(&self, percent: usize) -> f64 {
        let mut queue: Vec<u64> = self.sights.iter().map(|sight| sight.wire.waiting).collect();
        queue.sort_unstable();
        queue[(queue.len() - 1) * percent / 100] as f64
    }

    /// What flows have of what would be fair: the least, and the most.
    fn shares(&self, flows: usize) -> (f64, f64) {
        let bytes = &self.bytes()[..flows];
        let fair = bytes.iter().sum::<f64>() / flows as f64;
        let shares = || bytes.iter().map(|bytes| bytes / fair);
        (
            shares().fold(f64::INFINITY, f64::min),
            shares().fold(0.0, f64::max),
        )
    }

    fn overflows(&self) -> u64 {
        self.sights[self.sights.len() - 1].wire.overflows - self.sights[0].wire.overflows
    }
}

/// RFC 8257 §1: the queue stays short, and the wire full. The band: from 60 % of the threshold to
/// 130 %, nine tenths of the time.
#[test]
fn dctcp_keeps_the_queue_near_the_threshold() {
    for cc in ["dctcp-rate", "dctcp-win"] {
        for (conf, name) in [(ten_gbps(cc), "10G"), (one_gbps(cc), "1G")] {
            for flows in [1, 2] {
                let seen = Seen::of(&conf, flows, Micros(0), ms(250), ms(50));
                let mark = f64::from(conf.wire.mark_above);
                let (low, high) = (seen.queue(5) / mark, seen.queue(95) / mark);
                let what = format!(
                    "{cc} {name}, {flows} flows: {:.1} % used, queue {low:.2} to {high:.2}",
                    seen.used()
                );
                println!("{what}");
                assert!(low >= 0.6 && high <= 1.3, "{what}");
                assert!(seen.used() >= 98.0, "{what}");
                assert_eq!(seen.overflows(), 0, "{what}");
            }
        }
    }
}

/// The second begins when the first has all of the wire. What dctcp-rate has to grow by at
/// 10 Gbit/s takes its small steps a second.
#[test]
fn two_flows_share_the_wire() {
    let cases = [
        ("dctcp-rate", one_gbps("dctcp-rate"), 500),
        ("dctcp-win", one_gbps("dctcp-win"), 200),
        ("dctcp-win", ten_gbps("dctcp-win"), 100),
        ("timely", ten_gbps("timely"), 150),
    ];
    for (cc, conf, before) in cases {
        for apart in [Micros(0), ms(50)] {
            let seen = Seen::of(&conf, 2, apart, ms(before), ms(200));
            let (least, most) = seen.shares(2);
            let what = format!("{cc} {}: {least:.2} to {most:.2}", conf.wire.rate_kbps);
            println!("{what}");
            assert!(least >= 0.9 && most <= 1.1, "{what}");
        }
    }
}

/// Several cores on all hosts, and more flows.
#[test]
fn flows_of_several_cores_share_the_wire() {
    for cc in ["dctcp-rate", "dctcp-win"] {
        let conf = one_gbps(cc)
            .with("--fp-cores-max=4")
            .with("--fp-no-autoscale")
            .of(4, 2);
        let seen = Seen::of(&conf, 8, ms(5), ms(300), ms(200));
        let (least, most) = seen.shares(8);
        let high = seen.queue(95) / f64::from(conf.wire.mark_above);
        let what = format!(
            "{cc}: {least:.2} to {most:.2}, {:.1} % used, queue to {high:.2}",
            seen.used()
        );
        println!("{what}");
        assert!(least >= 0.75 && most <= 1.25, "{what}");
        assert!(seen.used() >= 98.0 && high <= 2.0, "{what}");
    }
}

/// 2,000 connections whose senders begin at the same time, as where many answer one question:
/// over a second, none has less than a tenth of its share.
#[test]
fn an_incast_of_2000_flows_leaves_no_flow_behind() {
    const FLOWS: usize = 2000;
    for cc in ["dctcp-rate", "dctcp-win", "timely"] {
        let conf = BottleneckConf::new(cc, 10_000_000, 4_000_000, MARK_10G, DELAY)
            .with("--tcp-rxbuf-len=32768")
            .with("--tcp-txbuf-len=32768")
            .of(8, FLOWS as u32 / 8);
        let conf = BottleneckConf {
            tick: Micros(5),
            ..conf
        };
        let mut bottleneck = Bottleneck::new(&conf).unwrap();
        for flow in 0..FLOWS {
            bottleneck.open(flow);
            bottleneck.run(Micros(10), Micros(10));
        }
        bottleneck.run(ms(1), ms(1));
        (0..FLOWS).for_each(|flow| bottleneck.begin(flow));
        let sights = bottleneck.run(ms(1000), ms(1));
        let seen = Seen {
            kbps: conf.wire.rate_kbps,
            sights,
        };
        let (least, most) = seen.shares(FLOWS);
        let what = format!(
            "{cc}: {least:.2} to {most:.2}, {:.1} % used, {} lost",
            seen.used(),
            seen.overflows()
        );
        println!("{what}");
        assert!(least >= 0.1, "{what}");
        assert!(seen.used() >= 70.0, "{what}");
    }
}

/// Microseconds that a segment and its acknowledgement take without a queue.
fn base_rtt(conf: &BottleneckConf) -> f64 {
    let serial = ON_WIRE * 8000.0 / f64::from(conf.wire.rate_kbps);
    3.0 * conf.access.delay.0 as f64 + serial
}

/// Below T_low the rate rises whatever else, above T_high it falls: the queue is there, and no
/// longer than that. Steps are large for the slower wire, so it exceeds T_high now and then.
#[test]
fn timely_follows_its_thresholds() {
    let timely = |kbps, low, high| {
        let conf = BottleneckConf::new("timely", kbps, 1_000_000, 0, DELAY)
            .with(&format!("--cc-timely-tlow={low}"))
            .with(&format!("--cc-timely-thigh={high}"));
        (conf, f64::from(low), f64::from(high))
    };
    for (conf, low, high) in [
        timely(10_000_000, 30, 150),
        timely(10_000_000, 100, 300),
        timely(1_000_000, 150, 500),
    ] {
        for flows in [1, 2] {
            let seen = Seen::of(&conf, flows, Micros(0), ms(200), ms(100));
            let rtt = |percent| {
                base_rtt(&conf) + seen.queue(percent) * 8000.0 / f64::from(conf.wire.rate_kbps)
            };
            let what = format!(
                "{} kbit/s, {low} to {high} µs, {flows} flows: {:.1} % used, {:.0} to {:.0} µs",
                conf.wire.rate_kbps,
                seen.used(),
                rtt(10),
                rtt(95)
            );
            println!("{what}");
            assert!(seen.used() >= 95.0, "{what}");
            assert!(rtt(95) >= low && rtt(95) <= high, "{what}");
        }
    }
}

/// A line of 100 Mbit/s with a queue of a round trip that marks nothing, from the first byte on:
/// slow start takes few round trips, and ends before the queue is full (RFC 9406).
#[test]
fn slow_start_fills_a_long_line_and_not_its_queue() {
    for rtt_us in [1_000, 10_000, 50_000] {
        let queue = (rtt_us * 100 / 8).max(75_000);
        let delay = Micros(u64::from(rtt_us) / 3);
        let conf = BottleneckConf::new("dctcp-rate", 100_000, queue, 0, delay)
            .with("--tcp-rxbuf-len=4194304")
            .with("--tcp-txbuf-len=4194304")
            .of(1, 1);
        let mut bottleneck = Bottleneck::new(&conf).unwrap();
        bottleneck.start(0);
        let span = Micros(14 * u64::from(rtt_us));
        let seen = Seen {
            kbps: conf.wire.rate_kbps,
            sights: bottleneck.run(span, Micros(100)),
        };
        let what = format!(
            "{rtt_us} µs: {:.1} % used, {} lost",
            seen.used(),
            seen.overflows()
        );
        println!("{what}");
        assert!(seen.used() >= 40.0 && seen.overflows() == 0, "{what}");
    }
}

/// Beside others, on fast and slow wires.
#[test]
fn constant_rates_are_kept_beside_others() {
    for kbps in [500, 20_000, 400_000, 2_000_000] {
        let conf = ten_gbps("const-rate").with(&format!("--cc-const-rate={kbps}"));
        let conf = conf.of(2, 2);
        let span = if kbps < 1000 { 2000 } else { 100 };
        let seen = Seen::of(&conf, 4, Micros(37), ms(20), ms(span));
        for bytes in seen.bytes() {
            let rate = bytes * 8000.0 / seen.span_us();
            let what = format!("{rate:.0} instead of {kbps} kbit/s");
            println!("{what}");
            assert!((rate / f64::from(kbps) - 1.0).abs() <= 0.02, "{what}");
        }
    }
}
