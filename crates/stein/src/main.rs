//! The `stein` command.

// Training allocates and frees large buffers every step; the system's allocator gives them back and page-faults each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    stein::cli::main(|_| {})
}
