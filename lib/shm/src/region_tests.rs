use std::io::ErrorKind;
use std::path::PathBuf;

use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/dev/shm").join(format!("tas_shm_test_{name}_{}", std::process::id()))
}

#[test]
fn named_file_replaces_a_stale_one_and_has_its_mode() {
    let path = path("named");
    fs::write(&path, "stale").unwrap();
    let backing = Backing::named(&path, 5000, 0o640).unwrap();
    assert_eq!(backing.len(), 8192);
    assert!(!backing.is_huge());
    let meta = fs::metadata(&path).unwrap();
    assert_eq!((meta.len(), meta.mode() & 0o777), (8192, 0o640));
    backing.set_access(0o600, Some(meta.gid())).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(Backing::open(&path, false).unwrap().len(), 8192);
    fs::remove_file(&path).unwrap();
    assert_eq!(
        Backing::open(&path, false).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn a_link_in_the_files_place_is_not_followed() {
    let (link, target) = (path("link"), path("target"));
    fs::write(&target, "precious").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(Backing::open(&link, true).is_err());
    let backing = Backing::named(&link, 4096, 0o600).unwrap();
    assert!(!fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    drop(backing);
    fs::remove_file(&link).unwrap();
    fs::remove_file(&target).unwrap();
}

#[test]
fn whoever_holds_the_memfd_cannot_resize_or_unseal_it() {
    let backing = Backing::memfd("test", 3 * PAGE - 1, false).unwrap();
    let peer = File::from(backing.fd().try_clone_to_owned().unwrap());
    assert_eq!(peer.metadata().unwrap().len(), 3 * PAGE);
    for len in [0, PAGE, 4 * PAGE] {
        assert_eq!(
            peer.set_len(len).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
    }
    assert!(backing.seal(libc::F_SEAL_WRITE).is_err());
    Mapping::new(backing.fd(), PAGE, true).unwrap();
}

#[test]
fn a_page_sealed_read_only_stays_writable_for_its_maker_alone() {
    let backing = Backing::memfd_unsealed("test", PAGE, false).unwrap();
    let ours = Mapping::new(backing.fd(), PAGE, true).unwrap();
    backing.seal_read_only().unwrap();
    ours.write_at(8, &0x1234_u32).unwrap();

    let sent = backing.read_only().unwrap();
    let theirs = Mapping::new(sent.as_fd(), PAGE, false).unwrap();
    assert_eq!(theirs.read_at::<u32>(8), Ok(0x1234));
    assert!(Mapping::new(sent.as_fd(), PAGE, true).is_err());
    // Reopening for writing gets around the descriptor, but not the seal.
    let reopened = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", sent.as_raw_fd()))
        .unwrap();
    assert!(Mapping::new(reopened.as_fd(), PAGE, true).is_err());
    assert!(io::Write::write(&mut &reopened, b"x").is_err());
}

#[test]
fn fields_are_bounded_and_read_only_is_kept() {
    let backing = Backing::memfd("test", PAGE, false).unwrap();
    let map = Mapping::new(backing.fd(), PAGE, true).unwrap();
    let view = Mapping::new(backing.fd(), PAGE, false).unwrap();
    map.write_at(PAGE - 8, &7u64).unwrap();
    assert_eq!(view.read_at::<u64>(PAGE - 8), Ok(7));
    assert_eq!(map.write_at(PAGE - 7, &7u64), Err(OutOfBounds));
    assert_eq!(map.read_at::<u64>(u64::MAX), Err(OutOfBounds));
    assert_eq!(view.write_at(0, &1u8), Err(OutOfBounds));
    assert_eq!(view.store_u64(0, 1), Err(OutOfBounds));
    map.store_u64(16, 5).unwrap();
    assert_eq!(view.load_u64(16), Ok(5));
    assert_eq!(view.load_u64(17), Err(OutOfBounds));
    assert_eq!(view.load_u64(PAGE), Err(OutOfBounds));
}

#[test]
fn huge_memory_says_so_where_the_system_has_any() {
    let Ok(backing) = Backing::memfd("test", 1, true) else {
        return;
    };
    assert!(backing.is_huge());
    assert_eq!((backing.len(), backing.page_size()), (HUGE_PAGE, HUGE_PAGE));
    if huge_pages().is_ok_and(|pool| pool.free == 0) {
        assert!(backing.reserve(0, HUGE_PAGE).is_err());
    }
}
