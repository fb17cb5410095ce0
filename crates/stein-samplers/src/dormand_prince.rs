//! Dormand & Prince's pair of orders 5 and 4 (1980), with a step size for each chain.
//!
//! dy/dt = f(t, y) is solved for many chains at once. Each goes at its own pace, and f is evaluated for all that are still
//! on their way together; so what a chain does depends on nothing but itself, and chains that arrive cost nothing more.
//! States, times and errors are kept in double precision on the host. f may be a network in single precision: its rounding
//! then enters by the slopes alone, and is not piled up by the sums.
//!
//! A step is accepted if its error is at most 1 in units of atol + rtol·max(|y|, |y'|): the root mean square over a chain's
//! position, or where more is carried along, the larger of that and of each further number. (Over all of them together, a
//! log-density would count for one dimension of many, and its error would be lost.) The fifth-order solution goes on.

use stein_core::{Invalid, SampleError};

/// Coefficients of an explicit pair whose last slope is the first of the next step.
struct Tableau {
    /// When the slopes are taken, in steps.
    nodes: [f64; 7],
    /// Row i: the state of slope i as a sum of those before. The last row is the step.
    stages: [[f64; 6]; 7],
    /// The step of order 5 minus that of order 4.
    error: [f64; 7],
}

const PAIR: Tableau = Tableau {
    nodes: [0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0, 1.0],
    stages: [
        [0.0; 6],
        [1.0 / 5.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0, 0.0],
        [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0, 0.0],
        [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0, 0.0, 0.0],
        [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0, 0.0],
        [35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0],
    ],
    error: [71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339200.0, 22.0 / 525.0, -1.0 / 40.0],
};

/// Steps of a chain at most, those that are taken back included.
const MOST_STEPS: usize = 10_000;
/// The least step, over the time: levels in single precision are no finer.
const LEAST_STEP: f64 = 1e-7;
/// The factor that a step may pass in time, which is a noise level. From where the noise hides all else a longer one may seem to
/// fit, and step over every scale that the data have: slopes on both sides of a bend tell nothing of it.
const WIDEST: f64 = 4.0;
/// A step is aimed at this part of what its error would allow.
const SAFETY: f64 = 0.9;
/// By how much a step may be shorter and longer than the one before.
const FACTORS: [f64; 2] = [0.2, 10.0];
/// The exponents of this and of the last error in the next step (Hairer, Nørsett & Wanner 1993, section IV.2, β = 0.04).
const EXPONENTS: [f64; 2] = [0.2 - 0.75 * 0.04, 0.04];

/// How exact a solution is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// The error allowed over the number itself.
    pub rtol: f64,
    /// The error allowed beside that.
    pub atol: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { rtol: 1e-5, atol: 1e-5 }
    }
}

impl Tolerance {
    /// Refuses what cannot be kept in single precision, and what asks for nothing.
    ///
    /// # Errors
    /// The key that is out of range.
    pub fn check(self) -> Result<(), Invalid> {
        for (key, value) in [("rtol", self.rtol), ("atol", self.atol)] {
            if !(1e-7..=0.1).contains(&value) {
                return Err(Invalid::key(
                    key,
                    format!("`{key}` is {value:e}; it must be from 1e-7, since scores are in single precision, to 0.1"),
                ));
            }
        }
        Ok(())
    }
}

/// Chains at a moment of their own each.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Which chains, `[n]`.
    pub chains: &'a [usize],
    /// Their times, `[n]`.
    pub times: &'a [f64],
    /// Their states, `[n, W]`.
    pub states: &'a [f64],
}

/// From where to where, and how exactly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Way {
    /// The time at the start.
    pub from: f64,
    /// The time at the end.
    pub to: f64,
    /// Numbers of a chain, W.
    pub width: usize,
    /// Those that are its position, D; the others follow them.
    pub dimension: usize,
    /// How exactly.
    pub tolerance: Tolerance,
}

/// One chain on its way.
struct Chain {
    time: f64,
    /// Signed, as the way goes.
    step: f64,
    /// Of the last step that was accepted.
    error: f64,
    rejected: bool,
    steps: usize,
}

/// What became of a step: its end `[n, W]`, the slope there, and how large its error is for each chain.
struct Trial {
    ends: Vec<f64>,
    slopes: Vec<f64>,
    errors: Vec<f64>,
}

/// f: slopes `[n, W]` of chains at their moments.
pub type Slope<'a> = dyn FnMut(Moment<'_>) -> Vec<f64> + 'a;

/// Sees a round: the time of the chain that is furthest back, and all states `[N, W]`.
pub type After<'a> = dyn FnMut(f64, &[f64]) -> Result<(), SampleError> + 'a;

/// Solves for the states `[N, W]` at the end of the way. `after` sees every round, in which each chain tries one
/// step.
///
/// # Errors
/// [`SampleError::NotFinite`] where slopes are not however short the step, [`SampleError::Unsolved`] where the
/// tolerance is not met, and what `after` gives.
pub fn solve(
    way: Way,
    mut states: Vec<f64>,
    slope: &mut Slope<'_>,
    after: &mut After<'_>,
) -> Result<Vec<f64>, SampleError> {
    let w = way.width;
    let n = states.len() / w.max(1);
    let mut active: Vec<usize> = (0..n).collect();
    let start = Moment { chains: &active, times: &vec![way.from; n], states: &states };
    let mut slopes = slope(start);
    let steps = way.first_steps(start, &slopes, slope);
    let chain = |step| Chain { time: way.from, step, error: 1.0, rejected: false, steps: 0 };
    let mut chains: Vec<Chain> = steps.into_iter().map(chain).collect();
    while !active.is_empty() {
        let times: Vec<f64> = active.iter().map(|&c| chains[c].time).collect();
        let steps: Vec<f64> = active.iter().map(|&c| way.within(&chains[c])).collect();
        let from = Moment { chains: &active, times: &times, states: &rows(&states, &active, w) };
        let trial = way.trial(&PAIR, from, &steps, rows(&slopes, &active, w), slope);
        for (i, &c) in active.iter().enumerate() {
            let step = steps[i];
            if chains[c].judge(step, trial.errors[i], way.to) {
                states[c * w..][..w].copy_from_slice(&trial.ends[i * w..][..w]);
                slopes[c * w..][..w].copy_from_slice(&trial.slopes[i * w..][..w]);
            } else if chains[c].step.abs() < LEAST_STEP * chains[c].time.abs() || chains[c].steps >= MOST_STEPS {
                return Err(match trial.errors[i].is_finite() {
                    true => SampleError::Unsolved { steps: chains[c].steps, ratio: chains[c].time },
                    false => SampleError::NotFinite { ratio: chains[c].time },
                });
            }
        }
        active.retain(|&c| chains[c].time != way.to);
        let behind = active.iter().map(|&c| chains[c].time);
        let last = behind.max_by(|a, b| (a - way.to).abs().total_cmp(&(b - way.to).abs()));
        after(last.unwrap_or(way.to), &states)?;
    }
    Ok(states)
}

impl Chain {
    /// Whether a step is accepted; either way, how long the next is.
    fn judge(&mut self, step: f64, error: f64, to: f64) -> bool {
        self.steps += 1;
        let accepted = error <= 1.0 && self.steps <= MOST_STEPS;
        let aim = SAFETY * error.max(1e-10).powf(-EXPONENTS[0]);
        let factor = match (error.is_finite(), accepted) {
            (false, _) => FACTORS[0],
            (true, false) => aim.clamp(FACTORS[0], 1.0),
            // After a step that was taken back, the next is not longer.
            (true, true) => {
                (aim * self.error.powf(EXPONENTS[1])).clamp(FACTORS[0], if self.rejected { 1.0 } else { FACTORS[1] })
            }
        };
        if accepted {
            self.time = if step == to - self.time { to } else { self.time + step };
            self.error = error.max(1e-4);
        }
        self.rejected = !accepted;
        self.step = step * factor;
        accepted
    }
}

impl Way {
    /// The step of a chain, no wider than [`WIDEST`], cut at the end; what would leave a sliver takes it along.
    fn within(&self, chain: &Chain) -> f64 {
        let rest = self.to - chain.time;
        let widest = if self.to < self.from { 1.0 - 1.0 / WIDEST } else { WIDEST - 1.0 } * chain.time.abs();
        let step = chain.step.clamp(-widest, widest);
        if step.abs() * 1.01 >= rest.abs() { rest } else { step }
    }

    /// One step of each chain from slopes that are known.
    fn trial(&self, pair: &Tableau, from: Moment<'_>, steps: &[f64], first: Vec<f64>, slope: &mut Slope<'_>) -> Trial {
        let w = self.width;
        let mut slopes = vec![first];
        let mut ends = Vec::new();
        for (node, row) in pair.nodes.iter().zip(&pair.stages).skip(1) {
            let times: Vec<f64> = from.times.iter().zip(steps).map(|(t, h)| t + node * h).collect();
            let sum = |i: usize| slopes.iter().zip(row).map(|(k, a)| a * k[i]).sum::<f64>();
            ends = from.states.iter().enumerate().map(|(i, y)| y + steps[i / w] * sum(i)).collect();
            slopes.push(slope(Moment { chains: from.chains, times: &times, states: &ends }));
        }
        let error = |i: usize| steps[i / w] * slopes.iter().zip(&pair.error).map(|(k, e)| e * k[i]).sum::<f64>();
        let errors: Vec<f64> = (0..from.states.len()).map(error).collect();
        let each = (0..steps.len()).map(|c| c * w..(c + 1) * w);
        let errors = each.map(|c| self.norm(&errors[c.clone()], &from.states[c.clone()], &ends[c])).collect();
        Trial { ends, slopes: slopes.pop().unwrap_or_default(), errors }
    }

    /// How large `values` `[W]` are, in units of what is allowed at a step from `y` to `end`.
    fn norm(&self, values: &[f64], y: &[f64], end: &[f64]) -> f64 {
        let Tolerance { rtol, atol } = self.tolerance;
        let square = |i: usize| (values[i] / (atol + rtol * y[i].abs().max(end[i].abs()))).powi(2);
        let position = (0..self.dimension).map(square).sum::<f64>() / self.dimension.max(1) as f64;
        // `max` would overlook what is not a number.
        let larger = |a: f64, b: f64| if a.is_nan() || a >= b { a } else { b };
        (self.dimension..self.width).map(square).fold(position, larger).sqrt()
    }

    /// A first step for each chain: so long that slope and curvature, by an Euler step, make an error of a hundredth
    /// (Hairer, Nørsett & Wanner 1993, section II.4).
    fn first_steps(&self, start: Moment<'_>, slopes: &[f64], slope: &mut Slope<'_>) -> Vec<f64> {
        let (w, whole) = (self.width, self.to - self.from);
        let part = |values: &[f64], c: usize| -> Vec<f64> { values[c * w..][..w].to_vec() };
        let norm = |values: &[f64], c: usize| {
            let y = part(start.states, c);
            self.norm(&part(values, c), &y, &y)
        };
        let n = start.chains.len();
        let small = |c: usize| {
            let (size, speed) = (norm(start.states, c), norm(slopes, c));
            let step = if size < 1e-5 || speed < 1e-5 { 1e-6 * whole.abs() } else { 0.01 * size / speed };
            if step.is_finite() { step.min(whole.abs()) } else { 1e-3 * whole.abs() }
        };
        let small: Vec<f64> = (0..n).map(|c| small(c).copysign(whole)).collect();
        let times: Vec<f64> = start.times.iter().zip(&small).map(|(t, h)| t + h).collect();
        let euler: Vec<f64> =
            start.states.iter().zip(slopes).enumerate().map(|(i, (y, k))| y + small[i / w] * k).collect();
        let there = slope(Moment { chains: start.chains, times: &times, states: &euler });
        let bend: Vec<f64> = there.iter().zip(slopes).map(|(b, a)| b - a).collect();
        let first = |c: usize| {
            let steepest = norm(slopes, c).max(norm(&bend, c) / small[c].abs());
            let step = if steepest > 1e-15 { (0.01 / steepest).powf(0.2) } else { whole.abs() };
            step.min(100.0 * small[c].abs()).min(whole.abs()).copysign(whole)
        };
        (0..n).map(first).collect()
    }
}

/// Some rows `[n, W]` of all.
fn rows(all: &[f64], chains: &[usize], width: usize) -> Vec<f64> {
    chains.iter().flat_map(|c| &all[c * width..][..width]).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way =
        Way { from: 4.0, to: 0.25, width: 1, dimension: 1, tolerance: Tolerance { rtol: 1e-5, atol: 1e-5 } };

    /// dy/dt = t y/(s² + t²), solved by y ∝ √(s² + t²): the probability flow of N(0, s²).
    fn flow(moment: Moment<'_>) -> Vec<f64> {
        moment.times.iter().zip(moment.states).map(|(t, y)| t * y / (0.25 + t * t)).collect()
    }

    fn truth(y: f64, from: f64, to: f64) -> f64 {
        y * ((0.25 + to * to) / (0.25 + from * from)).sqrt()
    }

    /// Steps of equal length: the error at the end, and the largest that was estimated.
    fn fixed(pair: &Tableau, steps: usize) -> (f64, f64) {
        let h = (WAY.to - WAY.from) / steps as f64;
        let (mut y, mut estimate) = (vec![1.0], 0.0f64);
        for i in 0..steps {
            let times = [WAY.from + i as f64 * h];
            let from = Moment { chains: &[0], times: &times, states: &y };
            let trial = WAY.trial(pair, from, &[h], flow(from), &mut flow);
            estimate = estimate.max(trial.errors[0]);
            y = trial.ends;
        }
        ((y[0] - truth(1.0, WAY.from, WAY.to)).abs(), estimate)
    }

    fn slopes(pair: &Tableau) -> (f64, f64) {
        let (few, many) = (fixed(pair, 40), fixed(pair, 160));
        ((few.0 / many.0).ln() / 4f64.ln(), (few.1 / many.1).ln() / 4f64.ln())
    }

    #[test]
    fn a_step_is_of_order_five_and_its_error_too() {
        let (global, local) = slopes(&PAIR);
        assert!((global - 5.0).abs() < 0.25, "{global}");
        // The pair's difference is a step's error of order 4, h⁵.
        assert!((local - 5.0).abs() < 0.25, "{local}");
        for (i, j) in [(3, 1), (4, 0), (5, 2), (6, 4)] {
            let mut twin = Tableau { ..PAIR };
            twin.stages[i][j] += 1e-3;
            assert!(slopes(&twin).0 < 4.0, "a wrong coefficient {i}, {j} must be seen: {:?}", slopes(&twin));
        }
        let mut twin = Tableau { ..PAIR };
        twin.error[3] += 1e-3;
        assert!(slopes(&twin).1 < 4.0, "a wrong error must be seen");
    }

    #[test]
    fn coefficients_agree_with_each_other() {
        for (node, row) in PAIR.nodes.iter().zip(&PAIR.stages) {
            assert!((row.iter().sum::<f64>() - node).abs() < 1e-12, "{row:?}");
        }
        assert!(PAIR.error.iter().sum::<f64>().abs() < 1e-15);
    }

    fn ends(tolerance: f64, starts: &[f64]) -> Vec<f64> {
        let way = Way { tolerance: Tolerance { rtol: tolerance, atol: tolerance }, ..WAY };
        solve(way, starts.to_vec(), &mut flow, &mut |_, _| Ok(())).expect("solved")
    }

    #[test]
    fn errors_shrink_with_the_tolerance() {
        let error = |tolerance| (ends(tolerance, &[1.0])[0] - truth(1.0, WAY.from, WAY.to)).abs();
        let errors = [1e-3, 1e-5, 1e-7].map(error);
        for (error, tolerance) in errors.iter().zip([1e-3, 1e-5, 1e-7]) {
            assert!(*error < 10.0 * tolerance, "{errors:?}");
        }
        // A solver that took no notice of it would give the same each time.
        let slope = (errors[0] / errors[2]).log10() / 4.0;
        assert!((0.7..1.5).contains(&slope), "{slope}: {errors:?}");
    }

    #[test]
    fn a_chain_is_alone() {
        let starts = [1.0, -30.0, 1e-4, 0.0];
        let together = ends(1e-6, &starts);
        for (start, end) in starts.iter().zip(&together) {
            assert_eq!(ends(1e-6, &[*start]), [*end]);
        }
        // They do go at their own pace: the last round has not all of them.
        let mut counts = Vec::new();
        let mut counted = |moment: Moment<'_>| {
            counts.push(moment.chains.len());
            flow(moment)
        };
        solve(WAY, starts.to_vec(), &mut counted, &mut |_, _| Ok(())).expect("solved");
        assert!(counts.last() < counts.first(), "{counts:?}");
    }

    #[test]
    fn the_round_tells_who_is_furthest_back() {
        let mut times = Vec::new();
        let mut after = |time: f64, _: &[f64]| {
            times.push(time);
            Ok(())
        };
        solve(WAY, vec![1.0, -30.0], &mut flow, &mut after).expect("solved");
        assert!(times.is_sorted_by(|a, b| a >= b) && times.last() == Some(&WAY.to), "{times:?}");
    }

    #[test]
    fn what_cannot_be_solved_is_told() {
        let solved = |slope: &mut Slope<'_>| solve(WAY, vec![1.0; 3], slope, &mut |_, _| Ok(()));
        let diverged = solved(&mut |moment: Moment<'_>| vec![f64::NAN; moment.states.len()]);
        assert_eq!(diverged, Err(SampleError::NotFinite { ratio: WAY.from }));
        // A jump at t = 1 that no step is short enough for.
        let jump = solved(&mut |m: Moment<'_>| m.times.iter().map(|t| if *t < 1.0 { 1e30 } else { 0.0 }).collect());
        assert!(matches!(jump, Err(SampleError::Unsolved { ratio, .. }) if (ratio - 1.0).abs() < 1e-3), "{jump:?}");
        // 1/(t − 1): finite where it is asked for, but y is not.
        let pole = solved(&mut |m: Moment<'_>| m.times.iter().map(|t| (t - 1.0).powi(-3)).collect());
        assert!(pole.is_err(), "{pole:?}");
    }

    #[test]
    fn tolerances_out_of_range_are_refused() {
        let key = |rtol, atol| Tolerance { rtol, atol }.check().expect_err("out of range").key;
        assert_eq!(key(0.0, 1e-5).as_deref(), Some("rtol"));
        assert_eq!(key(1e-9, 1e-5).as_deref(), Some("rtol"));
        assert_eq!(key(f64::NAN, 1e-5).as_deref(), Some("rtol"));
        assert_eq!(key(1e-5, 1.0).as_deref(), Some("atol"));
        assert_eq!(Tolerance::default().check(), Ok(()));
    }
}
