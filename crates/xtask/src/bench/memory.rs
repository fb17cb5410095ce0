//! The most memory that a process holds for a case, each in a process of its own.

use super::peers::{PEERS, Sides};
use super::side::Side;
use super::table::{Row, tell};
use super::{sampling, steps};

pub(crate) const OUT: &str = "reports/bench-memory.json";

pub(crate) fn run(peers: bool, all: bool) -> Result<(), String> {
    let of_sampling = sampling::in_memory().map(|(question, name)| ("sampling", question, name));
    let of_steps = steps::in_memory(all).map(|(question, name)| ("steps", question, name));
    let cases: Vec<_> = of_sampling.chain(of_steps).collect();
    let [mut whole, mut beyond] = [Vec::new(), Vec::new()];
    for (i, (bench, question, name)) in cases.iter().enumerate() {
        println!("memory: {} of {}: {name}", i + 1, cases.len());
        let mut rows = ["resident at most", "beyond what it began with, compilers included"]
            .map(|setting| Row::new(setting, name));
        let mut sides = Sides::start(bench, peers)?;
        for (row, value) in rows.iter_mut().zip(held(&mut sides.own, question)?.ok_or(UNKNOWN)?) {
            row.ours.push(value);
        }
        for (peer, other) in (0..PEERS.len()).zip(&mut sides.others) {
            for (row, value) in rows.iter_mut().zip(held(other, question)?.into_iter().flatten()) {
                row.theirs[peer].push(value);
            }
        }
        let [most, more] = rows;
        whole.push(most);
        beyond.push(more);
    }
    whole.append(&mut beyond);
    tell(OUT, "MiB of memory", &whole)
}

const UNKNOWN: &str = "this system does not tell how much memory a process held at most; Linux does";

/// MiB at most, and how many more than before; none if it cannot tell.
fn held(side: &mut Side, question: &str) -> Result<Option<[f64; 2]>, String> {
    match side.ask(question)?[..] {
        [] => Ok(None),
        // Less is an allocator's whim.
        [most, before] => Ok(Some([most, (most - before).max(1.0)])),
        ref other => Err(format!("{question}: two numbers are wanted, not {other:?}")),
    }
}
