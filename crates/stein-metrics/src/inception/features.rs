//! Features of sets of pictures: those that are known, and the network's of the others.

use stein_core::{Dataset, Invalid, MetricContext, Streams};
use stein_record::Array;

use super::{Inception, InceptionWeights, Pictures, cache};

/// Pictures of a set at most: what published numbers are of.
pub(super) const MOST_PICTURES: usize = 50_000;

/// Pictures whose features are asked for.
pub(super) struct Asked {
    pictures: Pictures,
    /// Whether other runs have the same ones.
    of_data: bool,
}

impl Asked {
    /// Samples, or a Gaussian's rows: new in each run.
    pub(super) fn drawn(rows: &Array, dataset: &Dataset) -> Result<Self, Invalid> {
        Ok(Self { pictures: Pictures::of(rows, dataset)?, of_data: false })
    }

    /// Rows of the data set before dequantisation.
    pub(super) fn data(rows: &Array, dataset: &Dataset) -> Result<Self, Invalid> {
        Ok(Self { pictures: Pictures::of_data(rows, dataset)?, of_data: true })
    }

    /// `n` training rows before dequantisation, the same for all runs on the same data, whatever their seed.
    pub(super) fn training(dataset: &Dataset, n: usize) -> Result<Self, Invalid> {
        let mut order: Vec<usize> = (0..dataset.train.rows()).collect();
        Streams::new(0).at("inception", 0).shuffle(&mut order);
        let rows = order[..n].iter().flat_map(|&i| dataset.train.row(i).iter().copied()).collect();
        Self::data(&Array::new([n, dataset.dimension()], rows), dataset)
    }
}

/// The features `[n, 2048]` of each set; those of data are kept for the next run.
pub(super) fn features_of<const SETS: usize>(
    context: &MetricContext<'_>,
    weights: &InceptionWeights,
    sha256: &str,
    sets: [Asked; SETS],
) -> Result<[Array; SETS], Invalid> {
    let files: [_; SETS] = std::array::from_fn(|i| {
        context.cache.filter(|_| sets[i].of_data).map(|folder| cache::file(folder, &sets[i].pictures, sha256))
    });
    let mut known: [Option<Array>; SETS] =
        std::array::from_fn(|i| files[i].as_deref().and_then(|file| cache::known(file, sets[i].pictures.len())));
    let is_new = |(known, _): &(&Option<Array>, &Asked)| known.is_none();
    let all = known.iter().zip(&sets).filter(is_new).map(|(_, set)| set.pictures.len()).sum();
    if all == 0 {
        return Ok(known.map(Option::unwrap_or_default));
    }
    let network = Inception::new(weights, context.device).map_err(Invalid::new)?;
    let mut done = 0;
    for ((known, set), file) in known.iter_mut().zip(&sets).zip(&files).filter(|((known, _), _)| known.is_none()) {
        let watch = |own: usize| (context.watch)("inception", done + own, all);
        let found = network.features(&set.pictures, watch);
        let found = found.ok_or_else(|| Invalid::new("the features of the pictures were stopped"))?;
        if let Some(file) = file {
            cache::keep(file, &found);
        }
        *known = Some(found);
        done += set.pictures.len();
    }
    Ok(known.map(Option::unwrap_or_default))
}
