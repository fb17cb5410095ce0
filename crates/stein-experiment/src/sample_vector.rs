//! What a sampler's test vector says of what it samples, and how: four tables of an experiment.

use std::sync::Arc;

use burn::tensor::Device;
use stein_core::{Component, Invalid, NetworkContext, NoiseSchedule, Registry, Sampler, SamplerContext, Streams};
use stein_networks::{ExactConfig, Parameterized};
use stein_record::source::{Diagnostic, Source};

use crate::experiment::{NetworkTable, TABLES, take_network, take_sampler, take_schedule};
use crate::preset::Preset;
use crate::section::{Places, Section, unknown_key};

/// The tables that a sampler's vector cannot do without.
const NEEDED: [&str; 4] = ["data", "network", "schedule", "sampler"];

/// What a sampler's test vector samples: `[data]` that know their score, `[network] kind = "exact"`, `[schedule]`, `[sampler]`.
#[derive(Debug)]
pub struct SampleParts {
    /// The true score.
    pub score: Parameterized,
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
    pub fn read(source: &Source, registry: &Registry, device: &Device) -> Result<Self, Vec<Diagnostic>> {
        let mut root = source.parse(&[])?.into_inner();
        Preset::apply(&mut root).map_err(|d| vec![d])?;
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
        let section = Section::take(&mut root, "data").map_err(|d| vec![d])?;
        let of_data = section.places();
        let data = section.component(&registry.data, None, &[])?;
        let (mut of_network, mut of_schedule, mut of_sampler) = Default::default();
        let NetworkTable { network, parameterization, .. } = take_network(&mut root, registry, &mut of_network)?;
        let (schedule, _) = take_schedule(&mut root, registry, &mut of_schedule)?;
        let (sampler, ..) = take_sampler(&mut root, registry, &mut of_sampler)?;

        let at = |places: &Places, invalid: Invalid| vec![places.diagnostic(&invalid)];
        if network.kind() != ExactConfig::KIND {
            let message = format!("the network is `{}`; a sampler's vector is of an `exact` one", network.kind());
            return Err(at(&of_network, Invalid::key("kind", message)));
        }
        let dataset = data.build(Streams::new(0)).map_err(|e| at(&of_data, e))?;
        let schedule = schedule.build(&dataset).map_err(|e| at(&of_schedule, e))?;
        let context = SamplerContext { schedule: &*schedule, dimension: dataset.dimension() };
        let sampler = sampler.build(context).map_err(|e| at(&of_sampler, e))?;
        let mut noise = Streams::new(0).at("network", 0);
        let context =
            NetworkContext { dataset: &dataset, schedule: &*schedule, device, noise: &mut noise, conservative: false };
        let raw = network.build(context).map_err(|e| at(&of_network, e))?;
        let score = Parameterized::new(raw, parameterization);
        Ok(Self { score, schedule, sampler, dimension: dataset.dimension() })
    }
}
