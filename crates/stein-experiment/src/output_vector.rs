//! What a parity file says of its network: one table of an experiment, the ladder, and the shape of a row.

use burn::tensor::Device;
use stein_core::{Component, ImageShape, Invalid, NetworkContext, Registry, SchedulePart, Streams};
use stein_networks::{ExactConfig, Parameterized};
use stein_record::source::{Diagnostic, Source};
use stein_schedules::Explicit;

use crate::experiment::{NetworkTable, take_network};
use crate::schedule::stand_in;
use crate::section::{Places, unknown_key};

/// Builds the network of a source that has a table `network` and nothing else, for rows of `dimension` numbers that may be images,
/// over the σ of a ladder.
///
/// # Errors
/// Everything that is wrong with them.
pub fn network_of(
    source: &Source,
    (dimension, image): (usize, Option<ImageShape>),
    sigmas: Vec<f64>,
    registry: &Registry,
    device: &Device,
) -> Result<Parameterized, Vec<Diagnostic>> {
    let mut root = source.parse(&[])?.into_inner();
    let mut places = Places::default();
    let table = take_network(&mut root, registry, &mut places)?;
    let unknown: Vec<Diagnostic> = root.keys().map(|key| unknown_key(key, &["network"])).collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let NetworkTable { network, parameterization, sigma_data, conservative } = table;
    let at = |invalid: Invalid| vec![places.diagnostic(&invalid)];
    if network.kind() == ExactConfig::KIND {
        return Err(at(Invalid::key("kind", "`exact` has no weights: a parity file is of a network that has")));
    }
    let mut dataset = stand_in(dimension);
    dataset.image = image;
    let ladder = Explicit { values: sigmas };
    let check = <Explicit as Component<SchedulePart>>::check(&ladder);
    let schedule = check.and_then(|()| ladder.build(&dataset));
    let schedule = schedule.map_err(|e| vec![Diagnostic::new(format!("the ladder `sigmas`: {}", e.message))])?;
    let mut noise = Streams::new(0).at("network", 0);
    let context = NetworkContext { dataset: &dataset, schedule: &*schedule, device, noise: &mut noise, conservative };
    let raw = network.build(context).map_err(at)?;
    Parameterized::new(raw, parameterization).with_sigma_data(sigma_data).conservative(conservative).map_err(at)
}
