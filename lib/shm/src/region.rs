//! The memory behind regions: files and memfds, and plain mappings of them.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering, fence};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::arena::OutOfBounds;
use crate::copy;
use crate::owned::unclaimed;

/// Bytes in a huge page.
pub const HUGE_PAGE: u64 = 2 << 20;
/// Bytes in an ordinary page.
pub(crate) const PAGE: u64 = 4096;

/// Not in every libc crate's list: a memfd that can never be executed.
const MFD_NOEXEC_SEAL: libc::c_uint = 0x0008;

/// A file or memfd whose pages can be mapped.
#[derive(Debug)]
pub struct Backing {
    file: File,
    len: u64,
    huge: bool,
}

impl Backing {
    /// Creates the file at `path` with `len` bytes (rounded up to its pages)
    /// and exactly the permissions `mode`, in place of a stale one.
    pub fn named(path: &Path, len: u64, mode: u32) -> io::Result<Backing> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        let backing = Self::sized(file, len)?;
        backing.file.set_permissions(Permissions::from_mode(mode))?;
        Ok(backing)
    }

    /// Opens an existing file, for reading alone or for writing as well.
    pub fn open(path: &Path, writable: bool) -> io::Result<Backing> {
        let file = OpenOptions::new()
            .read(true)
            .write(writable)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        Self::existing(file)
    }

    /// Takes over a descriptor that a peer sent.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Backing> {
        Self::existing(fd.into())
    }

    /// Anonymous memory of `len` bytes (rounded up to its pages) whose size
    /// whoever holds it can never change.
    pub fn memfd(name: &str, len: u64, huge: bool) -> io::Result<Backing> {
        let backing = Self::memfd_unsealed(name, len, huge)?;
        backing.seal(libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL)?;
        Ok(backing)
    }

    /// As [`Backing::memfd`], to be sealed later: map it writable first, then
    /// [`seal_read_only`](Backing::seal_read_only).
    pub fn memfd_unsealed(name: &str, len: u64, huge: bool) -> io::Result<Backing> {
        let size_flag = if huge {
            libc::MFD_HUGETLB | libc::MFD_HUGE_2MB
        } else {
            0
        };
        let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | size_flag;
        // Kernels before 6.3 do not know NOEXEC_SEAL.
        let fd = match memfd_create(name, flags | MFD_NOEXEC_SEAL) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => memfd_create(name, flags)?,
            other => other?,
        };
        Self::sized(fd.into(), len)
    }

    /// Nobody can make this memfd writable memory from now on, and its size is
    /// fixed; writable mappings that exist stay so.
    pub fn seal_read_only(&self) -> io::Result<()> {
        let size = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        self.seal(size | libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL)
    }

    fn seal(&self, seals: libc::c_int) -> io::Result<()> {
        // SAFETY: no pointers involved.
        check(unsafe { libc::fcntl(self.raw_fd(), libc::F_ADD_SEALS, seals) })
    }

    fn sized(file: File, len: u64) -> io::Result<Backing> {
        let mut backing = Self::existing(file)?;
        let len = len
            .checked_next_multiple_of(backing.page_size())
            .ok_or(io::ErrorKind::InvalidInput)?;
        backing.file.set_len(len)?;
        backing.len = len;
        Ok(backing)
    }

    fn existing(file: File) -> io::Result<Backing> {
        let len = file.metadata()?.len();
        let huge = is_hugetlb(&file)?;
        Ok(Backing { file, len, huge })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it consists of huge pages.
    pub fn is_huge(&self) -> bool {
        self.huge
    }

    /// Bytes per page.
    pub fn page_size(&self) -> u64 {
        if self.huge { HUGE_PAGE } else { PAGE }
    }

    /// The descriptor, for mapping and for sending to a peer.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    fn raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Gives the file to a group (if any) and sets its permissions.
    pub fn set_access(&self, mode: u32, group: Option<u32>) -> io::Result<()> {
        if group.is_some() {
            std::os::unix::fs::fchown(&self.file, None, group)?;
        }
        self.file.set_permissions(Permissions::from_mode(mode))
    }

    /// Takes huge pages for the bytes now, so that a later touch cannot find
    /// the pool empty. Ordinary pages come on first touch and need nothing.
    pub fn reserve(&self, off: u64, len: u64) -> io::Result<()> {
        if !self.huge || len == 0 {
            return Ok(());
        }
        self.allocate(0, off, len)
    }

    /// Takes memory for the bytes now, of whatever pages: a file system that is full refuses here
    /// instead of ending the process that touches them first.
    pub fn populate(&self, off: u64, len: u64) -> io::Result<()> {
        self.allocate(0, off, len)
    }

    /// Gives the bytes' memory back to the system; they read as zero after.
    pub fn release(&self, off: u64, len: u64) {
        if len > 0 {
            // A file system that cannot punch holes keeps the memory until the
            // backing goes; nothing to be done about it here.
            let _ = self.allocate(
                libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE,
                off,
                len,
            );
        }
    }

    fn allocate(&self, mode: libc::c_int, off: u64, len: u64) -> io::Result<()> {
        let signed = |v: u64| i64::try_from(v).map_err(|_| io::ErrorKind::InvalidInput);
        let (off, len) = (signed(off)?, signed(len)?);
        loop {
            // SAFETY: no pointers involved.
            match check(unsafe { libc::fallocate(self.raw_fd(), mode, off, len) }) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// A second descriptor that cannot write. On its own it keeps an honest
    /// peer from writing; [`seal_read_only`](Backing::seal_read_only) keeps
    /// the others.
    pub fn read_only(&self) -> io::Result<OwnedFd> {
        File::open(format!("/proc/self/fd/{}", self.raw_fd())).map(OwnedFd::from)
    }

    pub(crate) fn identity(fd: BorrowedFd<'_>) -> io::Result<(u64, u64)> {
        let meta = File::from(fd.try_clone_to_owned()?).metadata()?;
        Ok((meta.dev(), meta.ino()))
    }
}

fn memfd_create(name: &str, flags: libc::c_uint) -> io::Result<OwnedFd> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string that outlives the call.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), flags) };
    check(fd)?;
    // SAFETY: a descriptor just made and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn is_hugetlb(file: &File) -> io::Result<bool> {
    // SAFETY: statfs is plain integers, for which zeros are valid.
    let mut stat: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: a live descriptor and a live struct of the right type.
    check(unsafe { libc::fstatfs(file.as_raw_fd(), &mut stat) })?;
    Ok(stat.f_type == libc::HUGETLBFS_MAGIC)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The system's pool of 2 MiB pages.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HugePages {
    /// Pages in the pool.
    pub total: u64,
    /// Pages nobody uses, less those promised to somebody.
    pub free: u64,
}

/// Reads the state of the huge page pool.
///
/// # Errors
/// Where the kernel has no such pool.
pub fn huge_pages() -> io::Result<HugePages> {
    let value = |name: &str| -> io::Result<u64> {
        let text = fs::read_to_string(format!("/sys/kernel/mm/hugepages/hugepages-2048kB/{name}"))?;
        text.trim()
            .parse()
            .map_err(|_| io::ErrorKind::InvalidData.into())
    };
    let free = value("free_hugepages")?.saturating_sub(value("resv_hugepages")?);
    Ok(HugePages {
        total: value("nr_hugepages")?,
        free,
    })
}

/// A shared mapping of a descriptor's first bytes, for state that is read and
/// written in single fields. What an array of this process
/// [claimed](crate::FlowSlots::map_array) is not accessible this way.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    writable: bool,
    identity: (u64, u64),
}

// SAFETY: hands out no references; accesses are volatile or atomic.
unsafe impl Send for Mapping {}
// SAFETY: as for Send.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes (a whole number of pages) of `fd`. Huge pages are not set
    /// aside for all of them: whoever made the memory [reserves](Backing::reserve) what it uses.
    pub fn new(fd: BorrowedFd<'_>, len: u64, writable: bool) -> io::Result<Mapping> {
        let identity = Backing::identity(fd)?;
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        let protection = libc::PROT_READ | if writable { libc::PROT_WRITE } else { 0 };
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let place = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                protection,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                fd.as_raw_fd(),
                0,
            )
        };
        if place == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(place.cast()).ok_or(io::ErrorKind::Other)?;
        Ok(Mapping {
            base,
            len,
            writable,
            identity,
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.len as u64
    }

    /// Never: the kernel maps no empty stretch.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it may be written.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The mapping's address. References made of it are unsound while anybody
    /// can write.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.base
    }

    /// What file this maps, wherever else it may be mapped.
    pub(crate) fn identity(&self) -> (u64, u64) {
        self.identity
    }

    pub(crate) fn place(&self, at: u64, len: u64) -> Result<NonNull<u8>, OutOfBounds> {
        if at.checked_add(len).is_none_or(|end| end > self.len as u64) {
            return Err(OutOfBounds);
        }
        // SAFETY: at most one past the end of the mapping.
        Ok(unsafe { self.base.add(at as usize) })
    }

    fn writable_place(&self, at: u64, len: u64) -> Result<NonNull<u8>, OutOfBounds> {
        if self.writable {
            self.place(at, len)
        } else {
            Err(OutOfBounds)
        }
    }

    /// Copies out a value at byte `at`. Not atomic: a concurrent write may
    /// show in part.
    pub fn read_at<T: FromBytes + IntoBytes>(&self, at: u64) -> Result<T, OutOfBounds> {
        let mut value = T::new_zeroed();
        self.read_bytes(at, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Copies in a value at byte `at`. Refused on a read-only mapping.
    pub fn write_at<T: IntoBytes + Immutable>(
        &self,
        at: u64,
        value: &T,
    ) -> Result<(), OutOfBounds> {
        self.write_bytes(at, value.as_bytes())
    }

    /// Copies out bytes from `at` on.
    pub fn read_bytes(&self, at: u64, dst: &mut [u8]) -> Result<(), OutOfBounds> {
        let src = self.place(at, dst.len() as u64)?;
        let _unclaimed = unclaimed(self.identity, at, dst.len() as u64)?;
        // SAFETY: the bounds were checked; `dst` is private memory.
        unsafe { copy::copy(dst.as_mut_ptr(), src.as_ptr(), dst.len()) };
        Ok(())
    }

    /// Copies in bytes from `at` on. Refused on a read-only mapping.
    pub fn write_bytes(&self, at: u64, src: &[u8]) -> Result<(), OutOfBounds> {
        let dst = self.writable_place(at, src.len() as u64)?;
        let _unclaimed = unclaimed(self.identity, at, src.len() as u64)?;
        // SAFETY: the bounds were checked; `src` is private memory.
        unsafe { copy::copy(dst.as_ptr(), src.as_ptr(), src.len()) };
        Ok(())
    }

    /// Reads the 8-aligned word at byte `at`; sees everything written before
    /// the value was [stored](Mapping::store_u64).
    pub fn load_u64(&self, at: u64) -> Result<u64, OutOfBounds> {
        let _unclaimed = unclaimed(self.identity, at, 8)?;
        // Relaxed, then a fence: the form that is allowed on read-only memory.
        let value = self.word(at)?.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        Ok(value)
    }

    /// The 8-aligned word at byte `at`, whoever claimed it.
    pub(crate) fn word(&self, at: u64) -> Result<&AtomicU64, OutOfBounds> {
        let place = self.place(at, 8)?.cast::<AtomicU64>();
        if !place.is_aligned() {
            return Err(OutOfBounds);
        }
        // SAFETY: in bounds, aligned, and atomic, for as long as the mapping lives.
        Ok(unsafe { place.as_ref() })
    }

    /// Publishes the 8-aligned word at byte `at`, after everything written
    /// before. Refused on a read-only mapping.
    pub fn store_u64(&self, at: u64, value: u64) -> Result<(), OutOfBounds> {
        let _unclaimed = unclaimed(self.identity, at, 8)?;
        self.writable_place(at, 8)?;
        self.word(at)?.store(value, Ordering::Release);
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping's own pages; borrowers hold the mapping.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(all(test, not(loom)))]
#[path = "region_tests.rs"]
mod tests;
