//! One training for all runs of an experiment on the same data.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use stein_core::{Dataset, Invalid, MetricContext};
use stein_record::arrays::ArrayFile;
use stein_record::hash;

use super::Classifier;
use super::training::{BATCH, STEPS};

/// Raised when the network or its training change.
const VERSION: u32 = 1;

impl Classifier {
    /// The classifier of a context's data: read from the context's cache if it is there and whole, else trained, and kept there.
    ///
    /// # Errors
    /// If the data have no images or labels, or training was stopped.
    pub fn of(context: &MetricContext<'_>) -> Result<Self, Invalid> {
        // Samples and rows are the values themselves, whatever networks see.
        let values = context.dataset.logit.then(|| Dataset { logit: false, ..context.dataset.clone() });
        let dataset = values.as_ref().unwrap_or(context.dataset);
        let (Some(image), Some(labels)) = (dataset.image, &dataset.labels) else {
            return Err(Invalid::new("a classifier is trained on images with labels, and these data have none"));
        };
        let untrained = Self::untrained(dataset, image, labels, context.device);
        let file = context.cache.map(|folder| Self::file(folder, &untrained, dataset));
        if let Some(found) = file.as_deref().and_then(|file| read(file, &untrained, context)) {
            return Ok(found);
        }
        let watch = |step| match step % 10 {
            0 => (context.watch)("classifier", step, STEPS),
            _ => ControlFlow::Continue(()),
        };
        let trained = Self::trained(dataset, image, labels, context.device, watch);
        let trained = trained.ok_or_else(|| Invalid::new("the training of the classifier was stopped"))?;
        if let Some(file) = file {
            let arrays: BTreeMap<_, _> = trained.parameters().into_iter().collect();
            // It is only a cache: without it the next run trains again.
            let _ = ArrayFile { arrays, metadata: BTreeMap::new() }.write(&file);
        }
        Ok(trained)
    }

    /// Where it is kept: by the data's sum, labels and all that its training hangs on.
    fn file(folder: &Path, untrained: &Self, dataset: &Dataset) -> PathBuf {
        let labels = dataset.labels.iter().flat_map(|labels| &labels.train).flat_map(|label| label.to_le_bytes());
        let labels = hash::sha256(&labels.collect::<Vec<u8>>());
        let shapes: Vec<_> = untrained.parameters().into_iter().map(|(name, array)| (name, array.shape)).collect();
        let (data, width, flip) = (dataset.sha256(), dataset.dequantize, dataset.flip);
        let key = format!("{VERSION} {data} {labels} {width:?} {flip} {STEPS} {BATCH} {shapes:?}");
        folder.join(format!("classifier-{}.safetensors", &hash::sha256(key.as_bytes())[..16]))
    }
}

fn read(file: &Path, untrained: &Classifier, context: &MetricContext<'_>) -> Option<Classifier> {
    let numbers = untrained.parameters().iter().map(|(_, array)| array.data.len()).sum::<usize>();
    let mut arrays = ArrayFile::read_at_most(file, numbers).ok()??.arrays;
    let whole = arrays.values().all(|array| array.data.iter().all(|x| x.is_finite()));
    whole.then(|| untrained.clone().with_parameters(|name| arrays.remove(name), context.device)).flatten()
}
