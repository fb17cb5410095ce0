//! What the fault suite of `tests/faults.rs` tells.

use std::fmt::Write;

/// How often the words of the command line ask for it; `None` if they are not understood.
pub(crate) fn times(words: &[&str]) -> Option<u32> {
    match words {
        [] => Some(1),
        ["--repeat", n] => n.parse().ok().filter(|&n| n > 0),
        _ => None,
    }
}

/// A table of lines that tell a kind, how many faults were injected and how many survived; each kind once, and all together.
pub(crate) fn table(lines: &str) -> String {
    let mut kinds: Vec<(&str, u64, u64)> = Vec::new();
    for line in lines.lines() {
        let mut words = line.split('\t');
        let (Some(kind), Some(injected), Some(survived)) = (words.next(), number(words.next()), number(words.next()))
        else {
            continue;
        };
        match kinds.iter_mut().find(|(of, ..)| *of == kind) {
            Some((_, all, lived)) => (*all, *lived) = (*all + injected, *lived + survived),
            None => kinds.push((kind, injected, survived)),
        }
    }
    kinds.sort_unstable();
    let sum = |of: fn(&(&str, u64, u64)) -> u64| kinds.iter().map(of).sum();
    kinds.push(("all", sum(|kind| kind.1), sum(|kind| kind.2)));
    let width = kinds.iter().map(|(kind, ..)| kind.len()).max().unwrap_or(0);
    let mut out = format!("{:width$}  injected  survived      lost", "fault");
    for (kind, injected, survived) in kinds {
        let lost = injected.saturating_sub(survived);
        let _ = write!(out, "\n{kind:width$} {injected:>9} {survived:>9} {lost:>9}");
    }
    out
}

fn number(word: Option<&str>) -> Option<u64> {
    word?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        assert_eq!((times(&[]), times(&["--repeat", "3"])), (Some(1), Some(3)));
        for wrong in [&["--repeat"][..], &["--repeat", "0"], &["--repeat", "x"], &["3"]] {
            assert_eq!(times(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_kind_is_told_once() {
        let told = table("SIGKILL\t12\t12\nEIO\t3\t2\nSIGKILL\t10\t10\n");
        let rows: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        let expected = [
            ["fault", "injected", "survived", "lost"],
            ["EIO", "3", "2", "1"],
            ["SIGKILL", "22", "22", "0"],
            ["all", "25", "24", "1"],
        ];
        assert_eq!(rows, expected);
    }
}
