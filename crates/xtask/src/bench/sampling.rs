//! What sampling costs: both sides tell all they know, some times in turn.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use super::spread::Spread;
use super::{ours, peer, wanted, write};

/// Times that each side is run.
const ROUNDS: usize = 5;
const OUT: &str = "reports/bench.json";

/// Seconds of each measurement, in the order in which they were first told.
type Times = Vec<(String, Vec<f64>)>;

pub(crate) fn run(peers: bool) -> Result<(), String> {
    let (mut own, mut theirs) = (Times::new(), Times::new());
    for round in 1..=ROUNDS {
        println!("sampling: round {round} of {ROUNDS}");
        measure(&mut ours("sampling"), &mut own)?;
        if peers {
            measure(&mut peer("peers.py"), &mut theirs).map_err(wanted)?;
        }
    }
    let theirs: BTreeMap<String, Vec<f64>> = theirs.into_iter().collect();
    println!("\n{:<56}{:>22}{:>26}{:>8}", "seconds: median (least to most)", "stein", "PyTorch eager", "ratio");
    let mut json = Vec::new();
    for (name, own) in &own {
        let other = theirs.get(name).map(|times| Spread::of(times));
        let own = Spread::of(own);
        let ratio = other.map_or("-".to_owned(), |other| format!("{:.2}", other.median / own.median));
        let told = other.map_or("-".to_owned(), Spread::range_text);
        println!("{name:<56}{:>22}{told:>26}{ratio:>8}", own.range_text());
        let peer = other.map_or(String::new(), |o| format!(", \"torch\": {}", o.json()));
        json.push(format!("{{\"name\": \"{name}\", \"stein\": {}{peer}}}", own.json()));
    }
    write(OUT, &json)?;
    println!("\na ratio above 1 is in stein's favour; all of it in {OUT}\n");
    Ok(())
}

/// Runs one side and notes its lines, `name<TAB>seconds`.
fn measure(command: &mut Command, times: &mut Times) -> Result<(), String> {
    let output = command.stderr(Stdio::inherit()).output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed"));
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Some((name, seconds)) = line.split_once('\t') else { continue };
        let seconds: f64 = seconds.trim().parse().map_err(|e| format!("{line:?}: {e}"))?;
        match times.iter_mut().find(|(known, _)| known == name) {
            Some((_, list)) => list.push(seconds),
            None => times.push((name.to_owned(), vec![seconds])),
        }
    }
    Ok(())
}
