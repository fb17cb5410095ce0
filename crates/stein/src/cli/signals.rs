//! SIGINT, SIGTERM and SIGUSR1: the first asks, the same again does not. Schedulers send SIGUSR1 before a time limit, SIGTERM after
//! it, and mean one request.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[cfg(unix)]
use signal_hook::consts::SIGUSR1;
use signal_hook::consts::{SIGINT, SIGTERM};
use stein_train::{RunError, Stop};

/// Lets signals set a flag only; the same one again ends the process at once, but for SIGUSR1, which only ever asks.
pub(crate) fn install() -> std::io::Result<Stop> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        let asked = Arc::new(AtomicBool::new(false));
        // In this order: the first signal finds the flag down and raises it, the second finds it up and exits.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        signal_hook::flag::register(signal, asked)?;
        signal_hook::flag::register_usize(signal, stop.cell(), signal as usize)?;
    }
    notice(&stop)?;
    Ok(stop)
}

/// Lets signals set a flag and nothing else: whoever reads it resets it and acts on the next one too, or takes all for one.
pub(crate) fn watch() -> std::io::Result<Stop> {
    let stop = Stop::new();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, stop.cell(), signal as usize)?;
    }
    notice(&stop)?;
    Ok(stop)
}

/// For the process of one cell: whoever started it asks it to stop by a signal's number on stdin, or by dying.
pub(crate) fn attended() -> std::io::Result<Stop> {
    let stop = Stop::new();
    let asked = stop.cell();
    // A terminal sends SIGINT to the whole group; it is for the one that all were started by.
    signal_hook::flag::register(SIGINT, Arc::new(AtomicBool::new(false)))?;
    signal_hook::flag::register_usize(SIGTERM, stop.cell(), SIGTERM as usize)?;
    notice(&stop)?;
    std::thread::Builder::new().name("attendant".into()).spawn(move || {
        let mut signal = [SIGTERM as u8];
        // Nothing to read is the end of the pipe.
        let _ = std::io::stdin().read(&mut signal);
        asked.store(signal[0].into(), Ordering::SeqCst);
    })?;
    Ok(stop)
}

/// Lets a write beyond the size that files may have (`ulimit -f`) fail as on a full disk: the signal that comes with it would end the
/// process without a word.
pub(crate) fn outlive_limits() {
    #[cfg(unix)]
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false))) {
        super::say(format_args!("note    cannot handle SIGXFSZ: {error}"));
    }
}

/// Takes a scheduler's notice that time is running out, where there is such a signal.
fn notice(stop: &Stop) -> std::io::Result<()> {
    #[cfg(unix)]
    signal_hook::flag::register_usize(SIGUSR1, stop.cell(), SIGUSR1 as usize)?;
    #[cfg(not(unix))]
    let _ = stop;
    Ok(())
}

/// Whether a further signal is more than what was asked for before.
pub(crate) fn insists(before: &RunError, now: &RunError) -> bool {
    before.exit_code() == now.exit_code() && [SIGINT, SIGTERM].contains(&(i32::from(now.exit_code()) - 128))
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
