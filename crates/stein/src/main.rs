//! The `stein` command.

#![forbid(unsafe_code)]

use mimalloc::MiMalloc;
use stein::train::memory::{Counting, keep_pages};

// Training allocates and frees large buffers every step; the system's allocator gives them back and page-faults each time.
#[global_allocator]
static ALLOCATOR: Counting<MiMalloc> = Counting(MiMalloc);

fn main() -> std::process::ExitCode {
    keep_pages();
    stein::cli::main(|_| {})
}
