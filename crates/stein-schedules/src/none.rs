//! No noise.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, Dataset, Invalid, Level, NoiseSchedule, SchedulePart};

/// No noise: the score of the data's own density.
///
/// Needs `parameterization = "score"`, a network without an embedding of σ, an objective that needs no noise, and a sampler
/// with one step size such as `langevin`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NoNoise {}

impl Component<SchedulePart> for NoNoise {
    const KIND: &'static str = "none";
    const PAPER: &'static str = "Hyvärinen 2005, JMLR 6";

    fn build(&self, _: &Dataset) -> Result<Arc<dyn NoiseSchedule>, Invalid> {
        Ok(Arc::new(self.clone()))
    }
}

impl NoiseSchedule for NoNoise {
    fn levels(&self) -> &[Level] {
        &[Level::CLEAN]
    }
}
