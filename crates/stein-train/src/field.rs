//! Density and score on a grid, for 2-D data: what a report draws as arrows and heat.

use burn::tensor::{Device, Tensor};
use stein_core::{Component, Condition, Level, ScoreNetwork, matrix, to_host};
use stein_experiment::Plan;
use stein_networks::ExactConfig;
use stein_record::arrays::ArrayFile;
use stein_record::{Array, RecordError, RunDir};

use crate::quadrature::{around, integrate};

/// Points along each axis.
const GRID: usize = 41;
/// At most so many levels.
const LEVELS: usize = 6;
/// The change of log Z between two grids at which a density is normalised well enough for a picture.
const TOLERANCE: f64 = 1e-3;
/// The change beyond which the finest grid is too coarse for the density.
const UNSETTLED: f64 = 0.05;

/// Writes `evaluation/field.safetensors`; nothing unless the data are 2-D.
pub(crate) fn write(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    samples: &Array,
    device: &Device,
    run: &RunDir,
) -> Result<(), RecordError> {
    if plan.dataset.dimension() != 2 {
        return Ok(());
    }
    let axes = [0, 1].map(|axis| axis_of(&plan.dataset.held_out, samples, axis));
    let points: Vec<f32> = axes[1].iter().flat_map(|&y| axes[0].iter().flat_map(move |&x| [x, y])).collect();
    let x = matrix(points, 2, device);
    let levels = chosen(plan.schedule.levels());
    let (mut learned, mut exact, mut density) = (Vec::new(), Vec::new(), Vec::new());
    let mut learned_density = Vec::new();
    // The exact network's own density is the true one.
    let learns = plan.experiment.network.kind() != ExactConfig::KIND;
    let target = plan.dataset.target_at(&levels);
    for &level in &levels {
        let condition = Condition::uniform(level, GRID * GRID, device);
        learned.extend(to_host(network.score(x.clone(), &condition)));
        if learns {
            learned_density.extend(normalised(plan, network, &x, level, device).into_iter().flatten());
        }
        if let Some(target) = target {
            exact.extend(to_host(target.score(x.clone(), &condition)));
            density.extend(to_host(target.log_density(x.clone(), &condition).exp()));
        }
    }
    let mut file = ArrayFile::default();
    let mut put = |name: &str, shape: &[usize], data: Vec<f32>| {
        if !data.is_empty() {
            file.arrays.insert(name.into(), Array::new(shape, data));
        }
    };
    let [x_axis, y_axis] = axes;
    put("x", &[GRID], x_axis);
    put("y", &[GRID], y_axis);
    put("sigma", &[levels.len()], levels.iter().map(|l| l.sigma as f32).collect());
    put("learned_score", &[levels.len(), GRID, GRID, 2], learned);
    put("true_score", &[levels.len(), GRID, GRID, 2], exact);
    put("density", &[levels.len(), GRID, GRID], density);
    put("learned_density", &[levels.len(), GRID, GRID], learned_density);
    file.write(&run.field())
}

/// The network's density at the points `x`, normalised over a rectangle that is wider than a picture, NaN where no grid on it tells
/// the normaliser; `None` if it has none.
fn normalised(
    plan: &Plan,
    network: &dyn ScoreNetwork,
    x: &Tensor<2>,
    level: Level,
    device: &Device,
) -> Option<Vec<f32>> {
    let integral = integrate(network, level, around(plan, level), TOLERANCE, device)?;
    let settled = integral.change < UNSETTLED && !integral.has_more_beyond();
    let log_z = if settled { integral.log } else { f64::NAN };
    let condition = Condition::uniform(level, x.dims()[0], device);
    let logs = to_host(network.log_density(x.clone(), &condition)?);
    Some(logs.into_iter().map(|log| (f64::from(log) - log_z).exp() as f32).collect())
}

/// An axis around the middle 99 % of the data, with a margin.
fn axis_of(data: &Array, samples: &Array, axis: usize) -> Vec<f32> {
    let mut values: Vec<f32> =
        [data, samples].iter().flat_map(|a| a.data.iter().skip(axis).step_by(2)).copied().collect();
    values.sort_by(f32::total_cmp);
    let at = |q: f64| values[((values.len() - 1) as f64 * q) as usize];
    let (low, high) = (at(0.005), at(0.995));
    let margin = 0.25 * (high - low).max(1e-3);
    let (low, high) = (low - margin, high + margin);
    (0..GRID).map(|i| low + (high - low) * i as f32 / (GRID - 1) as f32).collect()
}

/// Up to [`LEVELS`] levels, the first and the last among them.
fn chosen(levels: &[Level]) -> Vec<Level> {
    let n = levels.len().min(LEVELS);
    (0..n).map(|i| levels[if n == 1 { 0 } else { i * (levels.len() - 1) / (n - 1) }]).collect()
}
