//! What sampling costs: all sides stay and are asked in turn, case by case.

use super::peers::{PEERS, Sides};
use super::table::{Row, tell};

/// Times that each case is asked for.
const ROUNDS: usize = 5;
/// How far scores of two sides may be apart, relative to the largest.
const TOLERANCE: f64 = 1e-5;
/// How far the mean ‖x‖² of samples may be apart, relatively: noise is each side's own, and 10,000 chains are right to about 0.01.
const SCATTER: f64 = 0.06;
pub(crate) const OUT: &str = "reports/bench-sampling.json";

/// Score, chains, steps and the chains of a chunk, which peers do not have.
pub(crate) type Case = (&'static str, usize, usize, usize);
const SHORT: [Case; 4] = [
    ("mlp", 10_000, 1000, 10_000),
    ("mlp", 10_000, 1000, 512),
    ("exact", 10_000, 1000, 10_000),
    ("exact", 10_000, 1000, 512),
];
const OTHERS: [Case; 2] = [("exact", 20_000, 1000, 20_000), ("exact", 10_000, 2000, 10_000)];

pub(crate) fn run(peers: bool, all: bool) -> Result<(), String> {
    let mut sides = Sides::start("sampling", peers)?;
    let cases: Vec<Case> = SHORT.into_iter().chain(OTHERS.into_iter().filter(|_| all)).collect();
    for case in &cases {
        agree(*case, &mut sides)?;
    }
    let mut rows: Vec<Row> = cases.iter().map(|case| Row::new(setting(*case), name(*case))).collect();
    for round in 1..=ROUNDS {
        println!("sampling: round {round} of {ROUNDS}");
        for (case, row) in cases.iter().zip(&mut rows) {
            let question = question("time", *case);
            let own = answer(&sides.own.ask(&question)?, &question)?.ok_or("stein cannot tell")?;
            row.ours.push(own.seconds);
            for ((peer, other), theirs) in PEERS.iter().zip(&mut sides.others).zip(&mut row.theirs) {
                let Some(other) = answer(&other.ask(&question)?, &question)? else { continue };
                let apart = (other.square / own.square - 1.0).abs();
                if apart.is_nan() || apart > SCATTER {
                    let (ours, theirs) = (own.square, other.square);
                    return Err(format!("{question}: the mean ‖x‖² is {ours}, that of {} {theirs}", peer.name));
                }
                theirs.push(other.seconds);
            }
        }
    }
    tell(OUT, "seconds of sampling", &rows)
}

/// The cases whose memory is measured, of as few steps as show it.
pub(crate) fn in_memory() -> impl Iterator<Item = (String, String)> {
    let whole = SHORT.into_iter().filter(|(_, chains, _, chunk)| chains == chunk);
    whole.map(|case| (question("memory", (case.0, case.1, 100, case.3)), setting(case)))
}

fn question(what: &str, (score, chains, steps, chunk): Case) -> String {
    format!("{what} {score} {chains} {steps} {chunk}")
}

fn setting((score, ..): Case) -> String {
    match score {
        "mlp" => "annealed Langevin, MLP 2-128-128-2",
        _ => "Langevin, exact score of a mixture",
    }
    .to_owned()
}

fn name((_, chains, steps, chunk): Case) -> String {
    let chunks = if chunk < chains { format!(", in chunks of {chunk}") } else { String::new() };
    format!("{chains} chains x {steps} steps{chunks}")
}

struct Answer {
    seconds: f64,
    /// The mean ‖x‖² of the samples.
    square: f64,
}

fn answer(numbers: &[f64], question: &str) -> Result<Option<Answer>, String> {
    match *numbers {
        [] => Ok(None),
        [seconds, square] => Ok(Some(Answer { seconds, square })),
        _ => Err(format!("{question}: seconds and a mean are wanted, not {numbers:?}")),
    }
}

/// Refuses to compare times of what is not the same: scores at the same rows.
fn agree(case: Case, sides: &mut Sides) -> Result<(), String> {
    let question = question("check", case);
    let ours = sides.own.ask(&question)?;
    let scale = ours.iter().fold(0.0, |most: f64, s| most.max(s.abs()));
    for (peer, other) in PEERS.iter().zip(&mut sides.others) {
        let theirs = other.ask(&question)?;
        let close = |(a, b): (&f64, &f64)| (a - b).abs() <= TOLERANCE * scale;
        if theirs.is_empty() {
            continue;
        }
        if ours.len() != theirs.len() || !ours.iter().zip(&theirs).all(close) {
            return Err(format!("{question}: stein's scores are {ours:?}, those of {} {theirs:?}", peer.name));
        }
    }
    Ok(())
}
