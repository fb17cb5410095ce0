//! An experiment: every table read, every value in range.

use std::path::Path;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use stein_core::{
    Component, Configured, DataPart, Invalid, NetworkPart, ObjectivePart, Registry, SamplerPart, SchedulePart,
};
use stein_device::DeviceRequest;
use stein_networks::{ExactConfig, NcsnppConfig, Parameterization, SIGMA_DATA};
use stein_objectives::Weighting;
use stein_record::source::{Diagnostic, Source, Span, list_of, nearest};
use stein_samplers::{Guidance, Start};
use stein_schedules::Density;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::inverse::{Conditioning, Inverse, take_inverse};
use crate::launcher::Launcher;
use crate::preset::Preset;
use crate::section::{Places, Section, article, read, unknown_key};
use crate::settings::{Evaluation, Runtime, Training};
use crate::{Cell, TrainingId, checked_name};

/// Keys of every component of a table, beside its own.
const NETWORK_KEYS: [&str; 3] = ["parameterization", "sigma-data", "conservative"];
const OBJECTIVE_KEYS: [&str; 2] = ["weighting", "importance-correction"];
const SCHEDULE_KEYS: [&str; 1] = ["density"];
const SAMPLER_KEYS: [&str; 3] = ["start", "class", "guidance"];

pub(crate) const TABLES: [&str; 15] = [
    "name",
    "preset",
    "seed",
    "device",
    "data",
    "network",
    "objective",
    "schedule",
    "training",
    "sampler",
    "inverse",
    "evaluation",
    "runtime",
    "launcher",
    "sweep",
];

/// What training reads beside the name: networks of experiments that agree in these are one network.
const OF_TRAINING: [&str; 8] = ["seed", "device", "data", "network", "objective", "schedule", "training", "runtime"];

/// Keys that belong to every kind of their table: they stay when the kind is changed.
pub(crate) const COMMON_KEYS: [&str; 16] = [
    "parameterization",
    "sigma-data",
    "conservative",
    "weighting",
    "importance-correction",
    "density",
    "start",
    "class",
    "guidance",
    "conditioning",
    "sigma-y",
    "observed",
    "repeats",
    "iterations",
    "convention",
    "denoise",
];

/// The kinds of tables that are left out.
pub(crate) const DEFAULT_KINDS: [(&str, &str); 4] =
    [("network", "mlp"), ("objective", "denoising"), ("schedule", "geometric"), ("sampler", "annealed-langevin")];

pub(crate) fn default_kind(table: &str) -> Option<&'static str> {
    DEFAULT_KINDS.iter().find(|(name, _)| *name == table).map(|(_, kind)| *kind)
}

/// What one experiment file asks for.
#[derive(Debug)]
pub struct Experiment {
    /// The folder under `runs/` and `reports/`.
    pub name: String,
    /// The run seed.
    pub seed: u64,
    /// The device that is asked for.
    pub device: DeviceRequest,
    /// `[data]`.
    pub data: Box<dyn Configured<DataPart>>,
    /// `[network]`.
    pub network: Box<dyn Configured<NetworkPart>>,
    /// `[network] parameterization`.
    pub parameterization: Parameterization,
    /// `[network] sigma-data`.
    pub sigma_data: f64,
    /// `[network] conservative`.
    pub conservative: bool,
    /// `[objective]`.
    pub objective: Box<dyn Configured<ObjectivePart>>,
    /// `[objective] weighting`.
    pub weighting: Weighting,
    /// `[objective] importance-correction`.
    pub importance_correction: bool,
    /// `[schedule]`.
    pub schedule: Box<dyn Configured<SchedulePart>>,
    /// `[schedule] density`.
    pub density: Density,
    /// `[training]`.
    pub training: Training,
    /// `[sampler]`.
    pub sampler: Box<dyn Configured<SamplerPart>>,
    /// `[sampler] start`.
    pub start: Start,
    /// `[sampler] class` and `guidance`.
    pub guidance: Guidance,
    /// `[inverse]`, if there is one.
    pub inverse: Option<Inverse>,
    /// `[evaluation]`.
    pub evaluation: Evaluation,
    /// `[evaluation] estimators`.
    pub estimators: Vec<Estimator>,
    /// `[runtime]`.
    pub runtime: Runtime,
    /// What its cell is called beside its hash, in a sweep.
    pub(crate) slug: Option<String>,
    pub(crate) places: AllPlaces,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct AllPlaces {
    pub(crate) data: Places,
    pub(crate) network: Places,
    pub(crate) objective: Places,
    pub(crate) schedule: Places,
    pub(crate) training: Places,
    pub(crate) sampler: Places,
    pub(crate) inverse: Places,
    pub(crate) evaluation: Places,
}

/// Collects problems, so that each table's first ones are all told in one go.
#[derive(Default)]
struct Problems(Vec<Diagnostic>);

impl Problems {
    fn one<T>(&mut self, result: Result<T, Diagnostic>) -> Option<T> {
        result.map_err(|d| self.0.push(d)).ok()
    }

    fn many<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Option<T> {
        result.map_err(|d| self.0.extend(d)).ok()
    }
}

impl Experiment {
    /// Reads an experiment. At least one problem of each table is reported.
    ///
    /// # Errors
    /// Everything that is wrong with it; a `[sweep]`, since that makes several experiments of it: see [`Sweep`](crate::Sweep).
    pub fn read(source: &Source, registry: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let mut root = source.parse(&COMMON_KEYS)?.into_inner();
        if let Some((key, _)) = root.get_key_value("sweep") {
            let one = "this is one experiment of several: there is a [sweep]";
            return Err(vec![Diagnostic::new(one).at(Some(key.span()), "").help("name one cell of it")]);
        }
        Launcher::take(&mut root)?;
        Self::of_table(root, source, registry)
    }

    /// Reads an experiment from its table, which came from `source` and has no `[launcher]` and no `[sweep]`.
    pub(crate) fn of_table(
        mut root: DeTable<'_>,
        source: &Source,
        registry: &Registry,
    ) -> Result<Self, Vec<Diagnostic>> {
        refuse_large_integers(&root)?;
        let mut problems = Problems::default();
        problems.one(Preset::apply(&mut root));
        problems.0.extend(unknown_tables(&root));

        let name = problems.one(name(&mut root, source));
        let seed = problems.one(scalar::<u64>(&mut root, "seed")).map(Option::unwrap_or_default);
        let device = problems.one(device(&mut root));

        let mut places = AllPlaces::default();
        let data = Section::take(&mut root, "data").map_err(|d| vec![d]).and_then(|section| {
            places.data = section.places();
            if section.is_absent() {
                let kinds = list_of(registry.data.entries().iter().map(|e| e.kind));
                return Err(vec![
                    Diagnostic::new(format!("{}: there is no [data] table: what is to be learned?", source.origin()))
                        .help(format!("add [data] with a `kind`; kinds are {kinds}")),
                ]);
            }
            section.component(&registry.data, None, &[])
        });
        let data = problems.many(data);

        let network = take_network(&mut root, registry, &mut places.network);
        let network = problems.many(network);

        let untrained = network.as_ref().is_some_and(|table| table.network.kind() == ExactConfig::KIND);
        // What a true score is compared with is itself: that needs no noise.
        let objective = if untrained { Some("explicit") } else { default_kind("objective") };
        let objective = take_objective(&mut root, registry, objective, &mut places.objective);
        let objective = problems.many(objective);

        let schedule = take_schedule(&mut root, registry, &mut places.schedule);
        let schedule = problems.many(schedule);

        let training = Section::take(&mut root, "training").map_err(|d| vec![d]).and_then(|section| {
            places.training = section.places();
            let mut training: Training = section.settings()?;
            if untrained && !places.training.has("steps") {
                training.steps = 0;
            }
            training.check().map_err(|invalid| vec![places.training.diagnostic(&invalid)])?;
            Ok(training)
        });
        let training = problems.many(training);

        let sampler = take_sampler(&mut root, registry, &mut places.sampler);
        let sampler = problems.many(sampler);

        let inverse = take_inverse(&mut root, registry, &mut places.inverse);
        let inverse = problems.many(inverse);

        let evaluation = Section::take(&mut root, "evaluation").map_err(|d| vec![d]).and_then(|mut section| {
            places.evaluation = section.places();
            let estimators = Estimator::list(section.tables("estimators")?, registry)?;
            let evaluation: Evaluation = section.settings()?;
            evaluation.check().map_err(|invalid| vec![places.evaluation.diagnostic(&invalid)])?;
            check_metrics(&evaluation, registry, &places.evaluation).map_err(|d| vec![d])?;
            if !estimators.is_empty() && evaluation.estimator_batches == 0 {
                let message = "`estimators` are not measured unless `estimator-batches` is above 0";
                return Err(vec![places.evaluation.diagnostic(&Invalid::key("estimators", message))]);
            }
            Ok((evaluation, estimators))
        });
        let evaluation = problems.many(evaluation);

        let runtime = Section::take(&mut root, "runtime").map_err(|d| vec![d]).and_then(Section::settings);
        let runtime = problems.many(runtime);

        let whole = || -> Option<Self> {
            let NetworkTable { network, parameterization, sigma_data, conservative } = network?;
            let (objective, weighting, importance_correction) = objective?;
            let (schedule, density) = schedule?;
            let (sampler, start, guidance) = sampler?;
            let (evaluation, estimators) = evaluation?;
            Some(Self {
                name: name?,
                seed: seed?,
                device: device?,
                data: data?,
                network,
                parameterization,
                sigma_data,
                conservative,
                objective,
                weighting,
                importance_correction,
                schedule,
                density,
                training: training?,
                sampler,
                start,
                guidance,
                inverse: inverse?,
                evaluation,
                estimators,
                runtime: runtime?,
                slug: None,
                places,
            })
        };
        if !problems.0.is_empty() {
            return Err(problems.0);
        }
        whole().ok_or_else(|| vec![Diagnostic::new("the experiment could not be read")])
    }

    /// The experiment with every default written out: runs again as it stands.
    pub fn resolved(&self) -> toml::Table {
        self.table(|component| component.resolved(), full)
    }

    /// The resolved experiment as a file.
    pub fn to_toml(&self) -> String {
        let text = toml::to_string_pretty(&self.resolved()).unwrap_or_else(|e| panic!("a resolved experiment: {e}"));
        format!("# Resolved by stein: every default is written out, and the file runs again as it stands.\n\n{text}")
    }

    /// The cell that this configuration is.
    pub fn cell(&self) -> Cell {
        let mut configuration = self.table(|component| component.minimal(), minimal);
        configuration.remove("name");
        let slug = self.slug.clone().unwrap_or_else(|| format!("seed-{}", self.seed));
        Cell::new(&slug, &configuration)
    }

    /// The training that its network is of; `None` if nothing is trained.
    pub fn training_id(&self) -> Option<TrainingId> {
        let mut configuration = self.table(|component| component.minimal(), minimal);
        configuration.retain(|key, _| OF_TRAINING.contains(&key));
        (self.training.steps > 0).then(|| TrainingId::new(&configuration))
    }

    /// What training reads, resolved, as a file.
    pub fn training_toml(&self) -> String {
        let mut tables = self.resolved();
        tables.retain(|key, _| key == "name" || OF_TRAINING.contains(&key));
        let text = toml::to_string_pretty(&tables).unwrap_or_else(|e| panic!("a resolved training: {e}"));
        format!("# Resolved by stein: what the cells that share this training have in common.\n\n{text}")
    }

    fn table(&self, components: fn(&dyn Tables) -> toml::Table, settings: SettingsTable) -> toml::Table {
        let mut out = toml::Table::new();
        out.insert("name".into(), self.name.clone().into());
        if settings.full || self.seed != 0 {
            // Larger seeds were refused when the file was read.
            out.insert("seed".into(), (self.seed as i64).into());
        }
        let device = self.device.to_string();
        if settings.full || device != DeviceRequest::default().to_string() {
            out.insert("device".into(), device.into());
        }
        let mut component = |name: &str, part: &dyn Tables, common: toml::Table| {
            let mut table = toml::Table::new();
            table.insert("kind".into(), part.kind().into());
            table.extend(common);
            table.extend(components(part));
            out.insert(name.into(), table.into());
        };
        component("data", &&*self.data, toml::Table::new());
        let parameterization = Parameterization::default_of(self.network.kind());
        let mut common = settings.common("parameterization", &self.parameterization, &parameterization);
        common.extend(settings.common("sigma-data", &self.sigma_data, &SIGMA_DATA));
        common.extend(settings.common("conservative", &self.conservative, &false));
        component("network", &&*self.network, common);
        let mut common = settings.common("weighting", &self.weighting, &Weighting::default());
        common.extend(settings.common("importance-correction", &self.importance_correction, &false));
        component("objective", &&*self.objective, common);
        component("schedule", &&*self.schedule, settings.common("density", &self.density, &Density::default()));
        let mut common = settings.common("start", &self.start, &Start::default());
        common.extend(settings.table(&self.guidance));
        component("sampler", &&*self.sampler, common);
        if let Some(inverse) = &self.inverse {
            component("inverse", &&*inverse.problem, settings.table::<Conditioning>(&inverse.conditioning));
        }
        let mut plain = |name: &str, table: toml::Table| {
            if settings.full || !table.is_empty() {
                out.insert(name.into(), table.into());
            }
        };
        plain("training", settings.table(&self.training));
        let mut evaluation = settings.table(&self.evaluation);
        if !self.estimators.is_empty() {
            let list = self.estimators.iter().map(|e| e.table(components)).collect();
            evaluation.insert("estimators".into(), toml::Value::Array(list));
        }
        plain("evaluation", evaluation);
        plain("runtime", settings.table(&self.runtime));
        out
    }
}

/// `[network]`: the component, its parameterisation, σ_d, and whether an energy is made of it.
#[derive(Debug)]
pub(crate) struct NetworkTable {
    pub(crate) network: Box<dyn Configured<NetworkPart>>,
    pub(crate) parameterization: Parameterization,
    pub(crate) sigma_data: f64,
    pub(crate) conservative: bool,
}

/// `[schedule]`: the component, and how training draws levels.
type ScheduleTable = (Box<dyn Configured<SchedulePart>>, Density);
/// `[objective]`: the component, its weighting, and whether weights are corrected for the density of σ.
type ObjectiveTable = (Box<dyn Configured<ObjectivePart>>, Weighting, bool);

/// `[sampler]`: the component, where its chains start, and what of.
type SamplerTable = (Box<dyn Configured<SamplerPart>>, Start, Guidance);

/// Reads `[network]`.
pub(crate) fn take_network(
    root: &mut DeTable<'_>,
    registry: &Registry,
    places: &mut Places,
) -> Result<NetworkTable, Vec<Diagnostic>> {
    let mut section = Section::take(root, "network").map_err(|d| vec![d])?;
    *places = section.places();
    let parameterization = section.key("parameterization").map_err(|d| vec![d])?;
    let sigma_data = section.key("sigma-data").map_err(|d| vec![d])?.unwrap_or(SIGMA_DATA);
    Invalid::unless_positive("sigma-data", sigma_data).map_err(|i| vec![places.diagnostic(&i)])?;
    let conservative = section.key("conservative").map_err(|d| vec![d])?.unwrap_or(false);
    let network = section.component(&registry.networks, default_kind("network"), &NETWORK_KEYS)?;
    let own = Parameterization::default_of(network.kind());
    let parameterization = parameterization.unwrap_or(own);
    if network.kind() == ExactConfig::KIND && parameterization != own {
        let message = "`exact` is a score already: its `parameterization` is \"score\", or left out";
        return Err(vec![places.diagnostic(&Invalid::key("parameterization", message))]);
    }
    if let Some(invalid) = noise_is_meant(&*network, parameterization) {
        return Err(vec![places.diagnostic(&invalid)]);
    }
    if network.kind() == ExactConfig::KIND && conservative {
        let message = "`exact` is a gradient already: leave `conservative` out";
        return Err(vec![places.diagnostic(&Invalid::key("conservative", message))]);
    }
    Ok(NetworkTable { network, parameterization, sigma_data, conservative })
}

/// Refuses another parameterisation of a network that predicts the noise by its nature: imported weights would have the wrong sign.
fn noise_is_meant(network: &dyn Configured<NetworkPart>, given: Parameterization) -> Option<Invalid> {
    let table = (network.kind() == NcsnppConfig::KIND).then(|| network.resolved())?;
    let sde = table.get("sde")?.as_str().filter(|sde| *sde != "ve")?;
    let message = || format!("with `sde = \"{sde}\"` the output is the noise: `parameterization` must be \"noise\"");
    (given != Parameterization::Noise).then(|| Invalid::key("parameterization", message()))
}

/// Reads `[sampler]`: the component, where its chains start, and what of.
pub(crate) fn take_sampler(
    root: &mut DeTable<'_>,
    registry: &Registry,
    places: &mut Places,
) -> Result<SamplerTable, Vec<Diagnostic>> {
    let mut section = Section::take(root, "sampler").map_err(|d| vec![d])?;
    *places = section.places();
    let start: Start = section.key("start").map_err(|d| vec![d])?.unwrap_or_default();
    start.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
    let guidance = Guidance {
        class: section.key("class").map_err(|d| vec![d])?,
        guidance: section.key("guidance").map_err(|d| vec![d])?.unwrap_or_default(),
    };
    guidance.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
    Ok((section.component(&registry.samplers, default_kind("sampler"), &SAMPLER_KEYS)?, start, guidance))
}

/// Reads `[schedule]`: the component, and how training draws from it.
pub(crate) fn take_schedule(
    root: &mut DeTable<'_>,
    registry: &Registry,
    places: &mut Places,
) -> Result<ScheduleTable, Vec<Diagnostic>> {
    let mut section = Section::take(root, "schedule").map_err(|d| vec![d])?;
    *places = section.places();
    let density: Density = section.key("density").map_err(|d| vec![d])?.unwrap_or_default();
    density.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
    Ok((section.component(&registry.schedules, default_kind("schedule"), &SCHEDULE_KEYS)?, density))
}

/// Reads `[objective]`; `default` is its kind where none is named.
pub(crate) fn take_objective(
    root: &mut DeTable<'_>,
    registry: &Registry,
    default: Option<&str>,
    places: &mut Places,
) -> Result<ObjectiveTable, Vec<Diagnostic>> {
    let mut section = Section::take(root, "objective").map_err(|d| vec![d])?;
    *places = section.places();
    let weighting: Weighting = section.key("weighting").map_err(|d| vec![d])?.unwrap_or_default();
    weighting.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
    let correction = section.key("importance-correction").map_err(|d| vec![d])?.unwrap_or_default();
    let objective = section.component(&registry.objectives, default, &OBJECTIVE_KEYS)?;
    Ok((objective, weighting, correction))
}

/// One of `[evaluation] estimators`: an objective with the name that reports give it.
#[derive(Debug)]
pub struct Estimator {
    /// The name.
    pub name: String,
    /// The objective.
    pub objective: Box<dyn Configured<ObjectivePart>>,
    pub(crate) places: Places,
}

/// More would only be a mistake, or an attack.
const MOST_ESTIMATORS: usize = 64;

impl Estimator {
    fn list(sections: Vec<Section<'_>>, registry: &Registry) -> Result<Vec<Self>, Vec<Diagnostic>> {
        if sections.len() > MOST_ESTIMATORS {
            let n = sections.len();
            return Err(vec![Diagnostic::new(format!(
                "there are {n} estimators; at most {MOST_ESTIMATORS} are measured"
            ))]);
        }
        let mut out: Vec<Self> = Vec::new();
        for mut section in sections {
            let places = section.places();
            let named: Option<String> = section.key("name").map_err(|d| vec![d])?;
            let objective = section.component(&registry.objectives, None, &["name"])?;
            let name = named.unwrap_or_else(|| label(&*objective));
            if out.iter().any(|e| e.name == name) {
                let message = format!("two estimators are called `{name}`; give one another `name`");
                return Err(vec![places.diagnostic(&Invalid::key("name", message))]);
            }
            out.push(Self { name, objective, places });
        }
        Ok(out)
    }

    fn table(&self, components: fn(&dyn Tables) -> toml::Table) -> toml::Value {
        let mut table = toml::Table::new();
        table.insert("kind".into(), self.objective.kind().into());
        table.insert("name".into(), self.name.clone().into());
        table.extend(components(&&*self.objective));
        table.into()
    }
}

/// An objective by its kind and what differs from the defaults: `implicit, trace hutchinson, probes 4`.
fn label(objective: &dyn Configured<ObjectivePart>) -> String {
    let word = |value: toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let keys = objective.minimal().into_iter().map(|(key, value)| format!("{key} {}", word(value)));
    std::iter::once(objective.kind().to_owned()).chain(keys).collect::<Vec<_>>().join(", ")
}

/// The faces of a component that do not depend on its part.
trait Tables {
    fn kind(&self) -> &'static str;
    fn resolved(&self) -> toml::Table;
    fn minimal(&self) -> toml::Table;
}

impl<P: stein_core::Part> Tables for &dyn Configured<P> {
    fn kind(&self) -> &'static str {
        (**self).kind()
    }
    fn resolved(&self) -> toml::Table {
        (**self).resolved()
    }
    fn minimal(&self) -> toml::Table {
        (**self).minimal()
    }
}

/// How settings are written: in full, or without what equals its default.
#[derive(Clone, Copy)]
struct SettingsTable {
    full: bool,
}

#[expect(non_upper_case_globals, reason = "reads as a word where it is used")]
const full: SettingsTable = SettingsTable { full: true };
#[expect(non_upper_case_globals, reason = "reads as a word where it is used")]
const minimal: SettingsTable = SettingsTable { full: false };

impl SettingsTable {
    fn table<T: Serialize + DeserializeOwned>(self, settings: &T) -> toml::Table {
        let table = toml::Table::try_from(settings).unwrap_or_else(|e| panic!("settings cannot be written: {e}"));
        if self.full { table } else { stein_core::without_defaults::<T>(table) }
    }

    fn common<T: Serialize + PartialEq>(self, key: &str, value: &T, default: &T) -> toml::Table {
        let mut table = toml::Table::new();
        if self.full || value != default {
            let value = toml::Value::try_from(value).unwrap_or_else(|e| panic!("{key} cannot be written: {e}"));
            table.insert(key.into(), value);
        }
        table
    }
}

/// TOML's integers are signed and have 64 bits; its reader takes larger ones, which could not be written back.
fn refuse_large_integers(root: &DeTable<'_>) -> Result<(), Vec<Diagnostic>> {
    fn walk(value: &DeValue<'_>, span: Span, out: &mut Vec<Diagnostic>) {
        match value {
            DeValue::Integer(n) if i64::from_str_radix(n.as_str(), n.radix()).is_err() => out.push(
                Diagnostic::new(format!("the integer {} is too large", n.as_str()))
                    .at(Some(span), "")
                    .help(format!("integers are at most {}", i64::MAX)),
            ),
            DeValue::Array(items) => items.iter().for_each(|v| walk(v.get_ref(), v.span(), out)),
            DeValue::Table(table) => table.values().for_each(|v| walk(v.get_ref(), v.span(), out)),
            _ => {}
        }
    }
    let mut out = Vec::new();
    root.values().for_each(|v| walk(v.get_ref(), v.span(), &mut out));
    if out.is_empty() { Ok(()) } else { Err(out) }
}

fn unknown_tables(root: &DeTable<'_>) -> Vec<Diagnostic> {
    root.keys().filter(|key| !TABLES.contains(&key.get_ref().as_ref())).map(|key| unknown_key(key, &TABLES)).collect()
}

fn scalar<T: DeserializeOwned + JsonSchema>(root: &mut DeTable<'_>, key: &str) -> Result<Option<T>, Diagnostic> {
    root.remove(key).map(|value| read("", key, value)).transpose()
}

fn name(root: &mut DeTable<'_>, source: &Source) -> Result<String, Diagnostic> {
    let span: Option<Span> = root.get("name").map(Spanned::span);
    let given: Option<String> = scalar(root, "name")?;
    let name = match given {
        Some(name) => name,
        None => Path::new(source.origin())
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_else(|| "experiment".into()),
    };
    checked_name(&name).map_err(|problem| {
        let diagnostic = Diagnostic::new(problem);
        match span {
            Some(span) => diagnostic.at(Some(span), ""),
            None => diagnostic.help("the name is the file's stem; set another with name = \"…\""),
        }
    })?;
    Ok(name)
}

fn device(root: &mut DeTable<'_>) -> Result<DeviceRequest, Diagnostic> {
    let Some(value) = root.remove("device") else { return Ok(DeviceRequest::default()) };
    let span = value.span();
    let Some(text) = value.get_ref().as_str() else {
        let found = article(value.get_ref().type_str());
        return Err(Diagnostic::new(format!("`device` must be a string, found {found}")).at(Some(span), ""));
    };
    text.parse().map_err(|e: stein_device::ParseRequestError| {
        let near = e.nearest().map(|n| format!("did you mean {n:?}?")).unwrap_or_default();
        Diagnostic::new(format!("`device` is {:?}: {}", e.value(), e.problem()))
            .at(Some(span), near)
            .help(format!("allowed are {}", e.allowed()))
            .help("`stein devices` lists what this machine has")
    })
}

fn check_metrics(evaluation: &Evaluation, registry: &Registry, places: &Places) -> Result<(), Diagnostic> {
    let kinds = || registry.metrics.entries().iter().map(|e| e.kind);
    for (i, name) in evaluation.metrics.iter().flatten().enumerate() {
        if registry.metrics.get(name).is_none() {
            let near = || nearest(name, kinds()).map(|n| format!("did you mean `{n}`?")).unwrap_or_default();
            let label = match name.to_lowercase().as_str() {
                "fid" => "`inception` measures it, and `fid-training` against training rows".into(),
                "kid" => "`inception` measures it".into(),
                _ => near(),
            };
            return Err(Diagnostic::new(format!("no metric is called `{name}`"))
                .at(places.of(Some(&format!("metrics.{i}"))), label)
                .help(format!("metrics are {}", list_of(kinds()))));
        }
    }
    Ok(())
}
