//! `cargo xtask bench`: what things cost, and what the same costs elsewhere, alternating in one run.

use std::collections::BTreeMap;
use std::process::{Command, ExitCode};

/// Times that each side is run.
const ROUNDS: usize = 5;
const OUT: &str = "reports/bench.json";

/// Seconds of each measurement, in the order in which they were first told.
type Times = Vec<(String, Vec<f64>)>;

pub(crate) fn bench(peers: bool) -> ExitCode {
    match run(peers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(peers: bool) -> Result<(), String> {
    let build = ["bench", "--workspace", "--bench", "sampling", "--no-run"];
    if !cargo(&build).status().map_err(|e| format!("cannot start cargo: {e}"))?.success() {
        return Err("the benchmark does not build".into());
    }
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let (mut ours, mut theirs) = (Times::new(), Times::new());
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        measure(&mut cargo(&["bench", "--quiet", "--workspace", "--bench", "sampling"]), &mut ours)?;
        if peers {
            measure(Command::new(&python).arg("tests/benches/peers.py"), &mut theirs).map_err(|problem| {
                format!("{problem}\nPyTorch is wanted: {python} -m pip install -r tests/benches/requirements.txt; PYTHON names another Python")
            })?;
        }
    }
    let theirs: BTreeMap<String, Vec<f64>> = theirs.into_iter().collect();
    println!("\n{:<56}{:>22}{:>26}{:>8}", "seconds: median (least to most)", "stein", "PyTorch eager", "ratio");
    let mut json = Vec::new();
    for (name, own) in &ours {
        let other = theirs.get(name).map(|times| Spread::of(times));
        let own = Spread::of(own);
        let ratio = other.map(|other| other.median / own.median);
        let told = |spread: Option<Spread>| spread.map_or("-".to_owned(), |s| s.text());
        let ratio_told = ratio.map_or("-".to_owned(), |r| format!("{r:.2}"));
        println!("{name:<56}{:>22}{:>26}{ratio_told:>8}", own.text(), told(other));
        let peer = other.map_or(String::new(), |o| format!(", \"torch\": {}", o.json()));
        json.push(format!("  {{\"name\": \"{name}\", \"stein\": {}{peer}}}", own.json()));
    }
    std::fs::create_dir_all("reports").map_err(|e| format!("reports: {e}"))?;
    std::fs::write(OUT, format!("[\n{}\n]\n", json.join(",\n"))).map_err(|e| format!("{OUT}: {e}"))?;
    println!("\na ratio above 1 is in stein's favour; all of it in {OUT}");
    Ok(())
}

fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments);
    cargo
}

/// Runs one side and notes its lines, `name<TAB>seconds`.
fn measure(command: &mut Command, times: &mut Times) -> Result<(), String> {
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(|e| format!("{command:?}: {e}"))?;
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

#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one.
    fn of(times: &[f64]) -> Self {
        let mut sorted = times.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self { median: sorted[sorted.len() / 2], least: sorted[0], most: sorted[sorted.len() - 1] }
    }

    fn text(self) -> String {
        format!("{:.2} ({:.2} to {:.2})", self.median, self.least, self.most)
    }

    fn json(self) -> String {
        format!("{{\"median\": {}, \"least\": {}, \"most\": {}}}", self.median, self.least, self.most)
    }
}
