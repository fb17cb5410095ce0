//! What training steps cost, of free networks and of energies. Both sides stay and are asked in turn, case by case, so that
//! whatever else the machine does meets them, and an energy and the free network of its size, alike.

use super::peers::{PEERS, Sides, threads};
use super::side::Side;
use super::spread::Spread;
use super::table::{Row, tell};
use super::wanted;

/// Times that each case is asked for.
const ROUNDS: usize = 8;
/// How far losses of the two sides may be apart, relatively.
const TOLERANCE: f64 = 1e-4;
pub(crate) const OUT: &str = "reports/bench-steps.json";

/// D, H and the batch of an MLP D–H–H–D, or D–H–H–1 as an energy: the short table's, then the others.
const SHORT: [[usize; 3]; 2] = [[2, 128, 128], [64, 512, 128]];
const OTHERS: [[usize; 3]; 2] = [[2, 256, 512], [784, 1024, 128]];
/// Side, channels and batch of images, their networks and objectives; with all shapes only. `unet` is that of the digits, `ncsn` that
/// of CIFAR-10.
const IMAGES: [([usize; 3], &str, &[&str]); 5] = [
    ([8, 32, 128], "residual", &["denoising", "sliced"]),
    ([28, 32, 32], "residual", &["denoising", "sliced"]),
    ([32, 128, 8], "residual", &["denoising"]),
    ([8, 32, 128], "unet", &["denoising"]),
    ([32, 128, 8], "ncsn", &["denoising"]),
];
const ACTIVATIONS: [&str; 2] = ["softplus", "silu"];
/// Objectives, whether energies are asked for too, and the largest D.
const OBJECTIVES: [(&str, bool, usize); 5] = [
    ("denoising", true, usize::MAX),
    ("sliced", true, usize::MAX),
    ("sliced-variance-reduced", true, usize::MAX),
    ("implicit-exact", false, 64),
    ("implicit-basis", false, 64),
];

struct Case {
    shape: [usize; 3],
    activation: &'static str,
    network: &'static str,
    objective: &'static str,
    /// Milliseconds of each step.
    ours: Vec<f64>,
    /// The same of each peer; none where it cannot take such steps.
    theirs: [Vec<f64>; PEERS.len()],
}

pub(crate) fn run(peers: bool, all: bool) -> Result<(), String> {
    let Sides { mut own, mut others } = Sides::start("steps", peers)?;
    let mut cases = cases(all);
    for (peer, other) in PEERS.iter().zip(&mut others) {
        agree(&cases, &mut own, peer.name, other)?;
    }
    let load = load();
    for round in 1..=ROUNDS {
        println!("steps: round {round} of {ROUNDS}");
        for case in &mut cases {
            let question = case.question("time");
            let milliseconds = |seconds: Vec<f64>| seconds.into_iter().map(|s| 1e3 * s);
            case.ours.extend(milliseconds(own.ask(&question)?));
            for (other, theirs) in others.iter_mut().zip(&mut case.theirs) {
                theirs.extend(milliseconds(other.ask(&question)?));
            }
        }
    }
    let rows: Vec<Row> = cases.iter().map(|case| row(&cases, case)).collect();
    let (threads, after) = (threads(), self::load());
    tell(OUT, &format!("milliseconds of a training step; {threads} threads; load {load} before, {after} after"), &rows)
}

/// The cases whose memory is measured: of one activation.
pub(crate) fn in_memory(all: bool) -> impl Iterator<Item = (String, String)> {
    let silu = cases(all).into_iter().filter(|case| case.activation == "silu" || case.is_of_images());
    silu.map(|case| (case.question("memory"), format!("{}: {}", case.setting(), case.name())))
}

fn cases(all: bool) -> Vec<Case> {
    let shapes = SHORT.into_iter().chain(OTHERS.into_iter().filter(|_| all));
    let settings = shapes.flat_map(|shape| ACTIVATIONS.map(|activation| (shape, activation)));
    let mut cases = Vec::new();
    for (shape, activation) in settings {
        for (objective, both, most) in OBJECTIVES {
            // An energy comes right after the free network that it is compared with.
            let networks = [Some("mlp"), both.then_some("energy-mlp")].into_iter().flatten();
            let fitting = networks.filter(|_| shape[0] <= most);
            cases.extend(fitting.map(|network| Case::new(shape, activation, network, objective)));
        }
    }
    for (shape, network, objectives) in IMAGES.into_iter().filter(|_| all) {
        let activation = if network == "ncsn" { "elu" } else { "silu" };
        cases.extend(objectives.iter().map(|objective| Case::new(shape, activation, network, objective)));
    }
    cases
}

impl Case {
    fn new(shape: [usize; 3], activation: &'static str, network: &'static str, objective: &'static str) -> Self {
        Self { shape, activation, network, objective, ours: Vec::new(), theirs: Default::default() }
    }

    fn is_energy(&self) -> bool {
        self.network == "energy-mlp"
    }

    fn is_of_images(&self) -> bool {
        IMAGES.iter().any(|(_, network, _)| *network == self.network)
    }

    fn name(&self) -> String {
        format!("{}{}", if self.is_energy() { "energy: " } else { "" }, self.objective)
    }

    fn question(&self, what: &str) -> String {
        let Self { shape: [size, hidden, batch], activation, network, objective, .. } = self;
        format!("{what} {size} {hidden} {batch} {activation} {network} {objective}")
    }

    fn setting(&self) -> String {
        let Self { shape: [size, hidden, batch], activation, network, .. } = self;
        if self.is_of_images() {
            return format!("{network}, {size} px, {hidden} ch., batch {batch}");
        }
        format!("{size}-{hidden}, batch {batch}, {activation}")
    }
}

/// Refuses to compare times of what is not the same: losses of the same parameters and batch, before and after some steps.
fn agree(cases: &[Case], own: &mut Side, name: &str, other: &mut Side) -> Result<(), String> {
    let (mut worst, mut agreed) = (0.0f64, 0);
    for case in cases {
        let question = case.question("check");
        let theirs = other.ask(&question).map_err(wanted)?;
        if theirs.is_empty() {
            continue;
        }
        let ours = own.ask(&question)?;
        let apart = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1e-3);
        let apart: Vec<f64> = ours.iter().zip(&theirs).map(apart).collect();
        if ours.len() != theirs.len() || !apart.iter().all(|apart| *apart <= TOLERANCE) {
            return Err(format!("{question}: stein's losses are {ours:?}, those of {name} {theirs:?}"));
        }
        agreed += 1;
        worst = apart.into_iter().fold(worst, f64::max);
    }
    println!("steps: losses before and after three steps agree with {name} in {agreed} cases within {worst:.0e}");
    Ok(())
}

fn row(cases: &[Case], case: &Case) -> Row {
    let median = |case: &Case| Spread::of(&case.ours).median;
    Row {
        ours: case.ours.clone(),
        theirs: case.theirs.clone(),
        more: free(cases, case).map(|free| ("energy_to_free", median(case) / median(free))),
        ..Row::new(case.setting(), case.name())
    }
}

/// The free network's case beside an energy's.
fn free<'a>(cases: &'a [Case], energy: &Case) -> Option<&'a Case> {
    let key = |case: &Case| (case.shape, case.activation, case.objective);
    cases.iter().find(|case| energy.is_energy() && case.network == "mlp" && key(case) == key(energy))
}

/// Processes that wanted to run in the last minute, where the system tells.
fn load() -> String {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split(' ').next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}
