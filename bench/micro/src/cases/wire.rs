//! Frames: parsing, and building from a template.

use std::hint::black_box;

use tas_wire::{
    ChecksumMode, SegmentFields, SeqNum, TcpFlags, TcpTemplate, Timestamps, Verify, parse_with,
};

use super::{Entry, FULL, MAC, tuple};
use crate::harness::{Run, repeat};

const OPS: u32 = 1000;

pub const CASES: &[Entry] = &[
    ("wire/parse-64", OPS, |ops| parse(ops, 64, Verify::NONE)),
    ("wire/parse-verify-64", OPS, |ops| {
        parse(ops, 64, Verify::ALL)
    }),
    ("wire/parse-verify-1448", OPS, |ops| {
        parse(ops, FULL, Verify::ALL)
    }),
    ("wire/hash", OPS, hash),
    ("wire/build-64", OPS, |ops| {
        build(ops, 64, ChecksumMode::Offload)
    }),
    ("wire/build-checksum-64", OPS, |ops| {
        build(ops, 64, ChecksumMode::Full)
    }),
    ("wire/build-checksum-1448", OPS, |ops| {
        build(ops, FULL, ChecksumMode::Full)
    }),
];

fn template() -> TcpTemplate {
    TcpTemplate::new(MAC, MAC, &tuple(0))
}

fn fields() -> SegmentFields<'static> {
    SegmentFields {
        seq: SeqNum(1001),
        ack: SeqNum(5001),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 16_000,
        timestamps: Some(Timestamps { val: 501, ecr: 500 }),
        ..SegmentFields::default()
    }
}

/// A frame with room for `payload` bytes, which are in place.
fn room(payload: usize) -> Vec<u8> {
    let mut frame = vec![0; fields().header_len()];
    frame.extend((0..payload).map(|i| i as u8));
    frame
}

fn parse(ops: u32, payload: usize, verify: Verify) -> Run {
    let mut frame = room(payload);
    let emitted = template().emit(&mut frame, &fields(), payload, 1, ChecksumMode::Full);
    assert!(emitted.is_ok() && parse_with(&frame, Verify::ALL).is_ok());
    repeat(ops, move |_| {
        black_box(parse_with(black_box(&frame), verify)).is_ok()
    })
}

/// The hash that the flow table and steering use.
fn hash(ops: u32) -> Run {
    let tuple = tuple(0);
    repeat(ops, move |_| black_box(&tuple).hash())
}

fn build(ops: u32, payload: usize, mode: ChecksumMode) -> Run {
    let (template, fields, mut frame) = (template(), fields(), room(payload));
    repeat(ops, move |index| {
        let frame = black_box(frame.as_mut_slice());
        black_box(&template).emit(frame, black_box(&fields), payload, index as u16, mode)
    })
}
