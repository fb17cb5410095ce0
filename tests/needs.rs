//! What tests need from outside. A test that goes without it is left out, and says so.

use std::io::Write;

/// Leaves a test out; where `STEIN_REQUIRE`, a comma-separated list, names the need, the test fails instead.
///
/// The reason passes by the test runner, which keeps what a test prints to itself, and goes to the end of the file that
/// `STEIN_LEFT_OUT` names: `cargo xtask` counts its lines.
#[track_caller]
pub(crate) fn leave_out(need: &str, why: &str) {
    let required = std::env::var("STEIN_REQUIRE").unwrap_or_default();
    assert!(!required.split(',').any(|word| word == need), "{why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("{test}: {why}\n");
    let _ = write!(std::io::stderr(), "left out: {line}");
    if let Some(path) = std::env::var_os("STEIN_LEFT_OUT") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the list of tests that were left out");
    }
}
