//! Faults: processes are killed, disks are full or fail, files are damaged, clocks go back. Whatever was begun ends, by the same
//! command, as if nothing had happened.
//!
//! Each fault has fewer repetitions than with `STEIN_FAULTS=full`; `cargo xtask faults` does them all, and prints how many there
//! were. `STEIN_FAULTS_SEED`, a number, chooses other moments and places.
#![cfg(unix)]

#[path = "faults/clock.rs"]
mod clock;
#[path = "faults/crowd.rs"]
mod crowd;
#[path = "faults/damage.rs"]
mod damage;
#[path = "faults/disk.rs"]
mod disk;
#[allow(dead_code, reason = "the tests of the program use all of it")]
#[path = "program/harness.rs"]
mod harness;
#[path = "faults/kill.rs"]
mod kill;
#[path = "needs.rs"]
mod needs;
#[path = "faults/save.rs"]
mod save;
#[path = "faults/scenario.rs"]
mod scenario;
#[path = "faults/soak.rs"]
mod soak;
#[path = "faults/strace.rs"]
mod strace;
#[path = "faults/tally.rs"]
mod tally;
