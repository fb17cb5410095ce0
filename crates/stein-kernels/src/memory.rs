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
/// static ALLOCATOR: stein_kernels::memory::Counting<std::alloc::System> = stein_kernels::memory::Counting(std::alloc::System);
///
/// let (bytes, peak) = stein_kernels::memory::peak_of(|| vec![0u8; 1 << 20].len());
/// assert!(bytes == 1 << 20 && (1 << 20..1 << 21).contains(&peak.unwrap()));
/// ```
pub struct Counting<A>(pub A);

/// `mi_option_purge_delay`, of which the bindings have no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Lets mimalloc keep the pages that are freed: every step frees and takes the same ones, and the system clears each page that it
/// gives out. `MIMALLOC_PURGE_DELAY` has its say before this. For the first line of `main`, of programs whose allocator it is.
pub fn keep_pages() {
    #[expect(unsafe_code, reason = "an option of a C library")]
    // SAFETY: the number is that of an option that takes any delay, −1 for none; it is set before there are threads.
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, -1);
    }
}

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

#[cfg(test)]
mod tests {
    #[test]
    fn the_number_is_that_of_the_purge_delay() {
        // SAFETY: options may be read.
        #[expect(unsafe_code, reason = "an option of a C library")]
        let get = || unsafe { libmimalloc_sys::mi_option_get(super::PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_none() {
            assert_eq!(get(), 1000, "its default in milliseconds");
            super::keep_pages();
            assert_eq!(get(), -1);
        }
    }
}
