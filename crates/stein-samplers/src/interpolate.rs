//! From one sample to another along the starts between theirs.

use burn::tensor::Tensor;
use stein_core::{ChainNoise, Invalid, NoiseSchedule, Observer, SampleError, Sampler, ScoreNetwork, matrix};
use stein_record::Array;

use crate::{Draw, Drawn, Starts, draw};

/// Refuses samplers that do not follow from the start alone, and starts that no great circle joins.
///
/// # Errors
/// Which of the two it is, and what is allowed.
pub fn interpolates(sampler: &dyn Sampler, kind: &str, starts: &Starts<'_>) -> Result<(), Invalid> {
    if !sampler.solves_flow() {
        return Err(Invalid::new(format!(
            "`{kind}` as it is set draws noise on its way, so a sample does not follow from its start; take `ddim`, \
             `probability-flow`, `dpm-solver-pp-2m` or `edm` without churn"
        )));
    }
    if !starts.is_gaussian() {
        return Err(Invalid::new("great circles join Gaussian starts: `start` must be \"prior\" or { normal = … }"));
    }
    Ok(())
}

/// Draws `steps` samples for each pair of chains, 2p and 2p + 1: the chains' own samples at both ends, and between them those
/// of starts on the great circle (Shoemake's slerp) between their noises, as DDIM has it. `what.samples` is the number of pairs.
///
/// Gaussian noise of D numbers has a length near √D, which a straight line between two of them would leave.
///
/// # Errors
/// As [`draw`](crate::draw()).
///
/// # Panics
/// If the starts are not Gaussian, see [`interpolates`], or there are less than two steps.
pub fn interpolate(
    sampler: &dyn Sampler,
    score: &dyn ScoreNetwork,
    schedule: &dyn NoiseSchedule,
    what: Draw<'_>,
    steps: usize,
    mut observe: impl FnMut(usize) -> Box<dyn Observer>,
) -> Result<Drawn, SampleError> {
    assert!(steps >= 2, "an interpolation has two ends");
    let d = what.starts.dimension();
    let centre = what.starts.centre(schedule).expect("Gaussian starts");
    let (samples, chunk) = (what.samples * steps, what.chunk.max(1));
    let start = |row: usize| {
        let (pair, at) = ((row / steps) as u64, row % steps);
        let first = what.first + 2 * pair;
        let mut noise = what.streams.chains("sampler", first..first + 2);
        let both = what.starts.draw(schedule, schedule.first(), &mut noise);
        slerp(&both[..d], &both[d..], &centre, at as f64 / (steps - 1) as f64)
    };
    let (mut data, mut evaluations) = (Vec::with_capacity(samples * d), 0.0);
    for first in (0..samples).step_by(chunk) {
        let rows = first..(first + chunk).min(samples);
        let from = From { sampler, x: matrix(rows.clone().flat_map(start).collect(), d, what.device) };
        let part = Draw { samples: rows.len(), first: what.first + first as u64, ..what };
        let drawn = draw(&from, score, schedule, part, |_| observe(first))?;
        evaluations += drawn.evaluations * rows.len() as f64;
        data.extend(drawn.samples.data);
    }
    let evaluations = evaluations / samples.max(1) as f64;
    Ok(Drawn { samples: Array::new([samples, d], data), evaluations, acceptance: None })
}

/// From a to b around a centre at a constant angular speed; a itself at 0, b itself at 1.
fn slerp(a: &[f32], b: &[f32], centre: &[f64], t: f64) -> Vec<f32> {
    if t == 0.0 || t == 1.0 {
        return if t == 0.0 { a.to_vec() } else { b.to_vec() };
    }
    let arm = |x: &[f32]| -> Vec<f64> { x.iter().zip(centre).map(|(x, c)| f64::from(*x) - c).collect() };
    let (u, v) = (arm(a), arm(b));
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let cosine = dot(&u, &v) / (dot(&u, &u) * dot(&v, &v)).sqrt();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (from, to) = match angle.sin() {
        // On one line through the centre there is no circle, or no one circle.
        s if s.is_nan() || s < 1e-6 => (1.0 - t, t),
        s => (((1.0 - t) * angle).sin() / s, (t * angle).sin() / s),
    };
    u.iter().zip(&v).zip(centre).map(|((u, v), c)| (c + from * u + to * v) as f32).collect()
}

/// A sampler that starts where it is told.
#[derive(Debug)]
struct From<'a> {
    sampler: &'a dyn Sampler,
    x: Tensor<2>,
}

impl Sampler for From<'_> {
    fn sample(
        &self,
        score: &dyn ScoreNetwork,
        schedule: &dyn NoiseSchedule,
        _: Tensor<2>,
        noise: &mut ChainNoise,
        observer: &mut dyn Observer,
    ) -> Result<Tensor<2>, SampleError> {
        self.sampler.sample(score, schedule, self.x.clone(), noise, observer)
    }

    fn evaluations(&self, schedule: &dyn NoiseSchedule) -> Option<u64> {
        self.sampler.evaluations(schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_circle_keeps_the_length_and_the_speed() {
        let (a, b, centre) = ([3.0f32, 1.0], [1.0f32, 4.0], [1.0f64, 1.0]);
        // From (2, 0) to (0, 3) about (1, 1): a quarter of a turn.
        let third = slerp(&a, &b, &centre, 1.0 / 3.0);
        let (from, to) = (30f64.to_radians().cos(), 30f64.to_radians().sin());
        assert!((f64::from(third[0]) - (1.0 + 2.0 * from)).abs() < 1e-6, "{third:?}");
        assert!((f64::from(third[1]) - (1.0 + 3.0 * to)).abs() < 1e-6, "{third:?}");
        assert_eq!((slerp(&a, &b, &centre, 0.0), slerp(&a, &b, &centre, 1.0)), (a.to_vec(), b.to_vec()));
        // Along one line: straight.
        assert_eq!(slerp(&[2.0], &[5.0], &[0.0], 0.5), [3.5]);
        assert_eq!(slerp(&[1.0, 1.0], &[4.0, 1.0], &[1.0, 1.0], 0.5), [2.5, 1.0]);
    }
}
