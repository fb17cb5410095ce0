//! `[inverse]`: what is known of the samples that are drawn beside the free ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Configured, Dataset, Invalid, InversePart, NoiseSchedule, Registry, Sampler};
use stein_record::Array;
use stein_record::source::Diagnostic;
use stein_samplers::inverse::{Measurement, Method};
use toml::de::DeTable;

use crate::MOST_SAMPLES;
use crate::section::{Places, Section};

/// The keys of every inverse problem, beside its own.
pub(crate) const INVERSE_KEYS: [&str; 5] = ["conditioning", "sigma-y", "observed", "repeats", "iterations"];

/// How an inverse problem is posed and solved; keys of every one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Conditioning {
    /// How samples are made to agree with what was measured.
    #[serde(rename = "conditioning")]
    pub method: Method,
    /// σ_y, the standard deviation of the measurement's noise.
    #[schemars(range(min = 0.0))]
    pub sigma_y: f64,
    /// Held-out rows that are measured, the first so many.
    #[schemars(range(min = 2))]
    pub observed: usize,
    /// Samples that are drawn for each of them.
    #[schemars(range(min = 2))]
    pub repeats: usize,
    /// Iterations of `moment-matching`, each a derivative of the score.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: usize,
}

impl Default for Conditioning {
    fn default() -> Self {
        Self { method: Method::default(), sigma_y: 0.0, observed: 16, repeats: 8, iterations: 3 }
    }
}

impl Conditioning {
    fn check(&self) -> Result<(), Invalid> {
        let &Self { sigma_y, observed, repeats, iterations, .. } = self;
        if !(sigma_y >= 0.0 && sigma_y.is_finite()) {
            return Err(Invalid::key("sigma-y", format!("`sigma-y` is {sigma_y}; it must be at least 0 and finite")));
        }
        for (key, value) in [("observed", observed), ("repeats", repeats)] {
            if value < 2 {
                return Err(Invalid::key(
                    key,
                    format!("`{key}` is {value}; it must be at least 2, for a mean and an error"),
                ));
            }
        }
        Invalid::unless_at_most("repeats", repeats, MOST_SAMPLES / observed.min(MOST_SAMPLES))?;
        Invalid::unless_some("iterations", iterations)?;
        Invalid::unless_at_most("iterations", iterations, 1000)
    }
}

/// `[inverse]`.
#[derive(Debug)]
pub struct Inverse {
    /// What is measured.
    pub problem: Box<dyn Configured<InversePart>>,
    /// How it is solved.
    pub conditioning: Conditioning,
}

/// Reads `[inverse]`; none if it is absent.
pub(crate) fn take_inverse(
    root: &mut DeTable<'_>,
    registry: &Registry,
    places: &mut Places,
) -> Result<Option<Inverse>, Vec<Diagnostic>> {
    let mut section = Section::take(root, "inverse").map_err(|d| vec![d])?;
    *places = section.places();
    if section.is_absent() {
        return Ok(None);
    }
    let conditioning = conditioning(&mut section).map_err(|d| vec![d])?;
    conditioning.check().map_err(|invalid| vec![places.diagnostic(&invalid)])?;
    Ok(Some(Inverse { problem: section.component(&registry.inverse, None, &INVERSE_KEYS)?, conditioning }))
}

fn conditioning(section: &mut Section<'_>) -> Result<Conditioning, Diagnostic> {
    let default = Conditioning::default();
    Ok(Conditioning {
        method: section.key("conditioning")?.unwrap_or(default.method),
        sigma_y: section.key("sigma-y")?.unwrap_or(default.sigma_y),
        observed: section.key("observed")?.unwrap_or(default.observed),
        repeats: section.key("repeats")?.unwrap_or(default.repeats),
        iterations: section.key("iterations")?.unwrap_or(default.iterations),
    })
}

impl Inverse {
    /// A, if the tables agree with each other.
    ///
    /// # Errors
    /// What is wrong with the problem, or does not go together.
    pub(crate) fn build(&self, dataset: &Dataset, schedule: &dyn NoiseSchedule) -> Result<Array, Invalid> {
        let &Conditioning { method, sigma_y, observed, .. } = &self.conditioning;
        let held_out = dataset.held_out.rows();
        if observed > held_out {
            let message = format!("`observed` is {observed}, but only {held_out} rows are held out");
            return Err(Invalid::key("observed", message));
        }
        if method != Method::Projection && sigma_y == 0.0 && schedule.last().is_clean() {
            let message = "without noise levels, guidance needs a measurement with noise: `sigma-y` above 0";
            return Err(Invalid::key("sigma-y", message));
        }
        let a = self.problem.build(dataset)?;
        Measurement::check(&a, dataset.dimension())?;
        Ok(a)
    }

    /// Refuses a sampler that cannot be steered.
    pub(crate) fn accepts(sampler: &dyn Sampler, kind: &str) -> Result<(), Invalid> {
        if sampler.conditions() {
            return Ok(());
        }
        Err(Invalid::new(format!(
            "`{kind}` as it is set cannot draw given a measurement: it needs a log density, or moves each chain at its own pace; \
             samplers that go down the levels can, and `langevin`"
        )))
    }
}
