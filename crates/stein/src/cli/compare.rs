//! `stein compare`.

use stein_core::Registry;
use stein_report::compare::{About, Comparison, LEGEND, Line, Side};

use super::arguments::Compare;
use super::plan::aligned;
use super::{Outcome, print, print_json, runs};

/// Sides beside each other on a terminal.
const ABREAST: usize = 4;
/// Characters that are shown of a configuration's value.
const WIDEST: usize = 36;

pub(crate) fn compare(arguments: &Compare, registry: &Registry) -> Outcome {
    let runs = runs::of_experiments(&arguments.of, &arguments.runs, registry)?;
    let comparison = Comparison::of(&runs);
    if let Some(out) = &arguments.out {
        comparison.write(out)?;
    }
    if arguments.json {
        print_json(&comparison.json());
        return Ok(());
    }
    show(&comparison);
    if let Some(out) = &arguments.out {
        print(&format!("\npage  {}", out.display()));
    }
    Ok(())
}

fn show(comparison: &Comparison) {
    for side in &comparison.sides {
        print(&about(side));
        side.missing.iter().for_each(|why| print(&format!("   missing {why}")));
    }
    let sides: Vec<usize> = (0..comparison.sides.len()).collect();
    for some in sides.chunks(ABREAST) {
        print("");
        print(&configuration(comparison, some));
    }
    if comparison.lines.is_empty() {
        print("\nno run has finished yet, so there is nothing to compare");
        return;
    }
    for some in sides.chunks(ABREAST) {
        print("");
        print(&measured(comparison, some, |side| side.letter.clone(), |line, i| Some(line.means[i]?.text())));
    }
    for some in sides.get(1..).unwrap_or_default().chunks(ABREAST) {
        print("");
        let head = |side: &Side| format!("{} − A", side.letter);
        print(&measured(comparison, some, head, |line, i| Some(line.differences[i]?.text())));
    }
    print(&format!("\n{}", wrapped(LEGEND)));
    comparison.notes.iter().for_each(|note| print(&wrapped(note)));
}

fn about(side: &Side) -> String {
    let seeds: Vec<String> = side.seeds.iter().map(u64::to_string).collect();
    let (finished, all) = (side.finished, side.runs.len());
    let missing = if finished < all { format!(", {finished} of {all} finished") } else { String::new() };
    let plural = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{}  {}, {plural} {}{missing}", side.letter, side.name, seeds.join(" "))
}

/// The keys that sides differ in, with the values of some of them.
fn configuration(comparison: &Comparison, some: &[usize]) -> String {
    if comparison.differing.is_empty() {
        return "they were told the same, but for their seeds".into();
    }
    let letters = some.iter().map(|&i| comparison.sides[i].letter.clone());
    let mut table = vec![std::iter::once("told differently".to_owned()).chain(letters).collect::<Vec<_>>()];
    for (key, values) in &comparison.differing {
        table.push(std::iter::once(key.clone()).chain(some.iter().map(|&i| short(&values[i]))).collect());
    }
    aligned(&table)
}

fn short(value: &str) -> String {
    match value.char_indices().nth(WIDEST) {
        None => value.to_owned(),
        Some((at, _)) => format!("{}…", &value[..at]),
    }
}

/// What was measured of some sides, a group after another; lines in which none of them has a value are left out.
fn measured(
    comparison: &Comparison,
    some: &[usize],
    head: impl Fn(&Side) -> String,
    value: impl Fn(&Line, usize) -> Option<String>,
) -> String {
    let row =
        |first: String, rest: &mut dyn Iterator<Item = String>| std::iter::once(first).chain(rest).collect::<Vec<_>>();
    let mut table = vec![row(String::new(), &mut some.iter().map(|&i| head(&comparison.sides[i])))];
    for (about, title) in [(About::Quality, "quality"), (About::Cost, "cost"), (About::Samples, "samples")] {
        let lines: Vec<&Line> =
            comparison.about(about).filter(|line| some.iter().any(|&i| value(line, i).is_some())).collect();
        if lines.is_empty() {
            continue;
        }
        table.push(row(title.to_owned(), &mut some.iter().map(|_| String::new())));
        for line in lines {
            let label = format!("  {} {}", line.label, line.direction);
            table.push(row(label, &mut some.iter().map(|&i| value(line, i).unwrap_or_else(|| "–".into()))));
        }
    }
    aligned(&table)
}

/// A paragraph in lines of a terminal.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            let gap = if lines[last].is_empty() { "" } else { " " };
            lines[last] += &format!("{gap}{word}");
        }
    }
    lines.join("\n")
}
