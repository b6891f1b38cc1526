use super::*;

/// A program of 64 bits, for x86-64, loaded by `linker`.
fn elf(linker: Option<&[u8]>) -> Vec<u8> {
    let mut elf = vec![0u8; 64 + 56];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[MACHINE..MACHINE + 2].copy_from_slice(&MACHINE_X86_64.to_le_bytes());
    elf[PROGRAM_HEADERS] = 64;
    elf[PROGRAM_HEADER_LEN] = 56;
    elf[PROGRAM_HEADER_NUM] = 1;
    if let Some(linker) = linker {
        elf[64] = INTERPRETER as u8;
        elf[64 + PLACE] = 120;
        elf[64 + LENGTH] = linker.len() as u8;
        elf.extend_from_slice(linker);
    }
    elf
}

#[test]
fn dynamic_programs_of_the_gnu_c_library_pass() {
    assert_eq!(
        examine_elf(&elf(Some(b"/lib64/ld-linux-x86-64.so.2\0"))),
        Ok(())
    );
    assert_eq!(examine(&std::env::current_exe().unwrap()), Ok(()));
}

#[test]
fn static_programs_are_told_from_others() {
    assert_eq!(examine_elf(&elf(None)), Err(Obstacle::Static));
    let musl = "/lib/ld-musl-x86_64.so.1";
    assert_eq!(
        examine_elf(&elf(Some(musl.as_bytes()))),
        Err(Obstacle::OtherLinker(musl.into()))
    );
}

#[test]
fn other_architectures_are_refused() {
    let mut arm = elf(None);
    arm[MACHINE] = 183;
    assert_eq!(examine_elf(&arm), Err(Obstacle::Architecture));
    let mut small = elf(None);
    small[CLASS] = 1;
    assert_eq!(examine_elf(&small), Err(Obstacle::Architecture));
}

#[test]
fn damaged_headers_are_no_matter() {
    for len in 0..elf(None).len() {
        let _ = examine_elf(&elf(None)[..len]);
    }
    let mut far = elf(Some(b"x"));
    far[PROGRAM_HEADERS..PROGRAM_HEADERS + 8].fill(0xff);
    assert_eq!(examine_elf(&far), Err(Obstacle::Static));
    let mut long = elf(Some(b"x"));
    long[64 + LENGTH..64 + LENGTH + 8].fill(0xff);
    assert_eq!(examine_elf(&long), Err(Obstacle::Static));
    assert_eq!(examine_elf(b"text"), Err(Obstacle::NoProgram));
}

#[test]
fn scripts_lead_to_their_interpreters() {
    let of = |text: &str| interpreter(text.as_bytes());
    assert_eq!(of("#!/bin/sh\nexit"), Some("/bin/sh".into()));
    assert_eq!(of("#! /usr/bin/env python3"), Some("/usr/bin/env".into()));
    assert_eq!(of("#!\n"), None);
    assert_eq!(of("exit"), None);
}

#[test]
fn programs_are_searched_along_the_path() {
    let path = OsStr::new("/nonexistent:/bin");
    assert_eq!(find(OsStr::new("sh"), path), Ok("/bin/sh".into()));
    assert_eq!(find(OsStr::new("/bin/sh"), path), Ok("/bin/sh".into()));
    assert_eq!(
        find(OsStr::new("no-such-program"), path),
        Err(Obstacle::NotFound)
    );
    assert_eq!(
        find(OsStr::new("/etc/passwd"), path),
        Err(Obstacle::NotExecutable)
    );
    assert_eq!(find(OsStr::new("/bin"), path), Err(Obstacle::NotExecutable));
}
