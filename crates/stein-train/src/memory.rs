//! How much memory a computation holds at a time, counted where it is allocated.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

static INSTALLED: AtomicBool = AtomicBool::new(false);
static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

/// An allocator that counts while [`peak_of`] asks it to; else it costs one look at a flag.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: stein_train::memory::Counting<std::alloc::System> = stein_train::memory::Counting(std::alloc::System);
///
/// let (bytes, peak) = stein_train::memory::peak_of(|| vec![0u8; 1 << 20].len());
/// assert!(bytes == 1 << 20 && (1 << 20..1 << 21).contains(&peak.unwrap()));
/// ```
pub struct Counting<A>(pub A);

fn count(bytes: i64) {
    if COUNTING.load(Relaxed) {
        let live = LIVE.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(live, Relaxed);
    }
}

#[expect(unsafe_code, reason = "an allocator is an unsafe trait; every call is passed on as it is")]
// SAFETY: all four functions pass their arguments on to an allocator that keeps the contract.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        INSTALLED.store(true, Relaxed);
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}

/// Runs something and gives the most bytes of host memory that it held at a time beyond what was there before; `None` where the
/// program's allocator does not count.
pub fn peak_of<T>(run: impl FnOnce() -> T) -> (T, Option<u64>) {
    LIVE.store(0, Relaxed);
    PEAK.store(0, Relaxed);
    COUNTING.store(true, Relaxed);
    let result = run();
    COUNTING.store(false, Relaxed);
    let peak = u64::try_from(PEAK.load(Relaxed)).unwrap_or(0);
    (result, INSTALLED.load(Relaxed).then_some(peak))
}
