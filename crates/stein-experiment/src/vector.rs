//! What a test vector says of its network and objective: two tables of an experiment.

use std::sync::Arc;

use burn::tensor::Device;
use stein_core::{
    Component, Configured, Invalid, NetworkContext, NetworkPart, Objective, ObjectivePart, Registry, Streams,
};
use stein_networks::Parameterized;
use stein_objectives::{WeightAt, Weighting};
use stein_record::source::{Diagnostic, Source};
use stein_schedules::{Geometric, NoNoise};
use toml::de::DeValue;

use crate::experiment::{NetworkTable, TABLES, default_kind, take_network, take_objective};
use crate::preset::{Preset, set_default};
use crate::schedule::stand_in;
use crate::section::{Places, unknown_key};

/// `[network]` and `[objective]` of a test vector. Unlike in an experiment, what is left out is the plainest: no weighting, no
/// embedding, `parameterization = "score"`.
#[derive(Debug)]
pub struct VectorTables {
    network: Box<dyn Configured<NetworkPart>>,
    network_places: Places,
    parameterization: stein_networks::Parameterization,
    sigma_data: f64,
    conservative: bool,
    objective: Box<dyn Configured<ObjectivePart>>,
    objective_places: Places,
    weighting: Weighting,
}

/// A network and an objective for rows of some dimension.
pub struct VectorParts {
    /// The network, its parameters not yet those of the file.
    pub network: Parameterized,
    /// The objective.
    pub objective: Arc<dyn Objective>,
}

impl VectorTables {
    /// Reads them; an experiment's other tables may be there, and say nothing.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn read(source: &Source, registry: &Registry) -> Result<Self, Vec<Diagnostic>> {
        let mut root = source.parse(&[])?.into_inner();
        Preset::apply(&mut root).map_err(|d| vec![d])?;
        let word = |word: &'static str| DeValue::String(word.into());
        set_default(&mut root, "network", "parameterization", word("score"), &(0..0));
        let network_kind = root.get("network").and_then(|t| t.get_ref().as_table()?.get("kind")?.get_ref().as_str());
        let embeds = registry
            .networks
            .get(network_kind.unwrap_or("mlp"))
            .is_some_and(|e| e.keys().iter().any(|k| k == "embedding"));
        if embeds {
            set_default(&mut root, "network", "embedding", word("none"), &(0..0));
        }
        set_default(&mut root, "objective", "weighting", word("none"), &(0..0));

        let mut problems: Vec<Diagnostic> = root
            .keys()
            .filter(|key| !TABLES.contains(&key.get_ref().as_ref()))
            .map(|key| unknown_key(key, &TABLES))
            .collect();
        let (mut network_places, mut objective_places) = (Places::default(), Places::default());
        let network = take_network(&mut root, registry, &mut network_places).map_err(|d| problems.extend(d)).ok();
        let objective = take_objective(&mut root, registry, default_kind("objective"), &mut objective_places)
            .map_err(|d| problems.extend(d))
            .ok();
        let (Some(network), Some((objective, weighting, correction))) = (network, objective) else {
            return Err(problems);
        };
        let NetworkTable { network, parameterization, sigma_data, conservative } = network;
        if correction || weighting == Weighting::Likelihood {
            let key = if correction { "importance-correction" } else { "weighting" };
            let message = format!("`{key}` depends on how training draws σ, of which a vector knows nothing");
            problems.push(objective_places.diagnostic(&Invalid::key(key, message)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            network,
            network_places,
            parameterization,
            sigma_data,
            conservative,
            objective,
            objective_places,
            weighting,
        })
    }

    /// Builds them for rows of `dimension` numbers, `noisy` or not.
    ///
    /// # Errors
    /// If they don't fit each other or the rows.
    pub fn build(&self, dimension: usize, noisy: bool, device: &Device) -> Result<VectorParts, Vec<Diagnostic>> {
        let in_network = |e: Invalid| vec![self.network_places.diagnostic(&e)];
        let in_objective = |e: Invalid| vec![self.objective_places.diagnostic(&e)];
        let dataset = stand_in(dimension);
        let schedule = if noisy {
            Geometric { levels: 1.into(), ..Geometric::default() }.build(&dataset)
        } else {
            NoNoise::default().build(&dataset)
        };
        let schedule = schedule.map_err(in_network)?;
        let objective = self.objective.build(()).map_err(in_objective)?;
        objective.accepts(dimension).map_err(in_objective)?;
        if objective.needs_noise() && !noisy {
            return Err(in_objective(Invalid::key(
                "kind",
                "the objective needs `noise` and `sigma`, which are not there",
            )));
        }
        if objective.needs_exact_score() {
            let message = "the objective needs the true score, which a vector does not have";
            return Err(in_objective(Invalid::key("kind", message)));
        }
        if self.parameterization.needs_sigma() && !noisy {
            let message = "the parameterization divides by σ, and there are no `noise` and `sigma`";
            return Err(in_network(Invalid::key("parameterization", message)));
        }
        let mut noise = Streams::new(0).at("network", 0);
        let conservative = self.conservative;
        let context =
            NetworkContext { dataset: &dataset, schedule: &*schedule, device, noise: &mut noise, conservative };
        let raw = self.network.build(context).map_err(in_network)?;
        let network = Parameterized::new(raw, self.parameterization)
            .with_sigma_data(self.sigma_data)
            .conservative(self.conservative)
            .map_err(in_network)?;
        Ok(VectorParts { network, objective })
    }

    /// λ(σ).
    pub fn weight(&self, sigma: f64) -> f64 {
        self.weighting.at(WeightAt { sigma, sigma_data: self.sigma_data, draw_density: f64::NAN })
    }
}
