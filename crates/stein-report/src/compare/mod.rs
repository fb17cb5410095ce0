//! A comparison of any runs: what they were told differently, what came of it, and which differences are more than chance.

mod export;
mod page;
mod sides;

use std::path::PathBuf;

use stein_record::{AxisRole, Better, Estimate, RunDir, SweepAxis};

use crate::number::{self, estimate, significant};
use crate::statistics::{self, Mark};
use crate::sweep::{Cell, Column, Role, Sweep, Table};

/// Runs beside each other. Those that were told the same but for their seed are repetitions of one side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What is compared.
    pub sides: Vec<Side>,
    /// The keys that the sides differ in, with the value of each side.
    pub differing: Vec<(String, Vec<String>)>,
    /// What was measured, and what it cost.
    pub lines: Vec<Line>,
    /// What to be wary of, a sentence each.
    pub notes: Vec<String>,
}

/// Runs with the same configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// `A`, `B`, …
    pub letter: String,
    /// What its runs are called, without seed and hash.
    pub name: String,
    /// Its runs.
    pub runs: Vec<PathBuf>,
    /// The seed of each.
    pub seeds: Vec<u64>,
    /// How many of them are finished.
    pub finished: usize,
    /// Why others have no numbers.
    pub missing: Vec<String>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// How near the score is to the truth.
    Quality,
    /// What it cost.
    Cost,
    /// How good the samples are.
    Samples,
}

/// One quantity of all sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What files call it.
    pub name: String,
    /// What a reader is told.
    pub label: String,
    /// What it is about.
    pub about: About,
    /// Which values are good: `↓`, `↑`, `→ 0.5`, or nothing.
    pub direction: String,
    /// The mean of each side.
    pub means: Vec<Option<Mean>>,
    /// The difference of each side from the first, over the seeds that both have.
    pub differences: Vec<Option<Difference>>,
}

/// A mean over seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean with its standard error; of a single run, its own.
    pub of: Estimate,
    /// Runs in it.
    pub n: usize,
    /// Runs that are not, because they are not finite.
    pub not_finite: usize,
    /// `★` the best of the line, `≈` one of those that cannot be told from the best.
    pub mark: Option<char>,
}

/// A mean difference over shared seeds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The mean with its standard error.
    pub of: Estimate,
    /// Shared seeds.
    pub n: usize,
    /// The 95% interval.
    pub interval: [f64; 2],
    /// Whether it is more than chance, with Holm's correction for the sides of a line.
    pub told: bool,
}

impl Mean {
    /// `value ± error`, and the mark.
    pub fn text(&self) -> String {
        let mark = self.mark.map(|mark| format!(" {mark}")).unwrap_or_default();
        format!("{}{mark}", estimate(&self.of))
    }
}

impl Difference {
    /// `difference [low, high]`, with a star if it is told.
    pub fn text(&self) -> String {
        let [low, high] = self.interval.map(|x| significant(x, 2));
        format!("{} [{low}, {high}]{}", significant(self.of.value, 2), if self.told { " *" } else { "" })
    }
}

/// How to read a comparison.
pub const LEGEND: &str = "Means over seeds ± one standard error; of a single run, its own. ★ is better than every other side \
by more than chance, ≈ cannot be told from the best (paired t tests over shared seeds, at least 3, at 5% with Holm's correction; \
of ratios where all values are positive). Differences are from the first side, over the seeds that both have, with a 95% interval \
by Student's t; * is more than chance by Holm's correction for the sides of a line, and, but for costs, only where no run of either diverged.";

impl Comparison {
    /// Compares runs. What cannot be read of them is noted.
    pub fn of(runs: &[RunDir]) -> Self {
        let gathered = sides::gather(runs);
        let differing = sides::differing(&gathered);
        let sweep = sweep(&gathered, &differing);
        let table = Table::of(&sweep);
        // Rows stand in the order of the axes' values, those on the same data together; sides in that of the command.
        let order: Vec<usize> = gathered
            .iter()
            .filter_map(|side| table.rows.iter().position(|row| row.labels.last() == Some(&side.side.letter.as_str())))
            .collect();
        let lines = table.columns.iter().map(|column| line(column, &order)).collect();
        let notes = sides::notes(&gathered, &differing);
        Self { sides: gathered.into_iter().map(|side| side.side).collect(), differing, lines, notes }
    }

    /// The lines about something.
    pub fn about(&self, about: About) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.about == about)
    }
}

/// The sides as a sweep over themselves: rows, columns and marks are the same as in a report.
fn sweep(gathered: &[sides::Gathered], differing: &[(String, Vec<String>)]) -> Sweep {
    // Only rows on the same data can be compared.
    let data: Vec<Vec<&str>> = (0..gathered.len())
        .map(|i| differing.iter().filter(|(key, _)| key.starts_with("data.")).map(|(_, v)| v[i].as_str()).collect())
        .collect();
    let data_label = |i: usize| data.iter().position(|other| *other == data[i]).unwrap_or(i).to_string();
    let mut seeds: Vec<u64> = gathered.iter().flat_map(|side| &side.side.seeds).copied().collect();
    seeds.sort_unstable();
    seeds.dedup();
    let axis = |name: &str, values: Vec<String>, role| SweepAxis { name: name.into(), values, numbers: None, role };
    let letters = gathered.iter().map(|side| side.side.letter.clone()).collect();
    let axes = vec![
        axis("data", (0..gathered.len()).map(|i| i.to_string()).collect(), AxisRole::Compare),
        axis("side", letters, AxisRole::Compare),
        axis("seed", seeds.iter().map(u64::to_string).collect(), AxisRole::Repeat),
    ];
    let cells = gathered.iter().enumerate().flat_map(|(i, side)| {
        let label = move |seed: &u64| vec![data_label(i), side.side.letter.clone(), seed.to_string()];
        side.read.iter().zip(&side.side.seeds).map(move |(run, seed)| Cell::of(run, label(seed), ""))
    });
    Sweep { experiment: "comparison".into(), measures: Vec::new(), axes, cells: cells.collect(), strangers: 0 }
}

fn line(column: &Column, order: &[usize]) -> Line {
    let mean = |&row: &usize| {
        let of = column.cells[row]?;
        let mark = match column.marks[row] {
            Mark::Plain => None,
            Mark::Best => Some('★'),
            Mark::Tied => Some('≈'),
        };
        Some(Mean { of: of.mean, n: of.n, not_finite: of.not_finite, mark })
    };
    Line {
        name: column.name.clone(),
        label: column.label.clone(),
        about: match column.role {
            Role::Quality => About::Quality,
            Role::Cost => About::Cost,
            Role::Samples => About::Samples,
        },
        direction: match column.better {
            None | Some(Better::Neither) => String::new(),
            Some(Better::Lower) => "↓".into(),
            Some(Better::Higher) => "↑".into(),
            Some(Better::Near(goal)) => format!("→ {}", number::goal(goal)),
        },
        means: order.iter().map(mean).collect(),
        differences: column.differences(order).into_iter().map(|d| d.map(difference)).collect(),
    }
}

fn difference(of: statistics::Difference) -> Difference {
    Difference { of: of.mean, n: of.n, interval: of.interval, told: of.told }
}
