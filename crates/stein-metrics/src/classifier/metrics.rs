//! The metrics.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Metric, MetricContext, MetricPart, NoiseSchedule};
use stein_record::{Array, Better, Estimate, MetricRecord, PartRecord};

use super::{Classifier, Read};
use crate::compare::{Reading, Sets, estimate, invalid, rows};
use crate::stats::{FRECHET_ROWS, Rows, frechet_distance, kernel_distance, nearest_rows, nearest_summary};
use crate::two_sample::metric;

/// Images of fewer numbers are told apart well enough by their pixels.
const LEAST_BY_DEFAULT: usize = 196;

metric! {
    /// What samples are to a small classifier that is trained on the data's labels: Fréchet and kernel distance, precision, recall,
    /// density, coverage and distance to training rows in its features, its confidence, and the balance of classes.
    ///
    /// Measured where nobody names it for images from 14×14 pixels. The classifier is the same for all runs on the same data, whatever
    /// their seed; an experiment's runs train it once.
    ClassifierMetrics, "classifier",
    "Heusel et al. 2017, arXiv 1706.08500; Bińkowski et al. 2018, arXiv 1801.01401; Naeem et al. 2020, arXiv 2002.09797"
}

impl Metric for ClassifierMetrics {
    fn applies(&self, dataset: &Dataset, _: &dyn NoiseSchedule) -> bool {
        dataset.image.is_some() && dataset.labels.is_some()
    }

    fn by_default(&self, dataset: &Dataset) -> bool {
        dataset.image.is_some_and(|image| image.dimension() >= LEAST_BY_DEFAULT)
    }

    fn evaluate(&self, context: &MetricContext<'_>) -> Result<Vec<MetricRecord>, Invalid> {
        let classifier = Classifier::of(context)?;
        let read = |rows: Rows<'_>| {
            let rows = Array::new([rows.len(), rows.dim()], rows.data().to_vec());
            classifier.read(&rows, context.device)
        };
        let sets = Sets::of(context)?;
        let [samples, real, gaussian, held_out] = [sets.samples, sets.real, sets.gaussian, sets.held_out].map(read);
        let features = |read: &'_ Read| read.features.clone();
        let arrays = [&samples, &real, &gaussian, &held_out].map(features);
        let sets = sets.with([&arrays[0], &arrays[1], &arrays[2], &arrays[3]])?;

        let labels = context.dataset.labels.as_ref().ok_or_else(|| Invalid::new("these data have no labels"))?;
        let right = held_out.classes.iter().zip(&labels.held_out).filter(|(a, b)| a == b).count();
        let accuracy = 100.0 * right as f64 / held_out.classes.len().max(1) as f64;
        let mut out =
            vec![confidence(&samples, &held_out, &gaussian, accuracy), balance(&samples, &held_out, labels.count)];
        out.extend(shares(&samples, &held_out, &gaussian, labels.count));
        // A covariance of fewer rows would be none.
        if sets.samples.len() >= FRECHET_ROWS {
            out.extend(distances(&sets)?);
        }
        out.extend(manifolds(&sets)?);
        out.push(nearest(&classifier, &sets, context)?);
        Ok(out)
    }
}

fn confidence(samples: &Read, held_out: &Read, gaussian: &Read, accuracy: f64) -> MetricRecord {
    let mean = |read: &Read| Estimate::mean_of(&read.confidences);
    let about = format!(
        "Mean probability of the likeliest class. A classifier is seldom at a loss, so compare the baseline; this one names {accuracy:.1} % \
         of the held-out rows rightly."
    );
    let reading =
        Reading { name: "classifier-confidence", label: "classifier's confidence", about: "", better: Better::Higher };
    // Training rows are what it was trained on: here the floor is held-out rows'.
    MetricRecord { about, ..reading.record(mean(samples), Some(mean(held_out)), Some(mean(gaussian))) }
}

/// The share of each class.
fn class_shares(read: &Read, count: usize) -> Vec<f64> {
    let mut shares = vec![0.0; count];
    read.classes.iter().for_each(|&class| shares[class as usize] += 1.0 / read.classes.len() as f64);
    shares
}

/// √(p(1 − p)/n) of a share, with p smoothed so that none is certain.
fn share(value: f64, n: usize) -> Estimate {
    let n = n as f64;
    let p = (value * n + 1.0) / (n + 2.0);
    Estimate::new(value, (p * (1.0 - p) / n).sqrt())
}

/// Half the sum of the differences of shares, and the shares.
fn balance(samples: &Read, held_out: &Read, count: usize) -> MetricRecord {
    let (own, truth) = (class_shares(samples, count), class_shares(held_out, count));
    let n = samples.classes.len();
    let distance = 0.5 * own.iter().zip(&truth).map(|(a, b)| (a - b).abs()).sum::<f64>();
    // Of shares that are right, each with its binomial scatter in both sets: the mean of |N(0, s²)| is s √(2/π).
    let scatter = |p: f64| (p * (1.0 - p) * (1.0 / n as f64 + 1.0 / held_out.classes.len() as f64)).sqrt();
    let chance = 0.5 * (2.0 / std::f64::consts::PI).sqrt() * truth.iter().map(|&p| scatter(p)).sum::<f64>();
    let variance: f64 = 0.25 * truth.iter().map(|&p| scatter(p).powi(2)).sum::<f64>();
    let reading = Reading {
        name: "class-imbalance",
        label: "imbalance of classes",
        about: "Half the sum of the differences between the classes' shares of samples and of held-out rows, classes as the classifier sees \
                them. Its floor is what chance makes of equal shares.",
        better: Better::Lower,
    };
    let record =
        reading.record(Estimate::new(distance, variance.sqrt()), Some(Estimate::new(chance, variance.sqrt())), None);
    let parts = own.iter().zip(truth).enumerate().map(|(class, (&own, truth))| PartRecord {
        label: format!("class {class}"),
        estimate: share(own, n),
        truth,
    });
    MetricRecord { parts: parts.collect(), ..record }
}

/// The smallest and the largest share of a class.
fn shares(samples: &Read, held_out: &Read, gaussian: &Read, count: usize) -> Vec<MetricRecord> {
    let of = |read: &Read, pick: fn(f64, f64) -> f64| {
        let value = class_shares(read, count).into_iter().reduce(pick).unwrap_or(f64::NAN);
        share(value, read.classes.len())
    };
    let record = |reading: Reading, pick: fn(f64, f64) -> f64| {
        reading.record(of(samples, pick), Some(of(held_out, pick)), Some(of(gaussian, pick)))
    };
    let smallest = Reading {
        name: "smallest-class",
        label: "share of the rarest class",
        about: "Of the samples, as the classifier sees them. 0: a class is never drawn.",
        better: Better::Higher,
    };
    let largest = Reading {
        name: "largest-class",
        label: "share of the commonest class",
        about: "Of the samples, as the classifier sees them. Much above held-out rows': the model collapses to one class.",
        better: Better::Lower,
    };
    vec![record(smallest, f64::min), record(largest, f64::max)]
}

fn distances(sets: &Sets<'_>) -> Result<Vec<MetricRecord>, Invalid> {
    let readings = [
        Reading {
            name: "frechet-classifier",
            label: "Fréchet distance (classifier)",
            about: "Of Gaussians fitted to the classifier's features: no FID, and not to be compared with one. Biased upwards by few samples, \
                    as its floor is.",
            better: Better::Lower,
        },
        Reading {
            name: "kernel-classifier",
            label: "kernel distance (classifier)",
            about: "Unbiased squared MMD of the classifier's features with a cubic kernel: no KID. 0 for equal laws, so it may fall below.",
            better: Better::Lower,
        },
    ];
    sets.compare(&readings, |x, reference| Ok(vec![frechet_distance(x, reference)?, kernel_distance(x, reference)?]))
}

fn manifolds(sets: &Sets<'_>) -> Result<Vec<MetricRecord>, Invalid> {
    let reading = |name, label, about| Reading { name, label, about, better: Better::Higher };
    let readings = [
        reading(
            "precision-classifier",
            "precision (classifier, k = 3)",
            "Share of samples within the k-NN manifold of held-out rows in the classifier's features.",
        ),
        reading(
            "recall-classifier",
            "recall (classifier, k = 3)",
            "Share of held-out rows within the samples' k-NN manifold in the classifier's features.",
        ),
        reading(
            "density-classifier",
            "density (classifier, k = 5)",
            "How many balls of held-out rows a sample lies in, over k, in the classifier's features: 1 for equal laws, above it where samples \
             crowd.",
        ),
        reading(
            "coverage-classifier",
            "coverage (classifier, k = 5)",
            "Share of held-out rows with a sample nearer than their fifth neighbour, in the classifier's features. Samples far off cannot \
             raise it.",
        ),
    ];
    crate::compare::manifolds(sets, &readings)
}

/// Training rows whose features are computed at most.
const MOST_TRAINING: usize = 20_000;

/// The training row nearest to each of the first `count` samples in the classifier's features, `[count, D]`, and the distances there;
/// among the first 20,000 training rows.
///
/// # Errors
/// As [`Classifier::of`].
pub fn nearest_by_features(context: &MetricContext<'_>, count: usize) -> Result<(Array, Vec<f64>), Invalid> {
    let classifier = Classifier::of(context)?;
    let train = context.train.slice(0..context.train.rows().min(MOST_TRAINING));
    let samples = context.samples.slice(0..context.samples.rows().min(count));
    let [own, known] = [&samples, &train].map(|set| classifier.read(set, context.device).features);
    let nearest = nearest_rows(rows(&own)?, rows(&known)?).map_err(invalid)?;
    let found = nearest.iter().flat_map(|n| train.row(n.index).iter().copied()).collect();
    Ok((Array::new([nearest.len(), train.row_length()], found), nearest.iter().map(|n| n.distance).collect()))
}

/// Distances to training rows, samples' over held-out rows', in features.
fn nearest(classifier: &Classifier, sets: &Sets<'_>, context: &MetricContext<'_>) -> Result<MetricRecord, Invalid> {
    let train = context.train.slice(0..context.train.rows().min(MOST_TRAINING));
    let features = classifier.read(&train, context.device).features;
    let train = rows(&features)?;
    let nearest = |set| nearest_rows(set, train).map_err(invalid);
    let held_out = nearest(sets.held_out)?;
    let ratio = |set| nearest_summary(&nearest(set)?, &held_out).map(|s| estimate(s.ratio)).map_err(invalid);
    let reading = Reading {
        name: "nearest-training-classifier",
        label: "distance to training, over held-out's (classifier)",
        about: "Median distance to the nearest training row in the classifier's features, samples over held-out rows. Well below 1 means \
                copies; the classifier has seen the training rows and may be surer of them.",
        better: Better::Near(1.0),
    };
    Ok(reading.record(ratio(sets.samples)?, None, Some(ratio(sets.gaussian)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(classes: &[u32]) -> Read {
        let n = classes.len();
        Read { features: Array::new([n, 1], vec![0.0; n]), classes: classes.to_vec(), confidences: vec![1.0; n] }
    }

    #[test]
    fn balances_by_hand() {
        let (samples, held_out) = (read(&[0, 0, 0, 1]), read(&[0, 0, 1, 1, 2, 2]));
        let record = balance(&samples, &held_out, 3);
        // Shares ¾, ¼, 0 and ⅓ each.
        let expected = 0.5 * ((0.75 - 1.0 / 3.0) + (1.0 / 3.0 - 0.25) + 1.0 / 3.0);
        assert!((record.estimate.value - expected).abs() < 1e-12);
        let parts: Vec<f64> = record.parts.iter().map(|part| part.estimate.value).collect();
        assert_eq!(parts, [0.75, 0.25, 0.0]);
        assert!(record.parts.iter().all(|part| (part.truth - 1.0 / 3.0).abs() < 1e-12));
        assert!(record.parts[2].estimate.standard_error > 0.0, "none is certain");
        let [smallest, largest] = &shares(&samples, &held_out, &held_out, 3)[..] else { panic!("two") };
        assert_eq!((smallest.estimate.value, largest.estimate.value), (0.0, 0.75));
    }

    /// Chance alone: two sets of equal shares are as far apart as the floor says.
    #[test]
    fn the_floor_of_the_imbalance_is_chance() {
        let draw = |seed: u64| {
            let mut noise = stein_core::Streams::new(seed).at("classes", 0);
            read(&(0..300).map(|_| noise.index(5) as u32).collect::<Vec<_>>())
        };
        let records: Vec<MetricRecord> = (0..200).map(|i| balance(&draw(2 * i), &draw(2 * i + 1), 5)).collect();
        let mean = |of: fn(&MetricRecord) -> f64| records.iter().map(of).sum::<f64>() / records.len() as f64;
        let (value, floor) = (mean(|r| r.estimate.value), mean(|r| r.floor.map_or(f64::NAN, |f| f.value)));
        assert!((value / floor - 1.0).abs() < 0.1, "{value} {floor}");
    }
}
