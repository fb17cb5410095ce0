//! What the benchmarks of ours have in common: questions and answers, numbers that peers make too, memory.

use std::io::{BufRead, IsTerminal};

use stein_train::Layout;

/// Answers each line of standard input by a line of numbers, separated by tabs; "-" where there are none.
pub(crate) fn serve(example: &str, answer: impl Fn(&str) -> Result<Vec<f64>, String>) {
    if std::io::stdin().is_terminal() {
        println!("`cargo xtask bench` asks; by hand: {example}");
    }
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("standard input is text");
        let numbers = answer(&line).unwrap_or_else(|problem| panic!("{line:?}: {problem}"));
        let words: Vec<String> = numbers.iter().map(f64::to_string).collect();
        println!("{}", if words.is_empty() { "-".to_owned() } else { words.join("\t") });
    }
}

/// MiB that this process held at most so far; none where the system does not tell.
pub(crate) fn peak() -> Option<f64> {
    let told = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

/// The most MiB that this process ever held once `run` has run, and before it; nothing where the system does not tell.
pub(crate) fn memory(run: impl FnOnce()) -> Vec<f64> {
    let before = peak();
    run();
    peak().zip(before).map_or(Vec::new(), |(after, before)| vec![after, before])
}

/// `n` numbers in [−bound, bound) that the peer computes too: the upper 24 bits of splitmix64 (Steele, Lea & Flood 2014), from
/// a state that each stream has for itself.
pub(crate) fn symmetric(stream: u64, n: usize, bound: f64) -> Vec<f32> {
    let number = |i: u64| {
        let mut z = ((stream << 32) + i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let uniform = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1u32 << 24);
        ((2.0 * uniform - 1.0) * bound) as f32
    };
    (0..n as u64).map(number).collect()
}

/// Parameters in burn's order, each from the stream of its name's place in the alphabet: weights within 2/√fan-in, gains within ½
/// of 1, biases within ½. Burn's matrices go from row to output, where PyTorch has their transposes.
pub(crate) fn parameters(layout: &Layout) -> Vec<f32> {
    let mut names: Vec<&str> = layout.parameters().map(|(name, _)| name).collect();
    names.sort_unstable();
    let mut all = Vec::new();
    for (name, shape) in layout.parameters() {
        let stream = 3 + names.binary_search(&name).expect("one of them") as u64;
        let count: usize = shape.iter().product();
        let within = |fan_in: usize| symmetric(stream, count, 2.0 / (fan_in as f64).sqrt());
        match *shape {
            [inputs, outputs] => {
                let weight = within(inputs);
                all.extend((0..count).map(|k| weight[k % outputs * inputs + k / outputs]));
            }
            [outputs, ..] if shape.len() > 1 => all.extend(within(count / outputs)),
            _ if name.ends_with("gamma") => all.extend(symmetric(stream, count, 0.5).into_iter().map(|g| 1.0 + g)),
            _ => all.extend(symmetric(stream, count, 0.5)),
        }
    }
    all
}
