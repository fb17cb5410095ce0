//! What a sampler's test vector says of what it samples, and how: four tables of an experiment.

use std::sync::Arc;

use stein_core::{
    Catalogue, Configured, ExactScore, Invalid, NoiseSchedule, Part, Registry, Sampler, SamplerContext, Streams,
};
use stein_record::source::{Diagnostic, Source};
use toml::de::DeTable;

use crate::experiment::{TABLES, take_network, take_schedule};
use crate::section::{Places, Section, unknown_key};

/// The tables that a sampler's vector cannot do without.
const NEEDED: [&str; 4] = ["data", "network", "schedule", "sampler"];

/// What a sampler's test vector samples: `[data]` that know their score, `[network] kind = "exact"`, `[schedule]`, `[sampler]`.
#[derive(Debug)]
pub struct SampleParts {
    /// The true score.
    pub score: ExactScore,
    /// The noise levels.
    pub schedule: Arc<dyn NoiseSchedule>,
    /// The sampler.
    pub sampler: Box<dyn Sampler>,
    /// D.
    pub dimension: usize,
}

impl SampleParts {
    /// Reads and builds them; an experiment's other tables may be there, and say nothing.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(source: &Source, registry: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let mut root = source.parse(&[])?.into_inner();
        let mut problems: Vec<Diagnostic> = root
            .keys()
            .filter(|key| !TABLES.contains(&key.get_ref().as_ref()))
            .map(|key| unknown_key(key, &TABLES))
            .collect();
        problems.extend(NEEDED.iter().filter(|name| !root.contains_key(**name)).map(|name| {
            Diagnostic::new(format!("there is no [{name}] table; a sampler's vector has all of {}", NEEDED.join(", ")))
        }));
        if !problems.is_empty() {
            return Err(problems);
        }
        let (data, data_places) = component(&mut root, "data", &registry.data)?;
        let mut network_places = Places::default();
        let (network, ..) = take_network(&mut root, registry, &mut network_places)?;
        if network.kind() != "exact" {
            let message = format!("the network is `{}`; a sampler's vector is about `exact` ones", network.kind());
            return Err(vec![network_places.diagnostic(&Invalid::key("kind", message))]);
        }
        let mut schedule_places = Places::default();
        let (schedule, _) = take_schedule(&mut root, registry, &mut schedule_places)?;
        let (sampler, sampler_places) = component(&mut root, "sampler", &registry.samplers)?;

        let dataset = data.build(Streams::new(0)).map_err(|e| vec![data_places.diagnostic(&e)])?;
        let Some(target) = dataset.target.clone() else {
            return Err(vec![data_places.diagnostic(&Invalid::key("kind", "the score of these data is not known"))]);
        };
        let schedule = schedule.build(&dataset).map_err(|e| vec![schedule_places.diagnostic(&e)])?;
        let context = SamplerContext { schedule: &*schedule, dimension: dataset.dimension() };
        let sampler = sampler.build(context).map_err(|e| vec![sampler_places.diagnostic(&e)])?;
        Ok(Self { score: ExactScore::new(target), schedule, sampler, dimension: dataset.dimension() })
    }
}

type Read<P> = Result<(Box<dyn Configured<P>>, Places), Vec<Diagnostic>>;

/// Reads one component, whose table is there.
fn component<P: Part>(root: &mut DeTable<'_>, table: &'static str, catalogue: &Catalogue<P>) -> Read<P> {
    let section = Section::take(root, table).map_err(|d| vec![d])?;
    let places = section.places();
    Ok((section.component(catalogue, None, &[])?, places))
}
