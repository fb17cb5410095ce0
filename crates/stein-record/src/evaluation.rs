//! `evaluation.json`: how good the samples and the score are, with standard errors, floors and baselines.

use serde::{Deserialize, Serialize};

/// A number and its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimate.
    #[serde(with = "crate::float")]
    pub value: f64,
    /// Its standard error: what a repetition with other samples would scatter by.
    #[serde(with = "crate::float")]
    pub standard_error: f64,
}

impl Estimate {
    /// An estimate with its standard error.
    pub fn new(value: f64, standard_error: f64) -> Self {
        Self { value, standard_error }
    }

    /// The mean of some independent numbers with its standard error, sd/√n (NaN below two numbers).
    pub fn mean_of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        Self::new(mean, (variance / n).sqrt())
    }
}

/// Which values of a metric are good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The smaller the better.
    Lower,
    /// The larger the better.
    Higher,
    /// The nearer to this the better.
    Near(f64),
    /// None is better than another: a quantity of the model, no measure of it.
    Neither,
}

/// One metric of the samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// The key, unique in an evaluation: `precision`, `mmd2-median/3`, …
    pub name: String,
    /// What a page calls it.
    pub label: String,
    /// One sentence: what it tells and what can fool it.
    pub about: String,
    /// Which values are good.
    pub better: Better,
    /// Of the samples.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// The same with real data in place of samples: what a perfect model gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Estimate>,
    /// The same with a Gaussian fitted to the training data in place of samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Estimate>,
    /// What it is the mean of, for metrics that are measured at noise levels, largest σ first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_level: Vec<AtLevel>,
    /// What it is made of, for metrics that sum up a few numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartRecord>,
}

/// One of the numbers that a metric sums up: the share of a class, say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    /// What a page calls it.
    pub label: String,
    /// Of the samples.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Of held-out data.
    #[serde(with = "crate::float")]
    pub truth: f64,
}

/// A metric at one noise level.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct AtLevel {
    /// The level's σ; 0 without noise.
    pub sigma: f64,
    /// The value there.
    #[serde(flatten)]
    pub estimate: Estimate,
}

/// The loss at one noise level, unweighted, of the averaged (EMA) network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelRecord {
    /// The level's σ.
    pub sigma: f64,
    /// λ(σ), by which training weighs this level.
    pub weight: f64,
    /// The objective on training rows.
    pub train: Estimate,
    /// The objective on held-out rows.
    pub held_out: Estimate,
    /// The loss of the true score, where the density that held-out rows come from is known; same noise. The lowest value that any
    /// network can reach in expectation (for finite differences as ε goes to 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Estimate>,
    /// The loss of the training set's own smoothed score on training rows: the empirical optimum, memorisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorising_train: Option<Estimate>,
    /// The same on held-out rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memorising_held_out: Option<Estimate>,
    /// The loss of the best linear (Wiener) score, that of a Gaussian fitted to the training rows, on held-out rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaussian_held_out: Option<Estimate>,
    /// σ² times the Fisher divergence ½E‖s − ∇log p_σ‖² to the known density; without noise (σ = 0) the divergence itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fisher: Option<Estimate>,
    /// The Fisher divergence over ½E‖∇log p_σ‖².
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative_fisher: Option<Estimate>,
    /// ½E‖s(x, σ) − ∇log p(x)‖² over clean x: how far the score at this level is from that of the clean density.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clean_fisher: Option<Estimate>,
}

/// How noisy an objective is, and what it costs, at one network and one noise level. All of a list are measured on the same
/// examples and with the same network; the first of a level is what the others are compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EstimatorRecord {
    /// What it is called: unique at a level.
    pub name: String,
    /// The level's σ; 0 without noise.
    pub sigma: f64,
    /// The mean of its loss.
    pub loss: Estimate,
    /// The mean of its loss minus that of the first, on the same examples.
    pub difference: Estimate,
    /// The variance of that difference between examples: the estimator's own noise, where the first is exact.
    pub difference_variance: Estimate,
    /// ‖E g‖², the squared norm of the mean gradient in the parameters (unbiased). All gradients are of λ(σ) times the loss, as
    /// training has them.
    pub gradient_square: Estimate,
    /// ‖E (g − g₁)‖², how far its mean gradient is from that of the first (unbiased, so it may be below 0).
    pub gradient_difference: Estimate,
    /// The trace of the covariance of one example's gradient.
    pub gradient_variance: Estimate,
    /// Seconds of one loss and gradient of a batch.
    pub seconds: Estimate,
    /// The most memory that one loss and gradient held at a time, in bytes, where it could be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
}

/// How samples spread over the modes of a known mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Modes {
    /// The true weights.
    pub truth: Vec<f64>,
    /// The standard error of each estimated weight.
    #[serde(with = "crate::float::list")]
    pub standard_error: Vec<f64>,
    /// The fraction of samples far from every mode.
    pub stray: Estimate,
    /// The same of draws from the truth.
    pub stray_truth: Estimate,
}

/// What was drawn given a measurement, y = A x + σ_y n.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InverseRecord {
    /// The kind of measurement.
    pub kind: String,
    /// How samples were made to agree with it.
    pub method: String,
    /// σ_y.
    pub sigma_y: f64,
    /// Held-out rows that were measured.
    pub observed: usize,
    /// Samples for each of them.
    pub repeats: usize,
    /// The rank of A.
    pub measurements: usize,
    /// Evaluations of the score, and of its derivatives, that such a sample took.
    pub nfe: f64,
    /// Seconds that it took.
    pub seconds: f64,
}

/// What classes samples are of, where the network knows any.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassRecord {
    /// K.
    pub count: usize,
    /// The class of all samples; without one, sample i is of class i mod K.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// w of (1 + w) s(x, c) − w s(x); at −1 samples are of no class.
    pub guidance: f64,
}

impl ClassRecord {
    /// The class of a sample.
    pub fn of(&self, sample: usize) -> Option<usize> {
        if self.guidance == -1.0 || self.count == 0 {
            return None;
        }
        Some(self.class.map_or(sample % self.count, |class| class as usize))
    }
}

/// The evaluation of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// How many samples were drawn.
    pub samples: usize,
    /// Evaluations of the score that a sample took, mean over the samples.
    pub nfe: u64,
    /// The mean probability with which proposals were accepted, for samplers that reject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acceptance: Option<f64>,
    /// Seconds that sampling took.
    pub sampling_seconds: f64,
    /// Training steps of the network.
    pub step: u64,
    /// The metrics, in the order in which a page shows them.
    pub metrics: Vec<MetricRecord>,
    /// The losses per level, largest σ first.
    #[serde(default)]
    pub levels: Vec<LevelRecord>,
    /// Objectives measured at the trained network, level by level, largest σ first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub estimators: Vec<EstimatorRecord>,
    /// The samples' mode weights, where the modes are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode_weights: Option<Vec<f64>>,
    /// What belongs to `mode_weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modes: Option<Modes>,
    /// The samples' classes, where the network knows any. What is measured of the score is measured without a class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<ClassRecord>,
    /// What was drawn given a measurement; its metrics are `completion-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inverse: Option<InverseRecord>,
    /// σ at each frame of `samples/trajectory.npy`; 0 for the final, denoised one.
    #[serde(default)]
    pub trajectory_sigmas: Vec<f64>,
    /// For each image of `samples/nearest.npy` its distance to the sample.
    #[serde(default)]
    pub nearest_distances: Vec<f64>,
    /// For each image of `samples/nearest-classifier.npy` its distance to the sample in the classifier's features.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nearest_classifier_distances: Vec<f64>,
}

impl Evaluation {
    /// The metric of that name.
    pub fn metric(&self, name: &str) -> Option<&MetricRecord> {
        self.metrics.iter().find(|m| m.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_may_have_its_levels_or_none() {
        let old = r#"{"name":"m","label":"M","about":"","better":"lower","value":1.5,"standard_error":"NaN"}"#;
        let mut metric: MetricRecord = serde_json::from_str(old).unwrap();
        assert!(metric.by_level.is_empty() && metric.estimate.value == 1.5);
        assert_eq!(serde_json::to_string(&metric).unwrap(), old);
        let at = |sigma, value| AtLevel { sigma, estimate: Estimate::new(value, 0.5) };
        metric.by_level = vec![at(2.0, 1.0), at(0.0, f64::INFINITY)];
        let text = serde_json::to_string(&metric).unwrap();
        assert!(text.contains(r#""by_level":[{"sigma":2.0,"value":1.0,"standard_error":0.5},"#), "{text}");
        let read: MetricRecord = serde_json::from_str(&text).unwrap();
        assert_eq!(read.by_level, metric.by_level);
    }
}
