//! What training steps cost, of free networks and of energies. Both sides stay and are asked in turn, case by case, so that
//! whatever else the machine does meets them, and an energy and the free network of its size, alike.

use super::side::Side;
use super::spread::Spread;
use super::{ours, peer, wanted, write};

/// Times that each case is asked for.
const ROUNDS: usize = 8;
/// How far losses of the two sides may be apart, relatively.
const TOLERANCE: f64 = 1e-4;
const OUT: &str = "reports/bench-steps.json";

/// D, H and the batch of an MLP D–H–H–D, or D–H–H–1 as an energy: the short table's, then the others.
const SHORT: [[usize; 3]; 2] = [[2, 128, 128], [64, 512, 128]];
const OTHERS: [[usize; 3]; 2] = [[2, 256, 512], [784, 1024, 128]];
/// Side, channels and batch of images, their networks and objectives; with all shapes only. `unet` is that of the digits.
const IMAGES: [([usize; 3], &str, &[&str]); 4] = [
    ([8, 32, 128], "residual", &["denoising", "sliced"]),
    ([28, 32, 32], "residual", &["denoising", "sliced"]),
    ([32, 128, 8], "residual", &["denoising"]),
    ([8, 32, 128], "unet", &["denoising"]),
];
const ACTIVATIONS: [&str; 2] = ["softplus", "silu"];
/// Objectives, whether energies are asked for too, and the largest D.
const OBJECTIVES: [(&str, bool, usize); 4] = [
    ("denoising", true, usize::MAX),
    ("sliced", true, usize::MAX),
    ("sliced-variance-reduced", true, usize::MAX),
    ("implicit-exact", false, 64),
];

struct Case {
    shape: [usize; 3],
    activation: &'static str,
    network: &'static str,
    objective: &'static str,
    /// Milliseconds of each step.
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

pub(crate) fn run(peers: bool, all: bool) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut own = Side::start(ours("steps"), threads)?;
    let mut other = if peers { Some(Side::start(peer("steps_peer.py"), threads).map_err(wanted)?) } else { None };
    let mut cases = cases(all);
    if let Some(other) = &mut other {
        agree(&cases, &mut own, other)?;
    }
    let load = load();
    for round in 1..=ROUNDS {
        println!("steps: round {round} of {ROUNDS}");
        for case in &mut cases {
            let question = case.question("time");
            let milliseconds = |seconds: Vec<f64>| seconds.into_iter().map(|s| 1e3 * s);
            case.ours.extend(milliseconds(own.ask(&question)?));
            if let Some(other) = &mut other {
                case.theirs.extend(milliseconds(other.ask(&question)?));
            }
        }
    }
    tell(&cases, threads, [load, self::load()])
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
        cases.extend(objectives.iter().map(|objective| Case::new(shape, "silu", network, objective)));
    }
    cases
}

impl Case {
    fn new(shape: [usize; 3], activation: &'static str, network: &'static str, objective: &'static str) -> Self {
        Self { shape, activation, network, objective, ours: Vec::new(), theirs: Vec::new() }
    }

    fn is_energy(&self) -> bool {
        self.network == "energy-mlp"
    }

    fn is_of_images(&self) -> bool {
        IMAGES.iter().any(|(_, network, _)| *network == self.network)
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
fn agree(cases: &[Case], own: &mut Side, other: &mut Side) -> Result<(), String> {
    let mut worst = 0.0f64;
    for case in cases {
        let question = case.question("check");
        let (ours, theirs) = (own.ask(&question)?, other.ask(&question).map_err(wanted)?);
        let apart = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1e-3);
        let apart: Vec<f64> = ours.iter().zip(&theirs).map(apart).collect();
        if ours.len() != theirs.len() || !apart.iter().all(|apart| *apart <= TOLERANCE) {
            return Err(format!("{question}: stein's losses are {ours:?}, PyTorch's {theirs:?}"));
        }
        worst = apart.into_iter().fold(worst, f64::max);
    }
    println!(
        "steps: losses of both before and after three steps agree in all {} cases within {worst:.0e}",
        cases.len()
    );
    Ok(())
}

fn tell(cases: &[Case], threads: usize, [before, after]: [String; 2]) -> Result<(), String> {
    println!(
        "\nmilliseconds of a training step: median [quartiles] least; {threads} threads; load {before} before, {after} after"
    );
    let mut json = Vec::new();
    let mut setting = String::new();
    for case in cases {
        if setting != case.setting() {
            setting = case.setting();
            let columns = format!("{:>32}{:>32}{:>8}{:>14}", "stein", "PyTorch eager", "ratio", "energy/free");
            println!("\n{setting:<34}{columns}");
        }
        let own = Spread::of(&case.ours);
        let other = (!case.theirs.is_empty()).then(|| Spread::of(&case.theirs));
        let ratio = other.map(|other| other.median / own.median);
        let to_free = free(cases, case).map(|free| own.median / Spread::of(&free.ours).median);
        let name = format!("{}{}", if case.is_energy() { "energy: " } else { "" }, case.objective);
        let two = |number: Option<f64>| number.map_or(String::new(), |number| format!("{number:.2}"));
        let torch = other.map_or("-".to_owned(), Spread::quartiles_text);
        println!("  {name:<32}{:>32}{torch:>32}{:>8}{:>14}", own.quartiles_text(), two(ratio), two(to_free));
        let field = |name: &str, value: Option<String>| value.map_or(String::new(), |v| format!(", \"{name}\": {v}"));
        json.push(format!(
            "{{\"setting\": \"{setting}\", \"network\": \"{}\", \"objective\": \"{}\", \"stein\": {}{}{}}}",
            case.network,
            case.objective,
            own.json(),
            field("torch", other.map(Spread::json)),
            field("energy_to_free", to_free.map(|ratio| ratio.to_string())),
        ));
    }
    write(OUT, &json)?;
    println!("\na ratio above 1 is in stein's favour; energy/free is stein's; all of it in {OUT}");
    Ok(())
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
