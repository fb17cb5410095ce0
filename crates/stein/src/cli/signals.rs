//! SIGINT and SIGTERM: the first asks, the second does not.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use stein_train::Stop;

/// Lets signals set a flag only; a second one ends the process at once.
pub(crate) fn install() -> std::io::Result<Stop> {
    let stop = Stop::new();
    let asked = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down and raises it, the second finds it up and exits.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        signal_hook::flag::register(signal, asked.clone())?;
        signal_hook::flag::register_usize(signal, stop.cell(), signal as usize)?;
    }
    Ok(stop)
}
