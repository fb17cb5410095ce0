//! The tables that are not components: `[training]`, `[evaluation]`, `[runtime]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::Invalid;
use stein_samplers::{Tolerance, Trace};

/// `[training]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Training {
    /// Optimiser steps; 0 for networks that need no training.
    pub steps: u64,
    /// Examples of a step.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
    /// Batches of `batch-size` whose gradients are averaged for one step.
    #[schemars(range(min = 1))]
    pub accumulate: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Steps in which the learning rate rises linearly from 0; at most half of all steps.
    pub warm_up: u64,
    /// How the learning rate goes on after that.
    pub learning_rate_schedule: LearningRateSchedule,
    /// The largest global norm of the gradient; a longer one is scaled down to it. 0 for no clipping.
    #[schemars(range(min = 0.0))]
    pub clip: f64,
    /// The decay of the exponential moving average of the weights, which is what samples are drawn with; warmed up as
    /// min(ema, (1 + n)/(10 + n)). 0 for no averaging.
    #[schemars(range(min = 0.0, max = 0.999_999_9))]
    pub ema: f64,
    /// Steps between measurements of the training loss.
    #[schemars(range(min = 1))]
    pub log_every: u64,
    /// Steps between measurements of the held-out loss (an epoch, for burn-train); 0 for a twentieth of all steps.
    pub evaluate_every: u64,
    /// Stop when the held-out loss has not improved in so many evaluations; 0 for never.
    pub patience: u64,
    /// Steps between checkpoints; 0 for one at the end only.
    pub checkpoint_every: u64,
    /// Checkpoints to keep.
    #[schemars(range(min = 1))]
    pub keep_checkpoints: usize,
    /// Steps of a run that are left out, at most, because their loss or gradient is not finite: network, optimiser and average stay
    /// as they are, and the step counts. One more ends the run, as the first does at 0. Above 0 each step is waited for, which
    /// costs time on a GPU.
    pub skip_non_finite: u64,
    /// The number type of products with weights. The weights themselves, their average, sums, norms and losses are in single precision
    /// whatever it is, and so are samples and metrics (mixed precision: Micikevicius et al. 2018, arXiv 1710.03740).
    pub precision: Precision,
    /// With `precision = "f16"`: what the loss is multiplied by on the way back, and gradients divided by afterwards, so that small ones do
    /// not become 0. A power of two.
    #[schemars(range(min = 1, max = 16_777_216))]
    pub loss_scale: u64,
    /// Where training noise is drawn.
    pub noise: WhereNoise,
    /// The probability with which an example's class is hidden from a network of classes: what it then learns is the score of
    /// the whole law, which guidance and everything that is compared with that law ask it for.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub class_dropout: f64,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            steps: 1500,
            batch_size: 128,
            accumulate: 1,
            optimizer: Optimizer::default(),
            warm_up: 50,
            learning_rate_schedule: LearningRateSchedule::Cosine,
            clip: 1.0,
            ema: 0.999,
            log_every: 10,
            evaluate_every: 0,
            patience: 0,
            checkpoint_every: 200,
            keep_checkpoints: 2,
            skip_non_finite: 0,
            precision: Precision::Single,
            loss_scale: 1,
            noise: WhereNoise::Host,
            class_dropout: 0.1,
        }
    }
}

/// The number type of products with weights in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Single precision.
    #[default]
    Single,
    /// Half precision: 11 bits of mantissa, up to 65504.
    F16,
    /// Brain floating point: 8 bits of mantissa, the range of single precision.
    Bf16,
}

impl Precision {
    /// As a file has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }
}

/// Where training noise is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WhereNoise {
    /// On the host, from counter-based streams: the same on every backend, and a resumed run continues it.
    #[default]
    Host,
    /// By the device's own generator: faster for large batches on a GPU; a run is then not reproducible bit for bit.
    Device,
}

/// How the learning rate goes on after warming up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LearningRateSchedule {
    /// Stays.
    Constant,
    /// Falls to 0 along half a cosine, which ends with the last step.
    #[default]
    Cosine,
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Optimizer {
    /// Which one.
    pub kind: OptimizerKind,
    /// The learning rate η, after warming up.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub learning_rate: f64,
    /// β₁, the decay of the gradient's mean.
    #[serde(rename = "beta-1")]
    pub beta_1: f64,
    /// β₂, the decay of its mean square.
    #[serde(rename = "beta-2")]
    pub beta_2: f64,
    /// ε, added to the root of the mean square.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub epsilon: f64,
    /// λ of `adamw`, by which a step shrinks every weight: the factor is 1 − ηλ. 0.01 if left out; `adam` has none.
    #[schemars(range(min = 0.0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

/// Which optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OptimizerKind {
    /// Adam (Kingma & Ba 2015, arXiv 1412.6980).
    #[default]
    Adam,
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv 1711.05101).
    Adamw,
}

impl Default for Optimizer {
    fn default() -> Self {
        Self {
            kind: OptimizerKind::Adam,
            learning_rate: 1e-3,
            beta_1: 0.9,
            beta_2: 0.999,
            epsilon: 1e-8,
            weight_decay: None,
        }
    }
}

impl Optimizer {
    /// λ of this kind.
    pub fn decay(&self) -> f64 {
        match self.kind {
            OptimizerKind::Adam => 0.0,
            OptimizerKind::Adamw => self.weight_decay.unwrap_or(0.01),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        let &Self { learning_rate: rate, beta_1, beta_2, epsilon, .. } = self;
        let decay = self.decay();
        let fail = |key: &str, message: String| Err(Invalid::key(&format!("optimizer.{key}"), message));
        if !(rate > 0.0 && rate.is_finite()) {
            return fail("learning-rate", format!("`learning-rate` is {rate}; it must be above 0 and finite"));
        }
        for (name, beta) in [("beta-1", beta_1), ("beta-2", beta_2)] {
            if !(0.0..1.0).contains(&beta) {
                return fail(name, format!("`{name}` is {beta}; it must be at least 0 and below 1"));
            }
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return fail("epsilon", format!("`epsilon` is {epsilon}; it must be above 0 and finite"));
        }
        if self.kind == OptimizerKind::Adam && self.weight_decay.is_some() {
            return fail("weight-decay", "`adam` has no `weight-decay`; `adamw` has".into());
        }
        if !(decay >= 0.0 && decay.is_finite()) {
            return fail("weight-decay", format!("`weight-decay` is {decay}; it must be at least 0 and finite"));
        }
        Ok(())
    }
}

impl Training {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn check(&self) -> Result<(), Invalid> {
        Invalid::unless_some("batch-size", self.batch_size)?;
        Invalid::unless_some("accumulate", self.accumulate)?;
        Invalid::unless_some("log-every", self.log_every as usize)?;
        Invalid::unless_some("keep-checkpoints", self.keep_checkpoints)?;
        self.optimizer.check()?;
        if !(self.clip >= 0.0 && self.clip.is_finite()) {
            let clip = self.clip;
            return Err(Invalid::key("clip", format!("`clip` is {clip}; it must be at least 0 and finite")));
        }
        if !(0.0..1.0).contains(&self.ema) {
            let ema = self.ema;
            return Err(Invalid::key("ema", format!("`ema` is {ema}; it must be at least 0 and below 1")));
        }
        let dropout = self.class_dropout;
        if !(dropout > 0.0 && dropout < 1.0) {
            let message = format!(
                "`class-dropout` is {dropout}; it must be above 0, for the network to learn the null token, and below 1"
            );
            return Err(Invalid::key("class-dropout", message));
        }
        self.check_loss_scale()?;
        for (key, value) in
            [("steps", self.steps), ("batch-size", self.batch_size as u64), ("accumulate", self.accumulate as u64)]
        {
            if value > 1_000_000_000 {
                return Err(Invalid::key(key, format!("`{key}` is {value}; it must be at most 1000000000")));
            }
        }
        Ok(())
    }

    fn check_loss_scale(&self) -> Result<(), Invalid> {
        const MOST: u64 = 1 << 24;
        let scale = self.loss_scale;
        if !scale.is_power_of_two() || scale > MOST {
            let message = format!("`loss-scale` is {scale}; it must be a power of two from 1 to {MOST}");
            return Err(Invalid::key("loss-scale", message));
        }
        if scale > 1 && self.precision != Precision::F16 {
            let message = format!(
                "`loss-scale` is {scale}; without precision = \"f16\" gradients do not become 0, so it must be 1"
            );
            return Err(Invalid::key("loss-scale", message));
        }
        Ok(())
    }

    /// Examples of a step.
    pub fn examples(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulate)
    }

    /// Steps between measurements of the held-out loss.
    pub fn evaluation_period(&self) -> u64 {
        match self.evaluate_every {
            0 => (self.steps / 20).max(1),
            n => n,
        }
    }

    /// The learning rate of step `step`, counted from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let base = self.optimizer.learning_rate;
        let warm_up = self.warm_up.min(self.steps / 2);
        if step < warm_up {
            return base * (step + 1) as f64 / warm_up as f64;
        }
        match self.learning_rate_schedule {
            LearningRateSchedule::Constant => base,
            LearningRateSchedule::Cosine => {
                let rest = (self.steps - warm_up).max(1) as f64;
                let done = ((step - warm_up) as f64 / rest).min(1.0);
                base * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }

    /// The decay of the moving average at its update number `n`, counted from 0.
    pub fn ema_decay(&self, n: u64) -> f64 {
        self.ema.min((1.0 + n as f64) / (10.0 + n as f64))
    }
}

/// Samples, and held-out rows, that metrics need at least.
pub const LEAST_ROWS: usize = 8;
/// Samples that are drawn at most.
pub const MOST_SAMPLES: usize = 10_000_000;

/// `[evaluation]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Evaluation {
    /// Samples to draw.
    #[schemars(range(min = 8, max = 10_000_000))]
    pub samples: usize,
    /// The kinds of metrics to measure; all that say anything about the data if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Vec<String>>,
    /// The weights of the Inception network, by which FID and KID are measured of images: a file from where the program is run, if
    /// it is no absolute path. It is pytorch-fid's `pt_inception-2015-12-05-6726825d.pth`, of its release `fid_weights`, as it
    /// comes, or a safetensors file of its tensors. No such metrics if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inception: Option<String>,
    /// Chains at a time; bounds memory, does not change the samples.
    #[schemars(range(min = 1))]
    pub chunk: usize,
    /// Chains whose way is recorded for the report's pictures.
    pub trajectories: usize,
    /// Moments of that way.
    #[schemars(range(min = 2))]
    pub frames: usize,
    /// Rows of each set that the loss of each level is measured on.
    #[schemars(range(min = 2))]
    pub level_rows: usize,
    /// Batches that the variance of the gradient is measured on at each level, for each objective in `estimators`, or for the
    /// trained one if that is left out; 0 for no such measurement.
    #[schemars(range(min = 0, max = 100000))]
    pub estimator_batches: usize,
    /// Whether to measure how far the sampler ends from where the probability flow does; for samplers that solve it.
    pub solver_error: bool,
    /// Whether, and how, the log-likelihood of held-out rows is computed by the probability flow; not if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
    /// Whether, and how, the density of a network that knows it up to a constant is normalised, and the log-likelihood of held-out
    /// rows computed by it; not if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_z: Option<LogZ>,
}

/// `[evaluation] likelihood`: the log-density of held-out rows at the smallest noise level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Likelihood {
    /// Held-out rows to take, as far as there are that many.
    #[schemars(range(min = 2, max = 10_000_000))]
    pub rows: usize,
    /// Whether the rows get the noise of the smallest level. Then nothing is likelier than the true law, and a lower bound of
    /// the reverse SDE's log-likelihood, by its loss weighted by g², is measured at such rows too.
    pub noisy: bool,
    /// How the divergence of the flow is computed.
    pub divergence: Trace,
    /// Random directions a path, for `hutchinson`.
    #[schemars(range(min = 1, max = 4096))]
    pub probes: usize,
    /// The error of a step that is allowed over |x| and over the log-density.
    #[schemars(range(min = 1e-7, max = 0.1))]
    pub rtol: f64,
    /// The error that is allowed beside that.
    #[schemars(range(min = 1e-7, max = 0.1))]
    pub atol: f64,
    /// The density at the largest noise level.
    pub terminal: Terminal,
}

/// The density at the largest noise level, where the flow ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Terminal {
    /// N(α₁ m, σ₁² I) with the data's mean m: what samplers start from.
    #[default]
    Gaussian,
    /// The target's own, where it is known: what is left is the error of score and solver.
    Target,
}

impl Default for Likelihood {
    fn default() -> Self {
        let Tolerance { rtol, atol } = Tolerance::default();
        Self { rows: 256, noisy: false, divergence: Trace::Exact, probes: 1, rtol, atol, terminal: Terminal::Gaussian }
    }
}

impl Likelihood {
    /// How exactly the flow is solved.
    pub fn tolerance(&self) -> Tolerance {
        Tolerance { rtol: self.rtol, atol: self.atol }
    }

    fn check(&self) -> Result<(), Invalid> {
        let refuse = |key: &str, value: usize, allowed: &str| {
            Err(Invalid::key(key, format!("`{key}` is {value}; it must be {allowed}")))
        };
        match *self {
            Self { rows, .. } if rows < 2 => refuse("rows", rows, "at least 2, for a standard error"),
            Self { rows, .. } if rows > MOST_SAMPLES => refuse("rows", rows, &format!("at most {MOST_SAMPLES}")),
            Self { probes, .. } if !(1..=4096).contains(&probes) => refuse("probes", probes, "from 1 to 4096"),
            _ => self.tolerance().check(),
        }
    }
}

/// `[evaluation] log-z`: log ∫ p̃ at the smallest noise level by annealed importance sampling (Neal 2001, arXiv physics/9803008),
/// for networks that have a density p̃. From a Gaussian fitted to the training rows, q₀, chains go along q₀^(1−β) p̃^β.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LogZ {
    /// Chains: the standard error goes with one over their root.
    #[schemars(range(min = 2, max = 10_000_000))]
    pub chains: usize,
    /// Steps of β from 0 to 1, spaced by what a pilot sees: more of them make the chains' weights more even.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub temperatures: usize,
    /// Leapfrog steps of the Hamiltonian trajectory at each β; their size follows from the pilot.
    #[schemars(range(min = 1, max = 10_000))]
    pub leapfrog_steps: usize,
    /// Held-out rows for the log-likelihood, as far as there are that many; they get the noise of the smallest level.
    #[schemars(range(min = 2, max = 10_000_000))]
    pub rows: usize,
}

impl Default for LogZ {
    fn default() -> Self {
        Self { chains: 1024, temperatures: 200, leapfrog_steps: 3, rows: 1024 }
    }
}

impl LogZ {
    fn check(&self) -> Result<(), Invalid> {
        let keys = [
            ("chains", self.chains, 2, MOST_SAMPLES),
            ("temperatures", self.temperatures, 1, 1_000_000),
            ("leapfrog-steps", self.leapfrog_steps, 1, 10_000),
            ("rows", self.rows, 2, MOST_SAMPLES),
        ];
        match keys.into_iter().find(|&(_, value, least, most)| !(least..=most).contains(&value)) {
            Some((key, value, least, most)) => {
                Err(Invalid::key(key, format!("`{key}` is {value}; it must be from {least} to {most}")))
            }
            None => Ok(()),
        }
    }
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            samples: 360,
            metrics: None,
            inception: None,
            chunk: 512,
            trajectories: 64,
            frames: 24,
            level_rows: 2048,
            estimator_batches: 0,
            solver_error: false,
            likelihood: None,
            log_z: None,
        }
    }
}

impl Evaluation {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub fn check(&self) -> Result<(), Invalid> {
        let at_least = |key: &str, value: usize, least: usize| {
            if value >= least {
                return Ok(());
            }
            Err(Invalid::key(key, format!("`{key}` is {value}; it must be at least {least}")))
        };
        // k-NN, U-statistics and medians need some rows to say anything at all.
        at_least("samples", self.samples, LEAST_ROWS)?;
        at_least("chunk", self.chunk, 1)?;
        at_least("frames", self.frames, 2)?;
        at_least("level-rows", self.level_rows, 2)?;
        Invalid::unless_at_most("estimator-batches", self.estimator_batches, 100_000)?;
        if self.estimator_batches == 1 {
            return Err(Invalid::key("estimator-batches", "`estimator-batches` is 1; a variance needs at least 2"));
        }
        for (key, value) in [("samples", self.samples), ("level-rows", self.level_rows)] {
            if value > MOST_SAMPLES {
                return Err(Invalid::key(key, format!("`{key}` is {value}; it must be at most {MOST_SAMPLES}")));
            }
        }
        let within = |table: &str, e: Invalid| Invalid { key: e.key.map(|key| format!("{table}.{key}")), ..e };
        self.likelihood.as_ref().map_or(Ok(()), |asked| asked.check().map_err(|e| within("likelihood", e)))?;
        self.log_z.as_ref().map_or(Ok(()), |asked| asked.check().map_err(|e| within("log-z", e)))
    }
}

/// `[runtime]`: what should not change results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Runtime {
    /// Whether burn may fuse operations on a GPU.
    pub fusion: bool,
    /// Whether norms and activations are computed again on the way back instead of being kept (gradient checkpointing: Chen et al. 2016,
    /// arXiv 1604.06174): less memory for a little time, and the same gradients. On a GPU sums are computed again too; with
    /// `training.precision` copies of half the bits of what goes into products are kept all the same.
    pub gradient_checkpointing: bool,
}

impl Default for Runtime {
    fn default() -> Self {
        Self { fusion: true, gradient_checkpointing: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_scale_is_a_power_of_two_and_of_half_precision() {
        let check = |precision, loss_scale| Training { precision, loss_scale, ..Training::default() }.check();
        check(Precision::F16, 1 << 24).unwrap();
        check(Precision::Bf16, 1).unwrap();
        for (precision, scale, problem) in [
            (Precision::F16, 0, "power of two"),
            (Precision::F16, 3, "power of two"),
            (Precision::F16, 1 << 25, "to 16777216"),
            (Precision::Bf16, 2, "must be 1"),
            (Precision::Single, 2, "must be 1"),
        ] {
            let error = check(precision, scale).unwrap_err();
            assert!(error.message.contains(problem), "{error:?}");
            assert_eq!(error.key.as_deref(), Some("loss-scale"));
        }
    }

    #[test]
    fn the_learning_rate_warms_up_and_falls_to_zero() {
        let training = Training { steps: 1000, warm_up: 100, ..Training::default() };
        assert!((training.learning_rate(0) - 1e-5).abs() < 1e-12);
        assert!((training.learning_rate(99) - 1e-3).abs() < 1e-12);
        assert!((training.learning_rate(100) - 1e-3).abs() < 1e-12);
        assert!((training.learning_rate(550) - 5e-4).abs() < 1e-12, "half way along the cosine");
        assert!(training.learning_rate(999) < 1e-8);
        // burn's own cosine rises again past its end; this one stays down.
        assert!(training.learning_rate(2000) < 1e-12);
    }

    #[test]
    fn likelihoods_out_of_range_are_refused_at_their_key() {
        let key = |likelihood| {
            let evaluation = Evaluation { likelihood: Some(likelihood), ..Evaluation::default() };
            evaluation.check().expect_err("out of range").key.expect("a key")
        };
        assert_eq!(key(Likelihood { rows: 1, ..Likelihood::default() }), "likelihood.rows");
        assert_eq!(key(Likelihood { probes: 0, ..Likelihood::default() }), "likelihood.probes");
        assert_eq!(key(Likelihood { rtol: 1e-9, ..Likelihood::default() }), "likelihood.rtol");
        assert_eq!(key(Likelihood { atol: f64::NAN, ..Likelihood::default() }), "likelihood.atol");
        let usual = Evaluation { likelihood: Some(Likelihood::default()), ..Evaluation::default() };
        assert_eq!(usual.check(), Ok(()));
    }

    #[test]
    fn log_z_out_of_range_is_refused_at_its_key() {
        let check = |log_z| Evaluation { log_z: Some(log_z), ..Evaluation::default() }.check();
        let refused = check(LogZ { chains: 1, ..LogZ::default() }).expect_err("out of range");
        assert_eq!(refused.key.as_deref(), Some("log-z.chains"));
        assert!(refused.message.contains("`chains` is 1; it must be from 2 to 10000000"), "{}", refused.message);
        assert!(check(LogZ { temperatures: 0, ..LogZ::default() }).is_err());
        assert!(check(LogZ { leapfrog_steps: 0, ..LogZ::default() }).is_err());
        assert!(check(LogZ { rows: 1, ..LogZ::default() }).is_err());
        assert_eq!(check(LogZ::default()), Ok(()));
    }

    #[test]
    fn what_is_left_out_is_not_written() {
        let table = |evaluation: Evaluation| {
            stein_core::without_defaults::<Evaluation>(toml::Table::try_from(evaluation).expect("a table"))
        };
        assert!(table(Evaluation::default()).is_empty());
        // Asked for with nothing but defaults, it is still asked for.
        let usual = table(Evaluation { likelihood: Some(Likelihood::default()), ..Evaluation::default() });
        assert_eq!(usual.to_string().trim(), "[likelihood]");
    }

    #[test]
    fn the_average_warms_up() {
        let training = Training::default();
        assert_eq!(training.ema_decay(0), 0.1);
        assert_eq!(training.ema_decay(90), 0.91);
        assert_eq!(training.ema_decay(100_000), 0.999);
    }
}
