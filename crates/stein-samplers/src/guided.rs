//! The score of a class, with classifier-free guidance.

use burn::tensor::{Device, Int, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Condition, Invalid, Jet, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, class_tensor};
use stein_record::Array;

use crate::draw::Counted;
use crate::{Draw, Drawn, draw};

/// What a network of classes is asked for; keys of every sampler.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", default)]
pub struct Guidance {
    /// The class of all samples, from 0. Left out, sample i is of class i mod K. Metrics compare with rows of every class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<u32>,
    /// w of classifier-free guidance (Ho & Salimans 2022, arXiv 2207.12598): samples follow (1 + w) s(x, c) − w s(x). 0 is the
    /// class's own score, −1 that of the whole law; others take two evaluations a step.
    #[schemars(range(min = -1.0))]
    pub guidance: f64,
}

impl Guidance {
    /// Refuses values out of range.
    ///
    /// # Errors
    /// If the guidance is below −1 or not finite.
    pub fn check(self) -> Result<(), Invalid> {
        let w = self.guidance;
        if w >= -1.0 && w.is_finite() {
            return Ok(());
        }
        Err(Invalid::key("guidance", format!("`guidance` is {w}; it must be at least -1 and finite")))
    }

    /// Refuses a class that a network of `classes` classes, or of none, does not know.
    ///
    /// # Errors
    /// Which key asks for it.
    pub fn accepts(self, classes: Option<usize>) -> Result<(), Invalid> {
        let none = "the network is not told of classes: set network.classes = true; all but `exact` can be";
        match (self.class, classes) {
            (Some(class), Some(count)) if class as usize >= count => {
                Err(Invalid::key("class", format!("`class` is {class}; it must be from 0 to {}", count - 1)))
            }
            (Some(_), None) => Err(Invalid::key("class", none)),
            (None, None) if self.guidance != 0.0 => Err(Invalid::key("guidance", none)),
            _ => Ok(()),
        }
    }

    /// Whether chains are of several classes.
    pub fn is_mixed(self) -> bool {
        self.class.is_none() && self.guidance != -1.0
    }
}

/// (1 + w) s(x, c) − w s(x): the score of p(x ∣ c)^(1+w)/p(x)^w, which for w > 0 asks samples to be of their class more plainly
/// than examples are (Ho & Salimans 2022, arXiv 2207.12598). At w = 0 it is the class's own score, at w = −1 that of the whole
/// law; anywhere between or beyond, two evaluations are made for one.
///
/// At a noise level that is the product of noisy densities, not what noise makes of the product of clean ones: for w other
/// than 0 and −1 samplers draw from no law that has a name.
pub struct Guided<'a> {
    score: &'a dyn ScoreNetwork,
    /// Of each chain, `[B]`; or of all, `[1]`.
    class: Tensor<1, Int>,
    guidance: f64,
}

impl<'a> Guided<'a> {
    /// For chains that are all of one class.
    pub fn to(score: &'a dyn ScoreNetwork, class: u32, guidance: f64, device: &Device) -> Self {
        Self::each(score, &[class], guidance, device)
    }

    /// For as many chains as there are `classes`, asked for all at once and in their order.
    pub fn each(score: &'a dyn ScoreNetwork, classes: &[u32], guidance: f64, device: &Device) -> Self {
        Self { score, class: class_tensor(classes, device), guidance }
    }

    /// (1 + w) a − w b, with `a` of the class and `b` of the whole law; neither is asked for in vain.
    fn combined<T>(
        &self,
        batch: usize,
        condition: &Condition,
        of: impl Fn(&Condition) -> T,
        combine: impl FnOnce(T, T) -> T,
    ) -> T {
        let all = || of(&condition.with_class(None));
        let own = || of(&condition.with_class(Some(self.class.clone().expand([batch]))));
        match self.guidance {
            0.0 => own(),
            -1.0 => all(),
            _ => combine(own(), all()),
        }
    }
}

impl ScoreNetwork for Guided<'_> {
    fn jet(&self, x: Jet<2>, condition: &Condition) -> Jet<2> {
        let w = self.guidance;
        let of = |condition: &Condition| self.score.jet(x.clone(), condition);
        self.combined(x.batch(), condition, of, |own, all| own.scale_by(1.0 + w) - all.scale_by(w))
    }

    fn log_density(&self, x: Tensor<2>, condition: &Condition) -> Option<Tensor<1>> {
        let w = self.guidance;
        let of = |condition: &Condition| self.score.log_density(x.clone(), condition);
        self.combined(x.dims()[0], condition, of, |own, all| Some(own? * (1.0 + w) - all? * w))
    }
}

/// Draws samples as [`draw`](crate::draw()) does, of `classes` classes in turn: chain i is of class i mod K.
///
/// # Errors
/// As [`draw`](crate::draw()).
pub fn draw_classes(
    sampler: &dyn Sampler,
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    (classes, guidance): (usize, f64),
    mut observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Drawn, SampleError> {
    let (chunk, d) = (what.chunk.max(1), what.starts.dimension());
    let counted = Counted::new(score);
    let (mut data, mut accepted) = (Vec::with_capacity(what.samples * d), Vec::new());
    for first in (0..what.samples).step_by(chunk) {
        let samples = chunk.min(what.samples - first);
        let part = Draw { samples, first: what.first + first as u64, ..what };
        let of_chains: Vec<u32> = (0..samples as u64).map(|i| ((part.first + i) % classes as u64) as u32).collect();
        let guided = Guided::each(&counted, &of_chains, guidance, what.device);
        let drawn = draw(sampler, &guided, schedule, part, |_| observe(first))?;
        data.extend(drawn.samples.data);
        accepted.extend(drawn.acceptance.map(|a| a * samples as f64));
    }
    Ok(Drawn {
        samples: Array::new([what.samples, d], data),
        evaluations: counted.each(what.samples),
        acceptance: (!accepted.is_empty()).then(|| accepted.iter().sum::<f64>() / what.samples as f64),
    })
}
