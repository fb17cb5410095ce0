//! How many faults there were, how many were survived.

use std::io::Write;

/// How often something is done: fewer times by default than with `STEIN_FAULTS=full`.
pub(crate) fn repetitions(few: usize, all: usize) -> usize {
    if std::env::var("STEIN_FAULTS").is_ok_and(|word| word == "full") { all } else { few }
}

/// Counts the faults of a kind. A fault that a test fails at is injected and not survived: it is lost.
///
/// The counts pass by the test runner, which keeps what a test prints to itself, and go to the end of the file that
/// `STEIN_FAULTS_COUNTED` names: `cargo xtask` makes a table of its lines.
pub(crate) struct Tally {
    kind: &'static str,
    pub(crate) injected: usize,
    survived: usize,
}

impl Tally {
    pub(crate) fn of(kind: &'static str) -> Self {
        Self { kind, injected: 0, survived: 0 }
    }

    pub(crate) fn injected(&mut self) {
        self.injected += 1;
    }

    pub(crate) fn survived(&mut self) {
        self.survived += 1;
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let Self { kind, injected, survived } = *self;
        let lost = injected - survived;
        let _ = writeln!(std::io::stderr(), "faults: {kind}: {injected} injected, {survived} survived, {lost} lost");
        if let Some(path) = std::env::var_os("STEIN_FAULTS_COUNTED") {
            let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
            let line = format!("{kind}\t{injected}\t{survived}\n");
            // A test that fails has its own words to say.
            if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes()))
                && !std::thread::panicking()
            {
                panic!("the list of faults: {error}");
            }
        }
    }
}

/// Numbers that look random (SplitMix64), the same in each run of the suite with the same `STEIN_FAULTS_SEED`.
pub(crate) struct Random(u64);

impl Random {
    /// Those of one test.
    pub(crate) fn of(test: u64) -> Self {
        let seed: u64 = std::env::var("STEIN_FAULTS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
        Self(seed << 16 | test)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}
