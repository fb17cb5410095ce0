//! `stein plan`.

use std::collections::HashMap;

use serde_json::json;
use stein_core::Registry;
use stein_device::choose;
use stein_experiment::{Experiment, Plan, Sweep};
use stein_record::source::Source;
use stein_record::{RunDir, State, checkpoint};

use super::arguments::{Plan as Arguments, Voice};
use super::cells::Cells;
use super::check::duration;
use super::{Failure, Outcome, cells, load, print, print_json};

/// Kinds of cells that are timed at most.
const HANDFUL: usize = 5;

pub(crate) fn plan(arguments: &Arguments, registry: &Registry, voice: Voice) -> Outcome {
    let source = load::source(&arguments.experiment.file, &arguments.experiment.set)?;
    let sweep = load::sweep(&source)?;
    let cells = cells::find(&source, &sweep, registry, &arguments.folders.runs)?;
    let names = cells.names();
    if arguments.json {
        let hash = |i: usize| &cells.all[i].0.cell.hash;
        let training = |i: usize| cells.all[i].0.training.as_ref().map(|id| &id.name);
        let entry = |(i, name)| json!({ "cell": name, "hash": hash(i), "training": training(i), "overrides": sweep.overrides(i) });
        print_json(&names.iter().enumerate().map(entry).collect());
        return Ok(());
    }
    let states: Vec<Standing> = cells.all.iter().map(|(_, directory)| Standing::of(directory)).collect();
    let trainings = Trainings::of(&cells, &states)?;
    let mut costs = Costs::default();
    if !arguments.no_measure {
        costs = Costs::of(&source, &sweep, &trainings, registry, voice)?;
    }
    let record = sweep.record(&cells.experiment, &names);
    let mut table = vec![Vec::from(["cell".to_owned()])];
    table[0].extend(record.axes.iter().map(|axis| axis.name.clone()));
    table[0].extend(["state".into(), "to train".into()]);
    for (i, (plan, _)) in cells.all.iter().enumerate() {
        let mut row = vec![names[i].clone()];
        row.extend(plan.labels.iter().cloned());
        let cost = costs.of_cell(i).map(duration);
        row.extend([states[i].words.clone(), cost.or_else(|| trainings.shared(i)).unwrap_or_default()]);
        table.push(row);
    }
    print(&aligned(&table));
    print("");
    let unfinished = states.iter().filter(|state| !state.finished).count();
    print(&format!("cells    {} under {}, {unfinished} of them to run", cells.all.len(), cells.folder.display()));
    record.axes.iter().for_each(|axis| print(&format!("         {}", cells::axis(axis))));
    trainings.words().iter().for_each(|line| print(line));
    costs.words().iter().for_each(|line| print(line));
    Ok(())
}

/// How far a cell is.
struct Standing {
    words: String,
    finished: bool,
    /// Nothing is left to train.
    trained: bool,
    /// Training steps done.
    step: u64,
}

impl Standing {
    fn of(directory: &RunDir) -> Self {
        let standing = |words: &str, finished, trained, step| Self { words: words.into(), finished, trained, step };
        match directory.read_record() {
            Ok(None) => standing("not begun", false, false, 0),
            Ok(Some(record)) => {
                let (finished, step) = (record.state == State::Finished, record.progress.step);
                let at = if finished || step == 0 { String::new() } else { format!(" at step {step}") };
                standing(&format!("{}{at}", record.state), finished, finished || record.imported.is_some(), step)
            }
            Err(_) => standing("damaged", false, false, 0),
        }
    }
}

/// The trainings of the cells.
struct Trainings {
    /// How many there are.
    all: usize,
    /// How many cells use one.
    cells: usize,
    /// Those that are not done: the first unfinished cell of each, and its steps done.
    left: Vec<(usize, u64)>,
    /// For each unfinished cell whose network another trains, or has trained: what to say of it.
    shared: HashMap<usize, &'static str>,
}

impl Trainings {
    fn of(cells: &Cells, states: &[Standing]) -> Result<Self, Failure> {
        let mut seen: HashMap<&str, bool> = HashMap::new();
        let (mut left, mut shared, mut users) = (Vec::new(), HashMap::new(), 0);
        for (i, (plan, directory)) in cells.all.iter().enumerate() {
            let Some(id) = &plan.training else { continue };
            users += 1;
            let training = Standing::of(&RunDir::of_training(&cells.folder, &id.name));
            // What a version that shared nothing has begun is the cell's own.
            let own = checkpoint::exist(&directory.checkpoints())?;
            let planned = seen.entry(&id.name).or_default();
            match (states[i].trained, own) {
                (true, _) => {}
                (false, true) => left.push((i, states[i].step)),
                _ if training.finished => drop(shared.insert(i, "trained")),
                _ if *planned => drop(shared.insert(i, "shared")),
                _ => {
                    *planned = true;
                    left.push((i, training.step));
                }
            }
        }
        Ok(Self { all: seen.len(), cells: users, left, shared })
    }

    /// What to say of a cell whose network another trains.
    fn shared(&self, cell: usize) -> Option<String> {
        self.shared.get(&cell).map(|word| (*word).to_owned())
    }

    /// A line, where anything is trained.
    fn words(&self) -> Option<String> {
        let Self { all, cells, left, .. } = self;
        (*cells > 0).then(|| format!("networks {all} for {cells} cells, {} to train", left.len()))
    }
}

/// What cells that cost the same have in common.
struct Kind {
    /// The tables that a training step's cost depends on.
    tables: Vec<String>,
    /// Parameters × examples of a step: how the cost of a kind that was not timed is guessed.
    work: f64,
    /// One of each training, with its steps that are left.
    cells: Vec<(usize, u64)>,
    name: String,
    /// Seconds of a step, and whether they were measured.
    seconds: Option<(f64, bool)>,
}

impl Kind {
    fn steps(&self) -> u64 {
        self.cells.iter().map(|(_, steps)| steps).sum()
    }
}

#[derive(Default)]
struct Costs(Vec<Kind>);

impl Costs {
    fn of(
        source: &Source,
        sweep: &Sweep<'_>,
        trainings: &Trainings,
        registry: &Registry,
        voice: Voice,
    ) -> Result<Self, Failure> {
        let build = |cell: usize| {
            sweep.experiment(cell, registry).and_then(|e| Plan::build(e, registry)).map_err(load::wrong(source))
        };
        let mut kinds: Vec<Kind> = Vec::new();
        for &(cell, step) in &trainings.left {
            let experiment = sweep.experiment(cell, registry).map_err(load::wrong(source))?;
            let left = (cell, experiment.training.steps.saturating_sub(step));
            let tables = tables(&experiment);
            if let Some(kind) = kinds.iter_mut().find(|kind| kind.tables == tables) {
                kind.cells.push(left);
                continue;
            }
            let examples = experiment.training.batch_size * experiment.training.accumulate;
            let (name, plan) = (experiment.cell().name, build(cell)?);
            let work = plan.parameters().max(1) as f64 * examples as f64;
            kinds.push(Kind { tables, work, cells: vec![left], name, seconds: None });
        }
        kinds.sort_by_key(|kind| std::cmp::Reverse(kind.steps()));
        for kind in kinds.iter_mut().filter(|kind| kind.steps() > 0).take(HANDFUL) {
            voice.more(&format!("doing a few steps of {}", kind.name));
            let plan = build(kind.cells[0].0)?;
            let chosen = choose(&plan.experiment.device).map_err(|e| Failure::usage(e.to_string()))?;
            kind.seconds = stein_train::measure(&plan, &chosen.device)?.map(|cost| (cost.seconds, true));
        }
        let mut costs = Self(kinds);
        costs.scale();
        Ok(costs)
    }

    /// Guesses what was not measured from the kind that is most alike.
    fn scale(&mut self) {
        let alike = |a: &Kind, b: &Kind| a.tables.iter().zip(&b.tables).filter(|(a, b)| a == b).count();
        for i in 0..self.0.len() {
            let Some(kind) = self.0.get(i).filter(|kind| kind.seconds.is_none()) else { continue };
            let measured = self.0.iter().filter(|other| matches!(other.seconds, Some((_, true))));
            let nearest = measured.max_by_key(|other| alike(kind, other));
            let guess = nearest.and_then(|other| Some((other.seconds?.0 * kind.work / other.work, false)));
            self.0[i].seconds = guess;
        }
    }

    /// Seconds of training that a cell needs.
    fn of_cell(&self, cell: usize) -> Option<f64> {
        self.0.iter().find_map(|kind| {
            let (_, steps) = kind.cells.iter().find(|(i, _)| *i == cell)?;
            Some(*steps as f64 * kind.seconds?.0)
        })
    }

    fn words(&self) -> Vec<String> {
        let known = || self.0.iter().filter_map(|kind| Some((kind, kind.seconds?)));
        let measured: Vec<_> = known().filter(|(_, (_, measured))| *measured).collect();
        if measured.is_empty() {
            return Vec::new();
        }
        let mut lines: Vec<String> = measured
            .iter()
            .map(|(kind, (seconds, _))| {
                let as_much = match kind.cells.len() - 1 {
                    0 => String::new(),
                    n => format!(", and {n} that cost as much"),
                };
                format!("timed    {:.2} ms a step: {}{as_much}", seconds * 1e3, kind.name)
            })
            .collect();
        let scaled: usize = known().filter(|(_, (_, measured))| !measured).map(|(kind, _)| kind.cells.len()).sum();
        if scaled > 0 {
            lines.push(format!(
                "scaled   {scaled} networks, by parameters × examples, from the one timed that is most alike"
            ));
        }
        let seconds: f64 = known().map(|(kind, (seconds, _))| seconds * kind.steps() as f64).sum();
        let networks: usize = known().map(|(kind, _)| kind.cells.len()).sum();
        lines.push(format!(
            "cost     about {} of training for {networks} network{}, one after another; sampling and metrics not counted",
            duration(seconds),
            if networks == 1 { "" } else { "s" }
        ));
        lines
    }
}

/// What the cost of a training step depends on.
fn tables(experiment: &Experiment) -> Vec<String> {
    let mut all = experiment.resolved();
    let mut take = |name: &str, keys: Option<&[&str]>| {
        let mut table = all.remove(name).unwrap_or(false.into());
        if let (Some(table), Some(keys)) = (table.as_table_mut(), keys) {
            table.retain(|key, _| keys.contains(&key));
        }
        table.to_string()
    };
    vec![
        take("data", None),
        take("network", None),
        take("objective", None),
        take("device", None),
        take("runtime", None),
        // How many levels there are does not matter to a step; what a step is does.
        take("schedule", Some(&["kind"])),
        take("training", Some(&["batch-size", "accumulate", "noise"])),
    ]
}

/// Columns of text.
pub(crate) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(text, &width)| format!("{text:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
