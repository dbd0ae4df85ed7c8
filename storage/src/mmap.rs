//! Read-only maps of sealed segments, and what happens when the disk cannot read under one. All `unsafe` of this crate.
//!
//! What callers may assume: the bytes stay readable as long as any clone of the [`Bytes`] lives, and the map goes away
//! with the last one. They stay the same, with one exception: **a page that the disk cannot read, or that another
//! process has cut off, reads as zeros**, now or when it is fetched again after memory was short. So nothing that
//! comes out of a map counts before its checksum holds, and what is kept for long is copied first and checked then;
//! who has read much asks [`faults`] before and after.
//!
//! ```text
//! load from a map ─▶ page fault ─▶ EIO ─▶ SIGBUS ─▶ on_bus_error: is the address in TABLE?
//!                                    ours: a page of zeros over it, FAULTS + 1, the load runs again and sees zeros
//!                                    not ours: the handler that stood there before takes it
//! ```
//!
//! Why a handler: without it one bad sector under a map kills the process, with all registers that it serves.
//! journald, which reads its files through maps too, does the same (systemd, src/basic/sigbus.c). Why not `pread`
//! everywhere: a walk over sealed segments is twice as fast over a map (docs/adr/0002). The handler is set with
//! the first map. It takes no lock, allocates nothing, and calls `mmap`, `sigaction` and `raise` alone.
//!
//! What else breaks the promise: anybody who writes to a mapped file. In this process nobody does: a file is mapped
//! only after its footer is durable, the log never writes to it again, and its length has been cut before.
//! Removing its name is harmless, the inode lives on. The directory lock keeps other writers out, and the data
//! directory is ours alone (0700).
//!
//! Invariants, with the test that holds each:
//! - a page that cannot be read costs no process: `a_page_that_is_gone_reads_as_zeros_and_is_counted`, and with a disk
//!   that fails, in `ofd-powercut`, `a_bad_sector_under_a_map_is_damage_and_no_death`;
//! - a SIGBUS that is not ours still ends the process: `a_bus_error_of_somebody_else_is_not_ours`.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
pub(crate) use memmap2::Advice;
use rustix::mm::{MapFlags, ProtFlags};

/// Maps that can be guarded at a time; a further one is refused, and read by `pread`.
const GUARDED_MAX: usize = 4096;

/// Where a guarded map lies. `start` is 0 for a free slot.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
}

static TABLE: [Slot; GUARDED_MAX] =
    [const { Slot { start: AtomicUsize::new(0), end: AtomicUsize::new(0) } }; GUARDED_MAX];
static FAULTS: AtomicU64 = AtomicU64::new(0);
/// What stood there before us, and the length of a page.
static INSTALLED: OnceLock<Option<(libc::sigaction, usize)>> = OnceLock::new();

/// Pages of maps that could not be read since the process began. While it stands still, nothing read from a map was
/// replaced by zeros.
pub(crate) fn faults() -> u64 {
    FAULTS.load(Ordering::Acquire)
}

/// A map with its place in the table.
struct Guarded {
    slot: &'static Slot,
    map: memmap2::Mmap,
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Before the map itself goes, which is a field: its addresses may be another's a moment later.
        self.slot.start.store(0, Ordering::Release);
    }
}

/// Maps the whole file, to be read as `advice` says.
#[allow(unsafe_code, reason = "the one map of the crate; contract in the module header")]
pub(crate) fn map_read_only(file: &File, advice: Advice) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        // An empty map is refused by mmap(2).
        return Ok(Bytes::new());
    }
    if INSTALLED.get_or_init(install).is_none() {
        return Err(io::Error::other("SIGBUS cannot be handled"));
    }
    // SAFETY: memmap2 asks that the file is not modified, in or out of this process, while the map lives.
    // The module header names who could, and why nobody does: sealed segments are never written again, and
    // the directory has one owner.
    let map = unsafe { memmap2::Mmap::map(file)? };
    // What it cannot be told it reads as it likes.
    let _ = map.advise(advice);
    let start = map.as_ptr().addr();
    // A slot that is taken but not told yet begins where no address is.
    let free = |slot: &&Slot| {
        slot.start.compare_exchange(0, usize::MAX, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let slot = TABLE.iter().find(free).ok_or_else(|| io::Error::other("too many maps"))?;
    slot.end.store(start.saturating_add(map.len()), Ordering::Relaxed);
    slot.start.store(start, Ordering::Release);
    Ok(Bytes::from_owner(Guarded { slot, map }))
}

/// Whether a guarded map lies at this address.
fn is_ours(address: usize) -> bool {
    TABLE.iter().any(|slot| {
        let start = slot.start.load(Ordering::Acquire);
        let end = slot.end.load(Ordering::Acquire);
        // Read again: the slot may have got another map between the two loads.
        start != 0 && (start..end).contains(&address) && slot.start.load(Ordering::Acquire) == start
    })
}

/// Sets the handler; what stood there before.
#[allow(unsafe_code, reason = "signals; contract in the module header")]
fn install() -> Option<(libc::sigaction, usize)> {
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_bus_error;
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    let mut ours = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros is a valid `sigaction`: no handler, an empty mask, no flags.
    let action = unsafe { ours.assume_init_mut() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: both pointers are valid for the call. The handler does what a handler may do only, see below.
    let set = unsafe { libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) };
    // SAFETY: zeroed above and, on success, written by the call.
    let before = unsafe { before.assume_init() };
    (set == 0).then(|| (before, rustix::param::page_size()))
}

/// The handler of SIGBUS. Runs on whatever thread has touched the page, between any two instructions of it.
#[allow(unsafe_code, reason = "signals; contract in the module header")]
extern "C" fn on_bus_error(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    let Some(Some((before, page_len))) = INSTALLED.get() else { return };
    // SAFETY: set with SA_SIGINFO, so the kernel hands over a valid `siginfo_t`.
    let info = unsafe { &*info };
    // SAFETY: a SIGBUS carries the address of the fault.
    let address = unsafe { info.si_addr() };
    if is_ours(address.addr()) {
        let page = address.map_addr(|address| address & !page_len.saturating_sub(1));
        let flags = MapFlags::PRIVATE | MapFlags::FIXED;
        // SAFETY: the page belongs to a map of ours, which is read only and alive: somebody is reading it. Zeros take
        // its place; the map's end is unmapped with the rest of it. No errno is touched: rustix calls the kernel.
        let zeros = unsafe { rustix::mm::mmap_anonymous(page, *page_len, ProtFlags::READ, flags) };
        if zeros.is_ok() {
            FAULTS.fetch_add(1, Ordering::AcqRel);
            return;
        }
    }
    // SAFETY: `before` came from the kernel. The load runs again, and the fault goes to whom it went before.
    unsafe { libc::sigaction(libc::SIGBUS, before, std::ptr::null_mut()) };
    if info.si_code <= 0 {
        // Sent by a process: no load runs again. It comes when this returns, as the signal is blocked meanwhile.
        // SAFETY: raise(3) may be called in a handler.
        unsafe { libc::raise(libc::SIGBUS) };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test may panic")]
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    // Why: without the handler this test is the end of the test run.
    #[test]
    fn a_page_that_is_gone_reads_as_zeros_and_is_counted() {
        let page = rustix::param::page_size();
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &vec![7; 3 * page]).unwrap();
        let (bytes, before) = (map_read_only(&file, Advice::Normal).unwrap(), faults());
        file.set_len(page as u64).unwrap();
        assert_eq!((bytes[page - 1], bytes[page], bytes[2 * page]), (7, 0, 0));
        assert_eq!(faults(), before + 2);
        let kept = bytes.slice(page..);
        drop(bytes);
        assert_eq!(kept[page + 1], 0, "still readable");
        drop(kept);
        let again = map_read_only(&file, Advice::Normal).unwrap();
        assert_eq!((again.len(), again[0]), (page, 7));
    }

    #[test]
    fn a_slot_is_given_back_with_its_map() {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, &[1; 10]).unwrap();
        for _ in 0..GUARDED_MAX * 2 {
            assert_eq!(map_read_only(&file, Advice::Normal).unwrap().len(), 10);
        }
    }

    // Why: a handler that swallows what it does not know would turn every other SIGBUS into a loop without end.
    #[test]
    fn a_bus_error_of_somebody_else_is_not_ours() {
        if std::env::var_os("OFD_RAISE_SIGBUS").is_some() {
            let mut file = tempfile::tempfile().unwrap();
            std::io::Write::write_all(&mut file, &[1; 10]).unwrap();
            drop(map_read_only(&file, Advice::Normal).unwrap());
            // Ours lets it through to the handler of Rust's own library, and that one to the end, a signal each.
            for _ in 0..3 {
                let _ =
                    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::BUS);
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            return;
        }
        let name = "mmap::tests::a_bus_error_of_somebody_else_is_not_ours";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env("OFD_RAISE_SIGBUS", "1")
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .unwrap();
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status:?}");
    }
}
