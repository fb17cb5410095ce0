//! SIGINT and SIGTERM: the first asks, the second does not.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// Lets signals set a flag and nothing else: whoever reads it resets it, and acts on the next one too.
pub(crate) fn watch() -> std::io::Result<Stop> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, stop.cell(), signal as usize)?;
    }
    Ok(stop)
}

/// For the process of one cell: whoever started it asks it to stop by a signal's number on stdin, or by dying.
pub(crate) fn attended() -> std::io::Result<Stop> {
    let stop = Stop::new();
    let asked = stop.cell();
    // A terminal sends SIGINT to the whole group; it is for the one that all were started by.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    signal_hook::flag::register_usize(SIGTERM, stop.cell(), SIGTERM as usize)?;
    std::thread::Builder::new().name("attendant".into()).spawn(move || {
        let mut signal = [SIGTERM as u8];
        // Nothing to read is the end of the pipe.
        let _ = std::io::stdin().read(&mut signal);
        asked.store(signal[0].into(), Ordering::SeqCst);
    })?;
    Ok(stop)
}

/// Lets a process ask itself to stop when its time is over.
pub(crate) fn limit(stop: &Stop, time: Duration) -> std::io::Result<()> {
    let stop = stop.clone();
    let clock = move || {
        std::thread::sleep(time);
        stop.time_out();
    };
    std::thread::Builder::new().name("clock".into()).spawn(clock).map(drop)
}
