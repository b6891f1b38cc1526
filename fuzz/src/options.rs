//! Options of TCP.

use tas_wire::{
    ChecksumMode, FlowTuple, Ipv4Addr, MacAddr, Packet, SegmentFields, TcpFlags, TcpOptions,
    TcpTemplate, parse,
};

/// Most bytes of options.
const MAX_LEN: usize = 40;

/// The input is what lies between the fixed header and the data.
///
/// # Panics
/// The parser does, or what is built of its answer is read as something else.
pub fn run(data: &[u8]) {
    let options = TcpOptions::parse(data);
    if data.len() <= MAX_LEN {
        // Padding says nothing, but hides the usual layouts from shortcuts.
        let mut padded = vec![1];
        padded.extend_from_slice(data);
        assert_eq!(TcpOptions::parse(&padded), options);
    }
    let fields = SegmentFields {
        flags: TcpFlags::SYN,
        timestamps: options.timestamps,
        sack: options.sack.as_slice(),
        mss: options.mss,
        window_scale: options.window_scale,
        sack_permitted: options.sack_permitted,
        ..SegmentFields::default()
    };
    let tuple = FlowTuple {
        local_ip: Ipv4Addr::new(10, 0, 0, 1),
        local_port: 1,
        remote_ip: Ipv4Addr::new(10, 0, 0, 2),
        remote_port: 2,
    };
    let template = TcpTemplate::new(MacAddr([2; 6]), MacAddr([4; 6]), &tuple);
    let mut frame = vec![0; fields.header_len()];
    let len = template.emit(&mut frame, &fields, 0, 1, ChecksumMode::Full);
    assert_eq!(len, Ok(frame.len()));
    let Ok(Packet::Tcp(packet)) = parse(&frame) else {
        panic!("what was built cannot be parsed");
    };
    assert_kept(&options, &packet.options);
}

/// Options that were built say what they are to say, but for blocks without room.
///
/// # Panics
/// They do not.
pub(crate) fn assert_kept(meant: &TcpOptions, built: &TcpOptions) {
    assert_eq!(built.mss, meant.mss);
    assert_eq!(built.window_scale, meant.window_scale);
    assert_eq!(built.sack_permitted, meant.sack_permitted);
    assert_eq!(built.timestamps, meant.timestamps);
    let (kept, all) = (built.sack.as_slice(), meant.sack.as_slice());
    assert!(all.starts_with(kept));
    let rare = meant.timestamps.is_some() || meant.mss.is_some() || meant.window_scale.is_some();
    assert!(kept.len() == all.len() || rare);
}
