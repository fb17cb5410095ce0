//! What somebody else wrote, as far as it needs a tensor or a registry to be read: experiments, and checkpoints whose
//! checksums hold. (`crates/stein-report/tests/hostile/` has the rest.)

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use stein_experiment::{Experiment, Plan, Sweep, builtin};
use stein_record::checkpoint::CheckpointSet;
use stein_record::source::Source;
use stein_train::{Layout, TrainingState};

/// How long each is tried.
const TIME: Duration = Duration::from_secs(2);

/// Numbers that look random and are the same each time (splitmix64).
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// The experiments that ship.
fn experiments() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../experiments");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// Values that keys may not have, or may.
const VALUES: [&str; 20] = [
    "0",
    "-1",
    "1",
    "3",
    "1000000",
    "4294967296",
    "9223372036854775807",
    "1e-300",
    "1e300",
    "5e-324",
    "nan",
    "-inf",
    "true",
    "[]",
    "[[]]",
    "{}",
    "\"auto\"",
    "\"../..\"",
    "[1e300, -1e300]",
    "[1000000, 1000000, 1000000]",
];

/// Another value for a key or two, or a line of another experiment.
fn changed(text: &str, others: &[String], noise: &mut Noise) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..1 + noise.below(3) {
        let at = noise.below(lines.len());
        match (noise.below(4), lines[at].split_once('=').map(|(key, _)| key.to_owned())) {
            (0, _) => {
                let theirs: Vec<&str> = noise.of(others).lines().collect();
                lines.insert(at, (*noise.of(&theirs)).to_owned());
            }
            (1, None) => drop(lines.remove(at)),
            (_, Some(key)) => lines[at] = format!("{key}= {}", noise.of(&VALUES)),
            _ => {}
        }
    }
    lines.join("\n")
}

#[test]
fn no_experiment_is_too_hostile_to_be_checked() {
    let (registry, all, mut noise) = (builtin(), experiments(), Noise(1));
    let begun = Instant::now();
    let mut refused = 0;
    while begun.elapsed() < TIME {
        let text = changed(noise.of(&all).as_str(), &all, &mut noise);
        let source = Source::new("hostile.toml", text.as_bytes()).unwrap();
        let one = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let first = |sweep: Sweep<'_>| sweep.experiment(0, &registry);
            let plan = Sweep::read(&source).and_then(first).and_then(|e: Experiment| Plan::build(e, &registry));
            plan.map(drop).map_err(|problems| source.render(&problems, false))
        }));
        assert!(one.elapsed() < Duration::from_secs(10), "{:?} for\n{text}", one.elapsed());
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(said)) => {
                refused += 1;
                assert!(!said.trim().is_empty(), "refused without a word:\n{text}");
            }
            Err(_) => panic!("it panics at\n{text}"),
        }
    }
    assert!(refused > 10, "only {refused} were refused");
}

#[test]
fn no_checkpoint_is_too_hostile_to_be_refused() {
    let registry = builtin();
    let text = "[data]\nkind = \"gaussian\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n";
    let source = Source::new("a.toml", text.as_bytes()).unwrap();
    let plan = Experiment::read(&source, &registry).and_then(|e| Plan::build(e, &registry)).unwrap();
    let device = Device::flex();
    let network = plan.network(&device).unwrap();
    let layout = Layout::of(&network);
    let whole = TrainingState::new(&layout, &network).to_files(&layout);
    let names: Vec<&String> = whole.keys().collect();
    let mut noise = Noise(2);
    let begun = Instant::now();
    let (mut read, mut refused) = (0, 0);
    while begun.elapsed() < TIME {
        let mut files = whole.clone();
        let name = *noise.of(&names);
        let bytes = files.get_mut(name).unwrap();
        // What matters is the header, and most bytes are numbers.
        let end = if noise.below(2) == 0 { bytes.len() } else { bytes.len().min(200) };
        match noise.below(4) {
            0 => bytes.truncate(noise.below(end)),
            1 => bytes[noise.below(end)] ^= 1 << noise.below(8),
            2 => {
                let (at, digit) = (noise.below(end), b"0123456789-.,[]{}\"e"[noise.below(19)]);
                bytes[at] = digit;
            }
            _ => {
                let at = noise.below(end);
                bytes.splice(at..at, b"18446744073709551615".iter().copied());
            }
        }
        // Its checksums hold: whoever changed it made new ones.
        let set = CheckpointSet { step: 0, path: "step-0".into(), files };
        match catch_unwind(AssertUnwindSafe(|| TrainingState::from_files(&set, &layout, &device))) {
            Ok(Ok(state)) => {
                assert_eq!(state.parameters.dims(), [layout.length()]);
                read += 1;
            }
            Ok(Err(problem)) => {
                assert!(!problem.is_empty());
                refused += 1;
            }
            Err(_) => panic!("it panics at {:?}", String::from_utf8_lossy(&set.files[name])),
        }
    }
    assert!(read > 10 && refused > 10, "{read} were read, {refused} refused");
}
