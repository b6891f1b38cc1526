use super::*;

fn sample(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let header = Header {
        src: Ipv4Addr::new(10, 0, 0, 1),
        dst: Ipv4Addr::new(10, 0, 0, 2),
        protocol: Protocol::TCP,
        ecn: Ecn::Ect0,
        ttl: 9,
    };
    let mut packet = header_bytes(&header, (header_len + payload.len()) as u16, 77).to_vec();
    packet.extend_from_slice(options);
    packet.extend_from_slice(payload);
    packet[0] = 0x40 | (header_len / 4) as u8;
    seal(&mut packet, header_len);
    packet
}

fn seal(packet: &mut [u8], header_len: usize) {
    packet[10..12].fill(0);
    let sum = checksum::ipv4_header(&packet[..header_len]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn options_are_skipped_and_padding_is_cut() {
    let mut packet = sample(&[1; 8], b"data");
    packet.extend_from_slice(&[0; 12]);
    let (header, payload) = Header::parse(&packet, true).unwrap();
    assert_eq!(payload, b"data");
    assert_eq!(header.ecn, Ecn::Ect0);
    assert_eq!(header.ttl, 9);
}

#[test]
fn checksum_is_verified_if_asked_including_options() {
    let mut packet = sample(&[1; 8], b"data");
    packet[24] ^= 0x10;
    assert_eq!(Header::parse(&packet, true), Err(ParseError::BadIpChecksum));
    assert!(Header::parse(&packet, false).is_ok());
}

#[test]
fn fragments_are_refused_and_dont_fragment_is_not_one() {
    for (flags, refused) in [
        ([0x40, 0], false),
        ([0, 0], false),
        ([0x20, 0], true),
        ([0, 1], true),
        ([0x1f, 0xff], true),
    ] {
        let mut packet = sample(&[], b"data");
        packet[6..8].copy_from_slice(&flags);
        seal(&mut packet, 20);
        let fragment = Header::parse(&packet, true) == Err(ParseError::Fragment);
        assert_eq!(fragment, refused, "{flags:?}");
    }
}

#[test]
fn lengths_are_checked_against_the_frame() {
    let mut packet = sample(&[], b"data");
    packet[2..4].copy_from_slice(&25u16.to_be_bytes());
    assert_eq!(Header::parse(&packet, false), Err(ParseError::BadIpLength));
    packet[2..4].copy_from_slice(&19u16.to_be_bytes());
    assert_eq!(Header::parse(&packet, false), Err(ParseError::BadIpLength));
    packet[0] = 0x44;
    assert_eq!(Header::parse(&packet, false), Err(ParseError::BadIpHeader));
    packet[0] = 0x65;
    assert_eq!(Header::parse(&packet, false), Err(ParseError::BadIpHeader));
    assert_eq!(
        Header::parse(&packet[..19], false),
        Err(ParseError::TooShort)
    );
}

#[test]
fn unicast_addresses() {
    for (addr, expected) in [
        ([0, 0, 0, 0], false),
        ([10, 0, 0, 1], true),
        ([127, 0, 0, 1], false),
        ([223, 1, 1, 1], true),
        ([224, 0, 0, 1], false),
        ([255, 255, 255, 255], false),
    ] {
        assert_eq!(is_unicast(Ipv4Addr::from(addr)), expected, "{addr:?}");
    }
}
