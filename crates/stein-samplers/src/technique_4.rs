//! Technique 4 of NCSNv2 (Song & Ermon 2020, arXiv 2006.09011): the step size of annealed Langevin dynamics on a geometric
//! ladder, as published and by what its errors come to down the ladder.
//!
//! Step sizes are of the repository's convention, x ← x + ε_i s + √(2ε_i) z.

/// T Langevin steps at each level of a ladder of ratio γ, on data whose perturbed density is a Gaussian of variance σ_i².
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Technique4 {
    /// γ.
    pub gamma: f64,
    /// T.
    pub steps_per_level: usize,
}

impl Technique4 {
    /// The variance after a level over σ_i², for one of `before` over the σ² of this level at its start; `relative` is ε/σ_L².
    fn level(self, relative: f64, before: f64) -> f64 {
        // A step multiplies by 1 − a and adds 2a: the variance goes to 2/(2 − a).
        let limit = 2.0 / (2.0 - relative);
        let kept = (2.0 * self.steps_per_level as f64 * (-relative).ln_1p()).exp();
        kept * (before - limit) + limit
    }

    /// Technique 4's r, the variance over σ_i² at the end of a level that began at exactly σ_{i−1}².
    pub fn variance_ratio(self, relative: f64) -> f64 {
        self.level(relative, self.gamma * self.gamma)
    }

    /// The variance over σ_i² at the end of each level when each begins where the one before ended, the first at σ₁².
    pub fn accumulated(self, relative: f64, levels: usize) -> Vec<f64> {
        let first = self.level(relative, 1.0);
        std::iter::successors(Some(first), |v| Some(self.level(relative, self.gamma * self.gamma * v)))
            .take(levels)
            .collect()
    }

    /// ε/σ_L² with the least |r − 1|.
    pub fn best_step(self) -> f64 {
        least(|a| (self.variance_ratio(a) - 1.0).abs())
    }

    /// ε/σ_L² with the least |v_L − 1| at the end of a ladder, by the accumulated variance.
    pub fn best_step_accumulated(self, levels: usize) -> f64 {
        let end = |a: f64| {
            let first = self.level(a, 1.0);
            (1..levels).fold(first, |v, _| self.level(a, self.gamma * self.gamma * v))
        };
        least(|a| (end(a) - 1.0).abs())
    }
}

/// Steps at each level beyond which nobody looks.
pub(crate) const MOST_STEPS: usize = 1000;

/// The least T up to [`MOST_STEPS`] at which `error`, which falls with T, is at most `most`.
pub(crate) fn least_steps(most: f64, error: impl Fn(usize) -> f64) -> Option<usize> {
    let enough = |steps: usize| error(steps) <= most;
    let mut high = 1;
    while !enough(high) {
        if high == MOST_STEPS {
            return None;
        }
        high = (2 * high).min(MOST_STEPS);
    }
    let mut low = high / 2;
    while high - low > 1 {
        let middle = (low + high) / 2;
        if enough(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

/// Where in (0, 1) a function with one valley is least: a grid of logarithms, then golden section about its best point.
fn least(f: impl Fn(f64) -> f64) -> f64 {
    const POINTS: u32 = 200;
    const LOWEST: f64 = 1e-12;
    let at = |i: u32| LOWEST.ln() * (1.0 - f64::from(i) / f64::from(POINTS));
    let value = |x: f64| f(x.exp());
    // The last point would be 1, at which a step forgets everything.
    let best = (0..POINTS).min_by(|&i, &j| value(at(i)).total_cmp(&value(at(j)))).unwrap_or(0);
    let (mut low, mut high) = (at(best.saturating_sub(1)), at(best + 1));
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    while high - low > 1e-9 {
        let (x, y) = (high - golden * (high - low), low + golden * (high - low));
        if value(x) < value(y) {
            high = y;
        } else {
            low = x;
        }
    }
    (0.5 * (low + high)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// γ from such a σ₁ down to .01.
    fn gamma(sigma_max: f64, levels: u32) -> f64 {
        (sigma_max / 0.01).powf(f64::from(levels - 1).recip())
    }

    /// That of NCSNv2's CIFAR-10 ladder.
    fn cifar() -> f64 {
        gamma(50.0, 232)
    }

    fn near(found: f64, expected: f64, relative: f64) {
        assert!((found / expected - 1.0).abs() < relative, "{found}, not {expected}");
    }

    #[test]
    fn steps_and_ratios_are_ncsnv2s() {
        let walk = Technique4 { gamma: cifar(), steps_per_level: 5 };
        let a = walk.best_step();
        near(a * 1e-4, 6.184025e-6, 1e-6);
        near(walk.variance_ratio(a), 1.055474514, 1e-9);
        let walk = Technique4 { gamma: gamma(90.0, 500), steps_per_level: 5 };
        let a = walk.best_step();
        near(a * 1e-4, 3.336982e-6, 1e-6);
        near(walk.variance_ratio(a), 1.031353746, 1e-9);
        // FFHQ's three steps a level.
        let walk = Technique4 { gamma: gamma(348.0, 2311), steps_per_level: 3 };
        near(walk.variance_ratio(walk.best_step()), 1.008853554, 1e-9);
    }

    #[test]
    fn one_step_has_a_closed_form() {
        // T = 1: r = (1 − a)²γ² + 2a, least at a = 1 − 1/γ².
        let walk = Technique4 { gamma: 1.7, steps_per_level: 1 };
        let a = 0.3;
        near(walk.variance_ratio(a), 0.49 * 2.89 + 0.6, 1e-12);
        near(walk.best_step(), 1.0 - 1.0 / 2.89, 1e-6);
    }

    #[test]
    fn errors_accumulate_down_the_ladder() {
        let walk = Technique4 { gamma: cifar(), steps_per_level: 5 };
        // What they ship, 6.2e-6.
        let levels = walk.accumulated(0.062, 232);
        assert_eq!(levels.len(), 232);
        for (found, expected) in levels.iter().zip([1.0151236389, 1.0640590339, 1.0918355131]) {
            near(*found, expected, 1e-9);
        }
        near(levels[231], 1.128299232873, 1e-9);
        near(walk.accumulated(walk.best_step(), 232)[231], 1.128586678, 1e-8);
        let a = walk.best_step_accumulated(232);
        near(a * 1e-4, 1.148930e-5, 1e-6);
        near(walk.accumulated(a, 232)[231], 1.096062229, 1e-9);
    }

    #[test]
    fn the_recursion_is_that_of_single_steps() {
        let walk = Technique4 { gamma: 1.3, steps_per_level: 4 };
        let a = 0.2f64;
        let mut v = 1.0;
        for (i, found) in walk.accumulated(a, 6).into_iter().enumerate() {
            v *= if i == 0 { 1.0 } else { 1.3 * 1.3 };
            for _ in 0..4 {
                v = (1.0 - a) * (1.0 - a) * v + 2.0 * a;
            }
            near(found, v, 1e-12);
        }
    }
}
