//! `[sweep]`: one file, many cells.
//!
//! ```toml
//! [sweep]
//! seed = [0, 1, 2]                                  # a key path and its values
//! "schedule.levels" = [10, 20]                      # or schedule.levels = [10, 20]
//! objective = [                                     # a table with `kind` replaces the file's; `name` is its label
//!   { kind = "sliced", name = "SSM" },
//!   { kind = "denoising" },
//! ]
//! training = [{ steps = 100 }, { steps = 200, batch-size = 64 }]    # one without `kind` is merged into the file's
//! noise = [                                         # an axis of a name of its own: changes over any tables
//!   { name = "no noise", schedule = { kind = "none" }, network = { parameterization = "score" } },
//!   { name = "σ = 0.3", schedule = { kind = "geometric", levels = 1, sigma-max = 0.3 } },
//! ]
//! zip = [["seed", "schedule.levels"]]               # axes that step together; the rest is a product
//! exclude = [{ noise = "no noise", objective = "denoising" }]
//! best-of = ["training.optimizer.learning-rate"]    # axes of which a comparison shows the best value only
//! measure = ["mode-weight-error", "mmd2-median"]    # metrics that cells are compared by; the first ranks
//! max-cells = 200
//! ```
//!
//! A cell is the file without `[sweep]`, changed. Values keep their places in the text, so whatever a cell's experiment complains
//! of is shown where it stands.

mod axis;
mod change;
mod label;
mod product;
mod slug;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};
use stein_core::Registry;
use stein_device::DeviceRequest;
use stein_record::source::{Diagnostic, Source};
use stein_record::{AxisRole, SweepAxis, SweepCell, SweepRecord, sweep};
use toml::de::{DeTable, DeValue};

pub use axis::Axis;
use change::Change;
use product::Reserved;

use crate::experiment::COMMON_KEYS;
use crate::launcher::Launcher;
use crate::section::article;
use crate::{Cell, Experiment, Plan, TrainingId};

/// Cells that a sweep has at most, whatever its `max-cells`.
pub const MOST_CELLS: usize = 10_000;
/// `max-cells`, if it is left out.
pub const DEFAULT_MOST_CELLS: usize = 1000;
/// Axes that a sweep has at most.
const MOST_AXES: usize = 32;
/// Metrics that cells are compared by at most: each has its figures.
pub(crate) const MOST_MEASURES: usize = 8;
/// Cells with problems after which no more are read.
const ENOUGH: usize = 100;

/// An experiment file as the cells that its `[sweep]` makes of it: one, if there is none. `[launcher]` is no cell's.
#[derive(Debug)]
pub struct Sweep<'s> {
    source: &'s Source,
    base: DeTable<'s>,
    launcher: Option<Launcher>,
    swept: bool,
    axes: Vec<Axis<'s>>,
    best_of: Vec<usize>,
    measures: Vec<String>,
    /// For each cell, which value it has of each axis.
    cells: Vec<Vec<usize>>,
}

/// What one cell of a sweep is called, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellPlan {
    /// Name and hash.
    pub cell: Cell,
    /// The training that its network is of; `None` if nothing is trained.
    pub training: Option<TrainingId>,
    /// The device that it asks for.
    pub device: DeviceRequest,
    /// Its label on each axis.
    pub labels: Vec<String>,
}

impl<'s> Sweep<'s> {
    /// Reads `[sweep]`; the cells' experiments are not looked at yet.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn read(source: &'s Source) -> Result<Self, Vec<Diagnostic>> {
        let mut base = source.parse(&COMMON_KEYS)?.into_inner();
        let launcher = Launcher::take(&mut base)?;
        let Some(value) = base.remove("sweep") else {
            return Ok(Self {
                source,
                base,
                launcher,
                swept: false,
                axes: Vec::new(),
                best_of: Vec::new(),
                measures: Vec::new(),
                cells: vec![vec![]],
            });
        };
        let span = value.span();
        let mut table = match value.into_inner() {
            DeValue::Table(table) => table,
            other => {
                let what = format!("`sweep` must be a table, found {}", article(other.type_str()));
                return Err(vec![Diagnostic::new(what).at(Some(span), "write it as [sweep]")]);
            }
        };
        let reserved = Reserved::take(&mut table)?;
        let axes = axis::read(table, source)?;
        if axes.is_empty() || axes.len() > MOST_AXES {
            let diagnostic = match axes.len() {
                0 => Diagnostic::new("[sweep] varies nothing").help("give it an axis: seed = [0, 1, 2]"),
                n => Diagnostic::new(format!("[sweep] has {n} axes; at most {MOST_AXES} are allowed")),
            };
            return Err(vec![diagnostic.at(Some(span), "")]);
        }
        let mut problems = axis::contradictions(&axes);
        problems.extend(axes.iter().flat_map(|axis| axis.assigned(source, &base)));
        if !problems.is_empty() {
            return Err(problems);
        }
        let best_of = product::best_of(&axes, &reserved).map_err(|d| vec![d])?;
        let measures = product::measures(&reserved).map_err(|d| vec![d])?;
        let cells = product::cells(&axes, &reserved, &span)?;
        Ok(Self { source, base, launcher, swept: true, axes, best_of, measures, cells })
    }

    /// Whether the file has a `[sweep]`.
    pub fn is_swept(&self) -> bool {
        self.swept
    }

    /// The file's text, without what is assigned to it.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    /// The file's `[launcher]`, if there is one.
    pub fn launcher(&self) -> Option<&Launcher> {
        self.launcher.as_ref()
    }

    /// What is varied, in the order of the file.
    pub fn axes(&self) -> &[Axis<'s>] {
        &self.axes
    }

    /// How many cells there are.
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// What a cell is called before its hash; `None` for a file without a `[sweep]`.
    pub fn slug(&self, cell: usize) -> Option<String> {
        let parts = || self.axes.iter().zip(&self.cells[cell]).map(|(axis, &value)| axis.slug(value));
        self.swept.then(|| slug::join(parts()))
    }

    /// Reads a cell's experiment.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn experiment(&self, cell: usize, registry: &Registry) -> Result<Experiment, Vec<Diagnostic>> {
        let table = change::changed(&self.base, self.changes(cell));
        let mut experiment = Experiment::of_table(table, self.source, registry)?;
        experiment.slug = self.slug(cell);
        Ok(experiment)
    }

    /// What a cell changes, by key path.
    pub fn overrides(&self, cell: usize) -> Map<String, Value> {
        self.changes(cell).map(|change| (change.path.join("."), change::to_json(change.value.get_ref()))).collect()
    }

    /// Reads every cell's experiment, in the order of the product: the last axis changes fastest.
    ///
    /// # Errors
    /// What is wrong with them, each problem once; two cells that are one experiment.
    pub fn cells(&self, registry: &Registry) -> Result<Vec<CellPlan>, Vec<Diagnostic>> {
        self.each(|cell| self.experiment(cell, registry))
    }

    /// The same, after building what can be built without a device.
    ///
    /// # Errors
    /// As of [`cells`](Self::cells), of [`Plan::build`] and of [`Plan::for_evaluation`].
    pub fn checked_cells(&self, registry: &Registry) -> Result<Vec<CellPlan>, Vec<Diagnostic>> {
        // Files that are large are read once.
        let seen = RefCell::new(BTreeSet::new());
        self.each(|cell| {
            let plan = Plan::build(self.experiment(cell, registry)?, registry)?;
            let is_new = seen.borrow_mut().insert(plan.experiment.evaluation.inception.clone());
            if is_new {
                plan.for_evaluation()?;
            }
            Ok(plan.experiment)
        })
    }

    /// The sweep as it is recorded, `directories` being the names of the cells' run directories.
    pub fn record(&self, experiment: &str, directories: &[String]) -> SweepRecord {
        let axes = self.axes.iter().enumerate().map(|(i, axis)| SweepAxis {
            name: axis.name().to_owned(),
            values: axis.labels().map(str::to_owned).collect(),
            numbers: axis.numbers(),
            role: self.role(i),
        });
        let cells = directories.iter().enumerate().map(|(i, name)| SweepCell {
            cell: name.clone(),
            values: self.axes.iter().map(|axis| axis.name().to_owned()).zip(self.labels(i)).collect(),
        });
        SweepRecord {
            schema: sweep::SCHEMA,
            experiment: experiment.to_owned(),
            measures: self.measures.clone(),
            axes: axes.collect(),
            cells: cells.collect(),
        }
    }

    /// Where a cell stands among its repetitions: its values on the axes that are averaged over.
    pub fn repetition(&self, cell: usize) -> Vec<usize> {
        let axes = (0..self.axes.len()).filter(|&axis| self.role(axis) == AxisRole::Repeat);
        axes.map(|axis| self.cells[cell][axis]).collect()
    }

    fn role(&self, axis: usize) -> AxisRole {
        match self.axes[axis].is_seed() {
            true => AxisRole::Repeat,
            false if self.best_of.contains(&axis) => AxisRole::Best,
            false => AxisRole::Compare,
        }
    }

    fn labels(&self, cell: usize) -> Vec<String> {
        self.axes.iter().zip(&self.cells[cell]).map(|(axis, &value)| axis.label(value).to_owned()).collect()
    }

    fn changes(&self, cell: usize) -> impl Iterator<Item = &Change<'s>> {
        self.axes.iter().zip(&self.cells[cell]).flat_map(|(axis, &value)| axis.changes(value))
    }

    fn each(
        &self,
        read: impl Fn(usize) -> Result<Experiment, Vec<Diagnostic>>,
    ) -> Result<Vec<CellPlan>, Vec<Diagnostic>> {
        let mut plans: Vec<CellPlan> = Vec::new();
        let mut problems = Problems::default();
        let mut by_hash: HashMap<String, usize> = HashMap::new();
        let mut twins = Vec::new();
        for i in 0..self.count() {
            problems.read += 1;
            match read(i) {
                Ok(experiment) => {
                    let cell = experiment.cell();
                    let (training, device) = (experiment.training_id(), experiment.device);
                    let before = by_hash.insert(cell.hash.clone(), i);
                    twins.extend(before.map(|before| self.twins(before, i)));
                    plans.push(CellPlan { cell, training, device, labels: self.labels(i) });
                }
                Err(found) => problems.add(i, found),
            }
            if problems.are_enough() || twins.len() >= ENOUGH {
                break;
            }
        }
        twins.splice(0..0, self.told(problems));
        if twins.is_empty() { Ok(plans) } else { Err(twins) }
    }

    /// Cells with one hash would be one run with two names.
    fn twins(&self, before: usize, cell: usize) -> Diagnostic {
        let differ = |i: &usize| self.cells[before][*i] != self.cells[cell][*i];
        let axis = (0..self.axes.len()).find(differ).unwrap_or_default();
        let place = |cell: usize| Some(self.axes[axis].place(self.cells[cell][axis]));
        let name = |cell: usize| self.slug(cell).unwrap_or_default();
        Diagnostic::new(format!("the cells `{}` and `{}` of [sweep] are the same experiment", name(before), name(cell)))
            .at(place(cell), "this changes nothing there")
            .related(place(before), "from this")
            .help("leave a value out, or combinations with `exclude`")
    }

    /// The problems, each with the cells that have it unless all of them do.
    fn told(&self, problems: Problems) -> Vec<Diagnostic> {
        let Problems { found, read, .. } = problems;
        let exclude = if self.axes.len() > 1 { "; `exclude` leaves combinations out" } else { "" };
        let told = |(diagnostic, cells): (Diagnostic, Vec<usize>)| match self.slug(cells[0]) {
            Some(slug) if cells.len() < read => {
                let more = match cells.len() - 1 {
                    0 => String::new(),
                    1 => " and in one more".into(),
                    n => format!(" and in {n} more"),
                };
                diagnostic.help(format!("in the cell `{slug}`{more}{exclude}"))
            }
            _ => diagnostic,
        };
        found.into_iter().map(told).collect()
    }
}

/// What is wrong with cells: the same mistake of many is one.
#[derive(Default)]
struct Problems {
    found: Vec<(Diagnostic, Vec<usize>)>,
    known: HashMap<String, usize>,
    /// Cells that were read.
    read: usize,
    /// Those that have problems.
    broken: usize,
}

impl Problems {
    fn add(&mut self, cell: usize, diagnostics: Vec<Diagnostic>) {
        self.broken += 1;
        for diagnostic in diagnostics {
            let place = *self.known.entry(format!("{diagnostic:?}")).or_insert(self.found.len());
            match self.found.get_mut(place) {
                Some((_, cells)) => cells.push(cell),
                None => self.found.push((diagnostic, vec![cell])),
            }
        }
    }

    fn are_enough(&self) -> bool {
        self.broken.max(self.found.len()) >= ENOUGH
    }
}
