//! The usual sets in the plane: a generator each, and as density a sample smoothed by σ.
//!
//! None of them has a density in closed form that noise could be added to. So what is studied is the law of a sample: its points
//! are the training rows, and what σ makes of it is a mixture of as many Gaussians ([`IsotropicMixture::empirical`]), whose score
//! is exact. Without noise there is none. Held-out rows are fresh draws of the generator, and no draws of that mixture: so a run
//! on these sets has no floor on held-out rows, but the loss of memorising, and its Fisher divergence is taken on draws of the
//! mixture, never on held-out rows.

use std::f64::consts::PI;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stein_core::{Component, DataPart, Dataset, Invalid, Noise, Streams};
use stein_record::Array;

use crate::IsotropicMixture;

/// More points are too many to be summed over at every evaluation.
const MOST_POINTS: usize = 4096;

/// One draw of a set without its noise.
trait Curve {
    fn point(&self, noise: &mut Noise) -> [f64; 2];
}

/// A set in the plane: its own keys, the usual ones, and `noise` where it has any.
macro_rules! plane_set {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $paper:literal, { $($(#[$key_doc:meta])* $key:ident = $default:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
        pub struct $name {
            $($(#[$key_doc])* #[schemars(range(min = 0))] pub $key: f64,)*
            /// Points of the sample, from 2 to 4096: they are the training rows, and smoothed by σ they are the density.
            #[schemars(range(min = 2, max = 4096))]
            pub points: usize,
            /// Rows held out: fresh draws.
            #[schemars(range(min = 8, max = 10_000_000))]
            pub held_out: usize,
            /// The seed of the rows. Not the run's: runs of several seeds are compared on the same data.
            pub seed: u64,
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* points: 1024, held_out: 2000, seed: 0 }
            }
        }

        impl Component<DataPart> for $name {
            const KIND: &'static str = $kind;
            const PAPER: &'static str = $paper;

            fn check(&self) -> Result<(), Invalid> {
                $(check_spread(stringify!($key), self.$key)?;)*
                check_rows(self.points, self.held_out)
            }

            fn build(&self, _: Streams) -> Result<Dataset, Invalid> {
                Ok(sample(self, self.points, self.held_out, self.seed))
            }
        }
    };
}

plane_set! {
    /// Two interleaving half circles: 2(cos t, sin t) − (1, 0.2) and 2(1 − cos t, ½ − sin t) − (1, 0.2), t uniform in [0, π].
    TwoMoons, "two-moons", "scikit-learn; Grathwohl et al. 2019, arXiv 1810.01367",
    {
        /// Standard deviation of the noise about the curves.
        noise = 0.2,
    }
}

plane_set! {
    /// The eight dark squares of side 2 of a 4 × 4 board on [−4, 4]², uniformly.
    Checkerboard, "checkerboard", "Grathwohl et al. 2019, arXiv 1810.01367",
    {}
}

plane_set! {
    /// Two arms of a spiral: ±(−t cos t + b₁, t sin t + b₂)/3, t = 3π √u, with u, 2b₁ and 2b₂ uniform in [0, 1].
    Spirals, "spirals", "Grathwohl et al. 2019, arXiv 1810.01367",
    {
        /// Standard deviation of the noise about the arms.
        noise = 0.1,
    }
}

plane_set! {
    /// A rolled-up sheet from its side: t (cos t, sin t)/5, t uniform in [3π/2, 9π/2].
    SwissRoll, "swiss-roll", "scikit-learn; Marsland 2009",
    {
        /// Standard deviation of the noise about the curve.
        noise = 0.2,
    }
}

plane_set! {
    /// Four concentric circles of radius 0.75, 1.5, 2.25 and 3, each with a quarter of the mass.
    Rings, "rings", "Grathwohl et al. 2019, arXiv 1810.01367",
    {
        /// Standard deviation of the noise about the circles.
        noise = 0.08,
    }
}

plane_set! {
    /// Five bent blades: 2 (1 + `radial` z₁, `tangential` z₂), turned clockwise by 2πk/5 + ¼ e^{1 + `radial` z₁}.
    Pinwheel, "pinwheel", "Johnson et al. 2016, arXiv 1603.06277",
    {
        /// Standard deviation along a blade.
        radial = 0.3,
        /// Standard deviation across it.
        tangential = 0.1,
    }
}

impl Curve for TwoMoons {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let outer = noise.index(2) == 0;
        let (sin, cos) = (PI * noise.uniform()).sin_cos();
        let [x, y] = if outer { [cos, sin] } else { [1.0 - cos, 0.5 - sin] };
        jittered([2.0 * x - 1.0, 2.0 * y - 0.2], self.noise, noise)
    }
}

impl Curve for Checkerboard {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let (column, row) = (noise.index(4), noise.index(2));
        let corner = |square: usize| 2.0 * square as f64 - 4.0;
        let [x, y] = [column, 2 * row + column % 2].map(corner);
        [x + 2.0 * noise.uniform(), y + 2.0 * noise.uniform()]
    }
}

impl Curve for Spirals {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let side = if noise.index(2) == 0 { 1.0 } else { -1.0 };
        let t = 3.0 * PI * noise.uniform().sqrt();
        let (sin, cos) = t.sin_cos();
        let breadth = [noise.uniform() / 2.0, noise.uniform() / 2.0];
        let point = [breadth[0] - t * cos, breadth[1] + t * sin].map(|x| side * x / 3.0);
        jittered(point, self.noise, noise)
    }
}

impl Curve for SwissRoll {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let t = 1.5 * PI * (1.0 + 2.0 * noise.uniform());
        let (sin, cos) = t.sin_cos();
        jittered([t * cos / 5.0, t * sin / 5.0], self.noise, noise)
    }
}

impl Curve for Rings {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let radius = 0.75 * (1 + noise.index(4)) as f64;
        let (sin, cos) = (2.0 * PI * noise.uniform()).sin_cos();
        jittered([radius * cos, radius * sin], self.noise, noise)
    }
}

impl Curve for Pinwheel {
    fn point(&self, noise: &mut Noise) -> [f64; 2] {
        let blade = noise.index(5);
        let z = [noise.normal(), noise.normal()].map(f64::from);
        let (along, across) = (1.0 + self.radial * z[0], self.tangential * z[1]);
        let (sin, cos) = (2.0 * PI * blade as f64 / 5.0 + 0.25 * along.exp()).sin_cos();
        // Turned by minus the angle, as the published sets are.
        [2.0 * (along * cos + across * sin), 2.0 * (across * cos - along * sin)]
    }
}

fn jittered(point: [f64; 2], std: f64, noise: &mut Noise) -> [f64; 2] {
    point.map(|x| x + std * f64::from(noise.normal()))
}

fn check_spread(key: &str, value: f64) -> Result<(), Invalid> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(Invalid::key(key, format!("`{key}` is {value}; it must be at least 0 and finite")))
}

fn check_rows(points: usize, held_out: usize) -> Result<(), Invalid> {
    if !(2..=MOST_POINTS).contains(&points) {
        return Err(Invalid::key("points", format!("`points` is {points}; it must be from 2 to {MOST_POINTS}")));
    }
    crate::gaussian_mixture::check_rows(points, held_out, 2)
}

/// A sample as data, its smoothed law as their density.
fn sample(set: &impl Curve, points: usize, held_out: usize, seed: u64) -> Dataset {
    let streams = Streams::new(seed);
    let rows = |name: &str, n: usize| {
        let mut noise = streams.at(name, 0);
        let data = (0..n).flat_map(|_| set.point(&mut noise).map(|x| x as f32)).collect();
        Array::new([n, 2], data)
    };
    let train = rows("data train", points);
    Dataset {
        target: Some(Arc::new(IsotropicMixture::empirical(&train))),
        held_out: rows("data held-out", held_out),
        train,
        ..Dataset::default()
    }
}

#[cfg(test)]
mod tests {
    use stein_core::Level;

    use super::*;

    /// Points of a set, and those of a set with a wrong scale.
    fn points(set: &impl Component<DataPart>) -> Vec<[f64; 2]> {
        let data = set.build(Streams::new(0)).expect("builds");
        data.held_out.data.chunks(2).map(|x| [f64::from(x[0]), f64::from(x[1])]).collect()
    }

    /// How far the farthest point is from where a set says that its points are; and from there scaled by 1.05.
    fn farthest(points: &[[f64; 2]], distance: impl Fn([f64; 2]) -> f64) -> (f64, f64) {
        let most = |scale: f64| points.iter().map(|p| distance(p.map(|x| scale * x))).fold(0.0, f64::max);
        (most(1.0), most(1.05))
    }

    fn check(set: &impl Component<DataPart>, distance: impl Fn([f64; 2]) -> f64) {
        let (worst, twin) = farthest(&points(set), distance);
        assert!(worst < 1e-5, "{worst}");
        assert!(twin > 0.02, "a wrong scale must be seen: {twin}");
    }

    /// Mean and second moments (xx, xy, yy) of points, with the largest standard error.
    fn moments(points: &[[f64; 2]]) -> [f64; 5] {
        let n = points.len() as f64;
        let mean = |f: &dyn Fn(&[f64; 2]) -> f64| points.iter().map(f).sum::<f64>() / n;
        [mean(&|p| p[0]), mean(&|p| p[1]), mean(&|p| p[0] * p[0]), mean(&|p| p[0] * p[1]), mean(&|p| p[1] * p[1])]
    }

    #[test]
    fn moons_lie_on_two_half_circles() {
        let set = TwoMoons { noise: 0.0, ..TwoMoons::default() };
        check(&set, |[x, y]| {
            let (outer, inner) = ((x + 1.0).hypot(y + 0.2), (x - 1.0).hypot(y - 0.8));
            let above = if y >= -0.2 { (outer - 2.0).abs() } else { f64::INFINITY };
            let below = if y <= 0.8 + 1e-6 { (inner - 2.0).abs() } else { f64::INFINITY };
            above.min(below)
        });
        let upper = points(&set).iter().filter(|p| ((p[0] + 1.0).hypot(p[1] + 0.2) - 2.0).abs() < 1e-5).count();
        assert!((900..1100).contains(&upper), "{upper} of 2000 on the first");
    }

    #[test]
    fn rings_have_four_radii() {
        check(&Rings { noise: 0.0, ..Rings::default() }, |[x, y]| {
            let r = x.hypot(y) / 0.75;
            0.75 * (r - r.round().clamp(1.0, 4.0)).abs()
        });
        // E r² = 0.75² (1 + 4 + 9 + 16)/4, half of it on each axis, and the noise's variance.
        let [mx, my, xx, xy, yy] = moments(&points(&Rings { held_out: 40_000, ..Rings::default() }));
        let expected = 0.5625 * 7.5 / 2.0 + 0.0064;
        assert!(mx.abs() < 0.04 && my.abs() < 0.04 && xy.abs() < 0.05, "{mx} {my} {xy}");
        assert!((xx - expected).abs() < 0.06 && (yy - expected).abs() < 0.06, "{xx} {yy} {expected}");
    }

    #[test]
    fn a_swiss_roll_winds_from_one_and_a_half_to_four_and_a_half() {
        check(&SwissRoll { noise: 0.0, ..SwissRoll::default() }, |[x, y]| {
            let t = 5.0 * x.hypot(y);
            let range = (1.5 * PI - t).max(t - 4.5 * PI).max(0.0);
            range.max((t * t.cos() / 5.0 - x).hypot(t * t.sin() / 5.0 - y))
        });
    }

    #[test]
    fn spirals_are_two_arms_of_one_breadth() {
        let set = Spirals { noise: 0.0, held_out: 20_000, ..Spirals::default() };
        let found = points(&set);
        // The nearest (−t cos t, t sin t)/3 is no farther than the breadth's corner, on one arm or the other.
        let arm: Vec<[f64; 2]> = (0..=3000)
            .map(|i| 3.0 * PI * f64::from(i) / 3000.0)
            .map(|t| [-t * t.cos() / 3.0, t * t.sin() / 3.0])
            .collect();
        let near = |p: &[f64; 2], side: f64| {
            arm.iter().map(|a| (side * p[0] - a[0]).hypot(side * p[1] - a[1])).fold(f64::INFINITY, f64::min)
        };
        let worst = found.iter().step_by(40).map(|p| near(p, 1.0).min(near(p, -1.0))).fold(0.0, f64::max);
        assert!(worst < 0.5f64.hypot(0.5) / 3.0 + 1e-3, "{worst}");
        // E‖·‖² = (E t² + 2 E b t (sin t − cos t) + 2 E b²)/9 with E t² = 9π²/2, b = ½u: E t cos t and E t sin t by hand.
        let (a, n) = (3.0 * PI, 200_000);
        let mean = |f: &dyn Fn(f64) -> f64| {
            (0..n).map(|i| f(a * ((f64::from(i) + 0.5) / f64::from(n)).sqrt())).sum::<f64>() / f64::from(n)
        };
        let cross = mean(&|t| t * (t.sin() - t.cos()));
        let expected = (a * a / 2.0 + 2.0 * 0.25 * cross + 2.0 / 12.0) / 9.0;
        let [mx, my, xx, _, yy] = moments(&found);
        assert!(mx.abs() < 0.06 && my.abs() < 0.06, "{mx} {my}");
        assert!((xx + yy - expected).abs() < 0.1, "{} {expected}", xx + yy);
    }

    #[test]
    fn a_checkerboard_leaves_every_other_square_empty() {
        let found = points(&Checkerboard { held_out: 16_000, ..Checkerboard::default() });
        let mut squares = [0; 16];
        for [x, y] in found {
            let [i, j] = [x, y].map(|v| ((v + 4.0) / 2.0).floor().clamp(0.0, 3.0) as usize);
            squares[4 * i + j] += 1;
        }
        for (square, count) in squares.into_iter().enumerate() {
            let dark = (square / 4 + square % 4) % 2 == 0;
            assert!(if dark { (1800..2200).contains(&count) } else { count == 0 }, "{square}: {count}");
        }
    }

    #[test]
    fn a_pinwheel_has_five_blades() {
        let set = Pinwheel { tangential: 0.0, held_out: 40_000, ..Pinwheel::default() };
        check(&set, |[x, y]| {
            let (radius, angle) = (x.hypot(y) / 2.0, y.atan2(x));
            // A blade beyond the middle is rare, and has a radius of the other sign.
            let off = |along: f64, angle: f64| {
                let turns = (angle + 0.25 * along.exp()) / (2.0 * PI / 5.0);
                radius * (turns - turns.round()).abs()
            };
            off(radius, angle).min(off(-radius, angle + PI))
        });
        // Five blades have no mean and one variance: E r² · 4/2 = 2(1 + 0.09).
        let [mx, my, xx, xy, yy] = moments(&points(&set));
        assert!(mx.abs() < 0.04 && my.abs() < 0.04 && xy.abs() < 0.06, "{mx} {my} {xy}");
        assert!((xx - 2.18).abs() < 0.08 && (yy - 2.18).abs() < 0.08, "{xx} {yy}");
    }

    #[test]
    fn the_rows_are_the_sample_whose_law_is_known_with_noise_only() {
        let data = TwoMoons { points: 100, ..TwoMoons::default() }.build(Streams::new(5)).expect("builds");
        let target = data.target.as_ref().expect("known");
        assert!(target.is_empirical() && !target.knows(Level::CLEAN) && target.knows(Level::exploding(0.1)));
        assert!(data.target_at(&[Level::CLEAN]).is_none() && target.modes().is_none());
        let rows: Vec<&[f32]> = data.train.data.chunks(2).collect();
        let drawn = target.sample(50, &mut Streams::new(1).at("drawn", 0));
        assert!(rows.len() == 100 && drawn.chunks(2).all(|x| rows.contains(&x)));
        assert!(data.held_out.data.chunks(2).all(|x| !rows.contains(&x)));
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(TwoMoons { noise: -0.1, ..TwoMoons::default() }.check().unwrap_err().message.contains("at least 0"));
        assert!(Rings { points: 5000, ..Rings::default() }.check().unwrap_err().message.contains("from 2 to 4096"));
        assert!(Pinwheel { radial: f64::NAN, ..Pinwheel::default() }.check().is_err());
        assert!(Checkerboard { held_out: 3, ..Checkerboard::default() }.check().is_err());
    }
}
