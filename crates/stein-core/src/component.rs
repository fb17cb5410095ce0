//! Components by name: from a table of an experiment file to a trait object.
//!
//! A component is a struct of its parameters (serde, `deny_unknown_fields`, defaults, doc comments) that implements
//! [`Component`] for its [`Part`]. [`Catalogue::add`] makes it known by its kind; built-in components and those of other
//! crates go the same way. The struct's doc comments are the help of `stein list` and the JSON schema.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use burn::tensor::Device;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stein_record::Array;
use toml::Spanned;
use toml::de::DeTable;

use crate::{AnyNetwork, Dataset, Metric, Noise, NoiseSchedule, Objective, Sampler, Streams};

/// A value that a component cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// The key of the component's own table that is to blame, if one is.
    pub key: Option<String>,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl Invalid {
    /// A problem with one key.
    pub fn key(key: &str, message: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), message: message.into() }
    }

    /// A problem with the component as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }

    /// Refuses a number that is not above zero and finite.
    pub fn unless_positive(key: &str, value: f64) -> Result<(), Self> {
        if value > 0.0 && value.is_finite() {
            return Ok(());
        }
        Err(Self::key(key, format!("`{key}` is {value}; it must be above 0 and finite")))
    }

    /// Refuses a count that nobody means.
    pub fn unless_at_most(key: &str, value: usize, most: usize) -> Result<(), Self> {
        if value <= most {
            return Ok(());
        }
        Err(Self::key(key, format!("`{key}` is {value}; it must be at most {most}")))
    }

    /// Refuses a network too large to be meant, before anything of it is allocated.
    pub fn unless_buildable(key: &str, parameters: Option<usize>) -> Result<(), Self> {
        const MOST: usize = 1 << 30;
        match parameters {
            Some(n) if n <= MOST => Ok(()),
            Some(n) => {
                Err(Self::key(key, format!("`{key}` makes a network of {n} parameters; at most {MOST} are built")))
            }
            None => Err(Self::key(key, format!("`{key}` makes a network of more parameters than can be counted"))),
        }
    }

    /// Refuses a count of zero.
    pub fn unless_some(key: &str, value: usize) -> Result<(), Self> {
        if value > 0 {
            return Ok(());
        }
        Err(Self::key(key, format!("`{key}` is 0; it must be at least 1")))
    }
}

/// A part of an experiment that components can be plugged into.
pub trait Part: Debug + Sized + 'static {
    /// The table of the experiment file.
    const TABLE: &'static str;
    /// What one component of it is called.
    const NOUN: &'static str;
    /// What a component is given when it is built.
    type Context<'a>;
    /// What it is built into.
    type Product;
}

/// The parameters of a component, as its author writes them.
pub trait Component<P: Part>: Serialize + DeserializeOwned + JsonSchema + Debug + Send + Sync + 'static {
    /// The name in experiment files: the one that its paper gives it, kebab-case.
    const KIND: &'static str;
    /// Where it comes from: authors, year, arXiv number.
    const PAPER: &'static str = "";

    /// Refuses values out of range.
    ///
    /// # Errors
    /// The first key that is out of range.
    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// Builds the component; called only after [`check`](Self::check) went well.
    ///
    /// # Errors
    /// What can only be seen in context: a network that wants images, say, and data that are none.
    fn build(&self, context: P::Context<'_>) -> Result<P::Product, Invalid>;
}

/// A component's parameters, erased.
pub trait Configured<P: Part>: Debug + Send + Sync {
    /// Its name.
    fn kind(&self) -> &'static str;
    /// Every parameter, defaults written out.
    fn resolved(&self) -> toml::Table;
    /// The parameters that differ from their defaults.
    fn minimal(&self) -> toml::Table;
    /// See [`Component::check`].
    ///
    /// # Errors
    /// The first key that is out of range.
    fn check(&self) -> Result<(), Invalid>;
    /// See [`Component::build`].
    ///
    /// # Errors
    /// What can only be seen in context.
    fn build(&self, context: P::Context<'_>) -> Result<P::Product, Invalid>;
}

struct Erased<P, C>(C, PhantomData<fn() -> P>);

impl<P: Part, C: Component<P>> Debug for Erased<P, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<P: Part, C: Component<P>> Configured<P> for Erased<P, C> {
    fn kind(&self) -> &'static str {
        C::KIND
    }

    fn resolved(&self) -> toml::Table {
        toml::Table::try_from(&self.0).unwrap_or_else(|e| panic!("{} cannot be written as TOML: {e}", C::KIND))
    }

    fn minimal(&self) -> toml::Table {
        without_defaults::<C>(self.resolved())
    }

    fn check(&self) -> Result<(), Invalid> {
        self.0.check()
    }

    fn build(&self, context: P::Context<'_>) -> Result<P::Product, Invalid> {
        self.0.build(context)
    }
}

/// Drops every key, at any depth, without which the table means the same.
pub fn without_defaults<C: Serialize + DeserializeOwned>(full: toml::Table) -> toml::Table {
    let means = |table: toml::Table| -> Option<toml::Table> { toml::Table::try_from(table.try_into::<C>().ok()?).ok() };
    let mut paths = Vec::new();
    collect_paths(&full, &mut Vec::new(), &mut paths);
    let mut kept = full.clone();
    for path in paths {
        let mut without = full.clone();
        if remove(&mut without, &path) && means(without).as_ref() == Some(&full) {
            remove(&mut kept, &path);
        }
    }
    kept
}

/// The path of every key, tables before what is in them.
fn collect_paths(table: &toml::Table, at: &mut Vec<String>, out: &mut Vec<Vec<String>>) {
    for (key, value) in table {
        at.push(key.clone());
        out.push(at.clone());
        if let toml::Value::Table(inner) = value {
            collect_paths(inner, at, out);
        }
        at.pop();
    }
}

fn remove(table: &mut toml::Table, path: &[String]) -> bool {
    match path {
        [] => false,
        [key] => table.remove(key).is_some(),
        [key, rest @ ..] => match table.get_mut(key) {
            Some(toml::Value::Table(inner)) => remove(inner, rest),
            _ => false,
        },
    }
}

type Parse<P> = for<'s> fn(Spanned<DeTable<'s>>) -> Result<Box<dyn Configured<P>>, toml::de::Error>;

/// One kind of component.
#[derive(Debug)]
pub struct Entry<P: Part> {
    /// Its name.
    pub kind: &'static str,
    /// Where it comes from.
    pub paper: &'static str,
    schema: fn() -> Schema,
    parse: Parse<P>,
}

impl<P: Part> Entry<P> {
    /// The JSON schema of its parameters, without `kind`.
    pub fn schema(&self) -> Schema {
        (self.schema)()
    }

    /// The first paragraph of its documentation.
    pub fn summary(&self) -> String {
        let schema = self.schema();
        let text = schema.get("description").and_then(|d| d.as_str()).unwrap_or_default();
        text.split("\n\n").next().unwrap_or_default().replace('\n', " ")
    }

    /// The names of its parameters.
    pub fn keys(&self) -> Vec<String> {
        let schema = self.schema();
        let properties = schema.get("properties").and_then(|p| p.as_object());
        properties.map(|p| p.keys().cloned().collect()).unwrap_or_default()
    }

    /// Reads its parameters from a table (without `kind`).
    ///
    /// # Errors
    /// An unknown key, a missing one, or a value of the wrong type, with its place.
    pub fn parse(&self, table: Spanned<DeTable<'_>>) -> Result<Box<dyn Configured<P>>, toml::de::Error> {
        (self.parse)(table)
    }
}

/// The known components of one part.
#[derive(Debug)]
pub struct Catalogue<P: Part> {
    entries: Vec<Entry<P>>,
}

impl<P: Part> Default for Catalogue<P> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<P: Part> Catalogue<P> {
    /// Makes a component known. One of the same kind is replaced.
    pub fn add<C: Component<P>>(&mut self) -> &mut Self {
        self.entries.retain(|e| e.kind != C::KIND);
        self.entries.push(Entry {
            kind: C::KIND,
            paper: C::PAPER,
            schema: || {
                let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
                SchemaGenerator::new(settings).into_root_schema_for::<C>()
            },
            parse: |table| {
                let config = C::deserialize(toml::Deserializer::from(table))?;
                Ok(Box::new(Erased(config, PhantomData)))
            },
        });
        self
    }

    /// All of them, in the order in which they were added.
    pub fn entries(&self) -> &[Entry<P>] {
        &self.entries
    }

    /// The one of that kind.
    pub fn get(&self, kind: &str) -> Option<&Entry<P>> {
        self.entries.iter().find(|e| e.kind == kind)
    }
}

/// What a schedule, sampler or network is built for, beside its own parameters.
#[derive(Debug, Clone, Copy)]
pub struct SamplerContext<'a> {
    /// The schedule that it will walk down.
    pub schedule: &'a dyn NoiseSchedule,
    /// D.
    pub dimension: usize,
}

/// What a network is built for.
#[derive(Debug)]
pub struct NetworkContext<'a> {
    /// The data: dimension, image shape, and the target of exact networks.
    pub dataset: &'a Dataset,
    /// The noise levels that it will see.
    pub schedule: &'a dyn NoiseSchedule,
    /// Where its parameters are to lie.
    pub device: &'a Device,
    /// Noise for its initial parameters.
    pub noise: &'a mut Noise,
    /// Whether an energy is made of its output, so that the loss is differentiated once more: its functions must have continuous
    /// second derivatives.
    pub conservative: bool,
}

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident: $table:literal, $noun:literal, $context:ty => $product:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl Part for $name {
            const TABLE: &'static str = $table;
            const NOUN: &'static str = $noun;
            type Context<'a> = $context;
            type Product = $product;
        }
    )*};
}

parts! {
    /// Objectives, `[objective]`.
    ObjectivePart: "objective", "objective", () => Arc<dyn Objective>;
    /// Noise schedules, `[schedule]`.
    SchedulePart: "schedule", "schedule", &'a Dataset => Arc<dyn NoiseSchedule>;
    /// Samplers, `[sampler]`.
    SamplerPart: "sampler", "sampler", SamplerContext<'a> => Box<dyn Sampler>;
    /// Score networks, `[network]`: the raw network, before its parameterisation.
    NetworkPart: "network", "network", NetworkContext<'a> => AnyNetwork;
    /// Data sources, `[data]`.
    DataPart: "data", "data source", Streams => Dataset;
    /// Inverse problems, `[inverse]`: the rows of A in y = A x + noise, `[m, D]`.
    InversePart: "inverse", "inverse problem", &'a Dataset => Array;
    /// Metrics, named in `[evaluation]`.
    MetricPart: "evaluation", "metric", () => Box<dyn Metric>;
}

/// Everything that experiment files can name.
#[derive(Debug, Default)]
pub struct Registry {
    /// Objectives.
    pub objectives: Catalogue<ObjectivePart>,
    /// Noise schedules.
    pub schedules: Catalogue<SchedulePart>,
    /// Samplers.
    pub samplers: Catalogue<SamplerPart>,
    /// Networks.
    pub networks: Catalogue<NetworkPart>,
    /// Data sources.
    pub data: Catalogue<DataPart>,
    /// Inverse problems.
    pub inverse: Catalogue<InversePart>,
    /// Metrics.
    pub metrics: Catalogue<MetricPart>,
}
