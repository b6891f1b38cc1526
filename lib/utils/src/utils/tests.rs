use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;

#[test]
fn malformed_ipv4_addresses_are_refused() {
    for text in [
        "",
        ".",
        "1.2.3",
        "1.2.3.",
        "1.2.3.4.",
        "1.2.3.4.5",
        "256.0.0.1",
        "1.2.3.04",
        "-1.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1..2.3",
        "0x1.2.3.4",
        "1.2.3.4/24",
        "999999999999.1.1.1",
    ] {
        assert_eq!(parse_ipv4(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn mac_bytes_are_in_memory_order() {
    let mac = parse_mac(b"02:0a:Bc:00:fF:10").unwrap();
    assert_eq!(mac.to_ne_bytes(), [0x02, 0x0a, 0xbc, 0, 0xff, 0x10, 0, 0]);
}

#[test]
fn malformed_macs_are_refused() {
    for text in [
        "",
        "02:0a:bc:00:ff",
        "02:0a:bc:00:ff:",
        "02:0a:bc:00:ff:10:11",
        "2:0a:bc:00:ff:10",
        "0g:0a:bc:00:ff:10",
        "02-0a-bc-00-ff-10",
        "020:a:bc:00:ff:10",
    ] {
        assert_eq!(parse_mac(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn dump_line_is_offset_and_bytes() {
    let line = DumpLine::new(0x10, b"\x00\x7f\xff");
    assert_eq!(line.text(), b"00000010: 00 7f ff\n");
    let full = DumpLine::new(0, &[0xab; 20]);
    assert_eq!(full.text().len(), LINE_LEN);
    assert_eq!(full.text().last(), Some(&b'\n'));
}

proptest! {
    #[test]
    fn every_ipv4_address_parses(ip: u32) {
        let text = Ipv4Addr::from(ip).to_string();
        prop_assert_eq!(parse_ipv4(text.as_bytes()), Some(ip));
    }

    #[test]
    fn any_text_parses_as_the_standard_library_does(text in "[0-9.]{0,16}") {
        let expected = text.parse::<Ipv4Addr>().ok().map(u32::from);
        prop_assert_eq!(parse_ipv4(text.as_bytes()), expected);
    }
}
