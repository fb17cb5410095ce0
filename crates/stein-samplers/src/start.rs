//! Where chains start.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{ChainNoise, Dataset, Invalid, Level, NoiseSchedule};

/// Where chains start; a key of every sampler.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// α₁ mean + σ₁ z, the prior that the largest noise level makes of any data; without noise, mean + spread · z.
    #[default]
    Prior,
    /// α x + σ z with x a training row, another for each chain, at the level of the sampler's first step: the largest, or for
    /// `langevin`, `mala` and `hmc`, which stay there, the smallest. Without noise, x itself.
    Data,
    /// Each number uniform between two bounds (NCSN's toy experiment: [-8, 8]).
    Uniform([f64; 2]),
    /// Each number normal.
    Normal(Normal),
    /// All chains at one point, a list of D numbers.
    Point(Vec<f64>),
}

/// The parameters of a normal start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Normal {
    /// The mean of each number.
    pub mean: f64,
    /// The standard deviation of each number.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub std: f64,
}

impl Default for Normal {
    fn default() -> Self {
        Self { mean: 0.0, std: 1.0 }
    }
}

impl Start {
    /// Refuses parameters out of range.
    ///
    /// # Errors
    /// Which ones.
    pub fn check(&self) -> Result<(), Invalid> {
        let invalid = |message: String| Err(Invalid::key("start", message));
        // What single precision has no number for is not finite there.
        let finite = |x: f64| (x as f32).is_finite();
        match self {
            Self::Uniform([low, high]) if !(finite(*low) && finite(*high) && low < high) => invalid(format!(
                "`start` is uniform from {low} to {high}; the bounds must be finite, the lower one first"
            )),
            Self::Normal(Normal { mean, .. }) if !finite(*mean) => {
                invalid(format!("the `mean` of `start` is {mean}; it must be finite"))
            }
            Self::Normal(Normal { std, .. }) if !(*std > 0.0 && finite(*std)) => {
                invalid(format!("the `std` of `start` is {std}; it must be above 0 and finite"))
            }
            Self::Point(point) if point.iter().any(|&x| !finite(x)) => {
                invalid("the point of `start` has numbers that are not finite".into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a point in another space than the data's.
    ///
    /// # Errors
    /// If its length is not D.
    pub fn accepts(&self, dimension: usize) -> Result<(), Invalid> {
        match self {
            Self::Point(point) if point.len() != dimension => Err(Invalid::key(
                "start",
                format!("the point of `start` has {} numbers; the data have {dimension}", point.len()),
            )),
            _ => Ok(()),
        }
    }
}

/// Starts of chains for some data.
#[derive(Debug)]
pub struct Starts<'a> {
    start: &'a Start,
    data: &'a Dataset,
    mean: Vec<f32>,
    spread: f64,
    /// How far a training row lies from their mean at most.
    farthest: f64,
}

/// A chain farther than so many times the data's own distance from their mean is taken for diverged.
const FAR: f64 = 100.0;

impl<'a> Starts<'a> {
    /// For chains that sample what these data come from.
    pub fn new(start: &'a Start, data: &'a Dataset) -> Self {
        let mean = data.mean();
        let farthest = (0..data.train.rows()).map(|i| distance(&data.seen(i), &mean)).fold(0.0, f64::max);
        Self { start, data, mean, spread: data.spread(), farthest }
    }

    /// Whether starts are a point and Gaussian noise about it.
    pub(crate) fn is_gaussian(&self) -> bool {
        matches!(self.start, Start::Prior | Start::Normal(_))
    }

    /// The point that Gaussian starts lie about, `[D]`.
    pub(crate) fn centre(&self, schedule: &dyn NoiseSchedule) -> Option<Vec<f64>> {
        let alpha = schedule.first().alpha;
        match self.start {
            Start::Prior => Some(self.mean.iter().map(|&m| alpha * f64::from(m)).collect()),
            Start::Normal(Normal { mean, .. }) => Some(vec![*mean; self.mean.len()]),
            Start::Data | Start::Uniform(_) | Start::Point(_) => None,
        }
    }

    /// The starts of some chains of a sampler whose first step is at the level `begins`, row major `[chains, D]`.
    pub fn draw(&self, schedule: &dyn NoiseSchedule, begins: Level, noise: &mut ChainNoise) -> Vec<f32> {
        let (d, level) = (self.mean.len(), schedule.first());
        let affine = |x: Vec<f32>, mean: f64, std: f64| -> Vec<f32> {
            x.into_iter().map(|x| (mean + std * f64::from(x)) as f32).collect()
        };
        match self.start {
            Start::Prior => {
                let sigma = if level.is_clean() { self.spread } else { level.sigma };
                prior(noise, &self.mean, Level { sigma, ..level })
            }
            Start::Data => self.rows(noise, begins),
            Start::Uniform([low, high]) => affine(noise.uniforms(d), *low, high - low),
            Start::Normal(Normal { mean, std }) => affine(noise.normals(d), *mean, *std),
            Start::Point(point) => {
                let point: Vec<f32> = point.iter().map(|&x| x as f32).collect();
                point.repeat(noise.len())
            }
        }
    }

    fn rows(&self, noise: &mut ChainNoise, level: Level) -> Vec<f32> {
        let (d, n) = (self.mean.len(), self.data.train.rows());
        let mut x: Vec<f32> = Vec::with_capacity(noise.len() * d);
        for u in noise.uniforms(1) {
            x.extend_from_slice(self.data.train.row(((f64::from(u) * n as f64) as usize).min(n - 1)));
        }
        if let Some(width) = self.data.dequantize {
            x.iter_mut().zip(noise.uniforms(d)).for_each(|(x, u)| *x += width * u);
        }
        self.data.transform(&mut x);
        if !level.is_clean() {
            let z = noise.normals(d);
            x.iter_mut()
                .zip(z)
                .for_each(|(x, z)| *x = (level.alpha * f64::from(*x) + level.sigma * f64::from(z)) as f32);
        }
        x
    }

    /// How far from the mean a chain is believed to be, wherever on its way.
    pub(crate) fn believed(&self, schedule: &dyn NoiseSchedule) -> f64 {
        let root = (self.mean.len() as f64).sqrt();
        let far = |x: f64| (x.abs() + self.mean.iter().fold(0.0, |m: f64, &v| m.max(f64::from(v).abs()))) * root;
        let own = match self.start {
            Start::Prior | Start::Data => 0.0,
            Start::Uniform([low, high]) => far(low.abs().max(high.abs())),
            Start::Normal(Normal { mean, std }) => far(mean.abs() + std),
            Start::Point(point) => {
                let point: Vec<f32> = point.iter().map(|&x| x as f32).collect();
                distance(&point, &self.mean)
            }
        };
        FAR * (self.farthest + self.spread + schedule.first().sigma * root + own)
    }

    /// The distance of a chain from the mean.
    pub(crate) fn distance(&self, row: &[f32]) -> f64 {
        distance(row, &self.mean)
    }

    /// D.
    pub(crate) fn dimension(&self) -> usize {
        self.mean.len()
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>().sqrt()
}

fn prior(noise: &mut ChainNoise, mean: &[f32], level: Level) -> Vec<f32> {
    let mut x = noise.normals(mean.len());
    for row in x.chunks_mut(mean.len().max(1)) {
        for (x, &m) in row.iter_mut().zip(mean) {
            *x = (level.alpha * f64::from(m)) as f32 + (level.sigma * f64::from(*x)) as f32;
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use stein_core::Streams;
    use stein_record::Array;

    use super::*;

    fn chains(n: u64) -> ChainNoise {
        Streams::new(1).chains("sampler", 0..n)
    }

    #[derive(Debug)]
    struct One([Level; 1]);

    impl NoiseSchedule for One {
        fn levels(&self) -> &[Level] {
            &self.0
        }
    }

    fn data(rows: &[f32]) -> Dataset {
        let rows = Array::new([rows.len() / 2, 2], rows.to_vec());
        Dataset { train: rows.clone(), held_out: rows, ..Dataset::default() }
    }

    fn drawn(start: &Start, data: &Dataset, level: Level, n: u64) -> Vec<f32> {
        Starts::new(start, data).draw(&One([level]), level, &mut chains(n))
    }

    #[test]
    fn chains_start_about_what_the_first_level_leaves_of_the_mean() {
        let mean = [10.0, -2.0];
        let start = |level| prior(&mut chains(500), &mean, level);
        let z = start(Level { alpha: 0.0, sigma: 1.0 });
        let x = start(Level { alpha: 0.25, sigma: 0.5 });
        for (x, z) in x.chunks(2).zip(z.chunks(2)) {
            assert!((x[0] - (2.5 + 0.5 * z[0])).abs() < 1e-6 && (x[1] - (-0.5 + 0.5 * z[1])).abs() < 1e-6);
        }
        // Variance-exploding and clean starts keep the whole mean, to the bit.
        let x = start(Level::exploding(3.0));
        assert!(x.iter().zip(mean.iter().cycle()).zip(&z).all(|((x, m), z)| *x == m + (3.0 * f64::from(*z)) as f32));
    }

    #[test]
    fn other_starts_are_where_they_say() {
        let data = data(&[1.0, 2.0, 3.0, -4.0]);
        let level = Level { alpha: 0.5, sigma: 0.25 };
        let uniform = drawn(&Start::Uniform([-8.0, 8.0]), &data, level, 4000);
        assert!(uniform.iter().all(|x| (-8.0..8.0).contains(x)));
        let variance = uniform.iter().map(|x| f64::from(x * x)).sum::<f64>() / 8000.0;
        assert!((variance - 64.0 / 3.0).abs() < 1.0, "{variance}");
        let normal = drawn(&Start::Normal(Normal { mean: 2.0, std: 0.1 }), &data, level, 4000);
        let mean = normal.iter().map(|&x| f64::from(x)).sum::<f64>() / 8000.0;
        assert!((mean - 2.0).abs() < 0.01, "{mean}");
        assert_eq!(drawn(&Start::Point(vec![7.0, 8.0]), &data, level, 2), [7.0, 8.0, 7.0, 8.0]);
        // Rows as they are without noise, and shrunk and noisy with it.
        let rows = drawn(&Start::Data, &data, Level::CLEAN, 50);
        assert!(rows.chunks(2).all(|r| r == [1.0, 2.0] || r == [3.0, -4.0]));
        let first = rows.chunks(2).filter(|r| r[0] == 1.0).count();
        assert!((10..40).contains(&first), "{first}");
        let noisy = drawn(&Start::Data, &data, level, 4000);
        let mean = noisy.chunks(2).map(|r| f64::from(r[0])).sum::<f64>() / 4000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn starts_out_of_range_are_refused() {
        for start in [
            Start::Uniform([1.0, 1.0]),
            Start::Uniform([f64::NAN, 1.0]),
            Start::Normal(Normal { mean: 0.0, std: 0.0 }),
            Start::Normal(Normal { mean: f64::INFINITY, std: 1.0 }),
            Start::Point(vec![f64::NAN]),
        ] {
            assert!(start.check().is_err(), "{start:?}");
        }
        assert!(Start::Point(vec![0.0]).accepts(2).unwrap_err().message.contains("has 1 numbers; the data have 2"));
        assert!(Start::Point(vec![0.0, 1.0]).accepts(2).is_ok() && Start::Prior.check().is_ok());
    }
}
