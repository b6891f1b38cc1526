//! The queue manager: who sends next, and the timing wheel.

use tas::fast::FlowSlot;
use tas::fast::schedule::Schedule;
use tas::fast::wheel::Wheel;
use tas::types::{FlowId, Micros};
use zerocopy::FromZeros;

use super::{Entry, START};
use crate::harness::{Run, repeat};

const OPS: u32 = 10_000;
/// Flows that take part.
const FLOWS: u32 = 1024;

pub const CASES: &[Entry] = &[
    ("queues/ready", OPS, ready),
    ("queues/pace", OPS, pace),
    ("queues/timer-kept", OPS, timer_kept),
    ("queues/timer-fires", OPS, timer_fires),
    ("queues/nothing-due", OPS, nothing_due),
];

/// A flow gets its turn, takes it and goes idle.
fn ready(ops: u32) -> Run {
    let mut schedule = Schedule::new(FLOWS, START);
    let mut slots: Vec<FlowSlot> = (0..FLOWS).map(|_| FlowSlot::new_zeroed()).collect();
    for (index, slot) in slots.iter_mut().enumerate().skip(1) {
        schedule.send(FlowId(index as u32), &mut slot.app);
    }
    let mut next = 0;
    repeat(ops, move |_| {
        if let Some(slot) = slots.get_mut(next as usize) {
            schedule.send(FlowId(next), &mut slot.app);
        }
        if let Some(flow) = schedule.ready.pop_front()
            && let Some(slot) = slots.get_mut(flow.0 as usize)
        {
            slot.app.send_queued = false;
            next = flow.0;
        }
    })
}

/// A flow waits for its pace, 1 µs to 1 ms away, and gets its turn: among 1,024 flows, in steps
/// of 1 µs.
fn pace(ops: u32) -> Run {
    let mut schedule = Schedule::new(FLOWS, START);
    let after = |flow: u32| Micros(1 + u64::from(flow.wrapping_mul(0x9e37_79b1) % 1000));
    for flow in 0..FLOWS {
        schedule.paced.arm(flow, START + after(flow));
    }
    let (mut now, mut left) = (START, ops);
    Box::new(move || {
        while left > 0 {
            now += Micros(1);
            schedule.release_paced(now);
            while let Some(flow) = schedule.ready.pop_front() {
                schedule.paced.arm(flow.0, now + after(flow.0));
                left = left.saturating_sub(1);
            }
        }
    })
}

/// A timer is put off: the wheel keeps the earlier time.
fn timer_kept(ops: u32) -> Run {
    let mut schedule = Schedule::new(FLOWS, START);
    let mut slots: Vec<FlowSlot> = (0..FLOWS).map(|_| FlowSlot::new_zeroed()).collect();
    let mut arm = move |flow: u32, deadline| {
        if let Some(slot) = slots.get_mut(flow as usize) {
            schedule.arm(FlowId(flow), &mut slot.app, deadline);
        }
    };
    for flow in 0..FLOWS {
        arm(flow, START + Micros(10_000));
    }
    repeat(ops, move |index| {
        arm(index % FLOWS, START + Micros(10_000 + u64::from(index)));
    })
}

/// A timer 10 ms away runs out and is armed again.
fn timer_fires(ops: u32) -> Run {
    let mut wheel = Wheel::new(FLOWS, 6, START);
    for flow in 0..FLOWS {
        wheel.arm(flow, START + Micros(10 * u64::from(flow)));
    }
    let mut due = Vec::with_capacity(FLOWS as usize);
    let (mut now, mut left) = (START, ops);
    Box::new(move || {
        while left > 0 {
            now += Micros(64);
            wheel.advance(now, |flow| due.push(flow));
            for flow in due.drain(..) {
                wheel.arm(flow, now + Micros(10_000));
                left = left.saturating_sub(1);
            }
        }
    })
}

/// A microsecond passes and nothing is due.
fn nothing_due(ops: u32) -> Run {
    let mut schedule = Schedule::new(FLOWS, START);
    for flow in 0..FLOWS {
        schedule.timers.arm(flow, START + Micros(1_000_000));
    }
    let mut now = START;
    repeat(ops, move |_| {
        now += Micros(1);
        schedule.timers.advance(now, |_| {});
        schedule.release_paced(now);
    })
}
