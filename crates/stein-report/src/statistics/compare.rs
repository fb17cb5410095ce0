//! Which of several rows is best, if repetitions can tell.

use stein_record::Estimate;

use super::student::{quantile, two_sided};

/// The error rate of a column's comparisons, all together.
const LEVEL: f64 = 0.05;
/// Fewer pairs than these say nothing about scatter.
const FEWEST_PAIRS: usize = 3;

/// What is said of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// Nothing.
    Plain,
    /// Better than every row that it could be compared with, by more than chance.
    Best,
    /// The best, where others cannot be told from it, or one of these.
    Tied,
}

/// Marks rows by `scores[row][repetition]`, the smaller the better. The best mean is compared with every other row by a
/// paired t test over the repetitions that both have, with Holm's correction for the number of comparisons. Where all scores
/// are above 0 it is their ratios that are compared: what is twice as large mostly scatters twice as much.
///
/// A row with a score that is not finite is out of the running: the mean of what is left would flatter it.
pub(crate) fn marks(scores: &[Vec<Option<f64>>]) -> Vec<Mark> {
    let mut out = vec![Mark::Plain; scores.len()];
    let positive = scores.iter().flatten().flatten().all(|v| *v > 0.0);
    let compared: Vec<Vec<Option<f64>>> = match positive {
        true => scores.iter().map(|row| row.iter().map(|v| v.map(f64::ln)).collect()).collect(),
        false => scores.to_vec(),
    };
    let mut ranked: Vec<(usize, f64)> =
        scores.iter().enumerate().filter_map(|(i, row)| Some((i, mean(row)?))).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    let [(best, _), others @ ..] = ranked.as_slice() else { return out };
    let test = |(i, _): &(usize, f64)| Some((*i, paired(&compared[*i], &compared[*best])?));
    let tested: Vec<(usize, Test)> = others.iter().filter_map(test).collect();
    let told = holm(&tested.iter().map(|t| t.1.p).collect::<Vec<_>>());
    // On the repetitions that they share another row may be the better one.
    if tested.iter().zip(&told).any(|(test, told)| *told && test.1.mean < 0.0) {
        return out;
    }
    let tied: Vec<usize> = tested.iter().zip(&told).filter(|(_, told)| !**told).map(|((i, _), _)| *i).collect();
    // The second best may have too few repetitions to be compared; then nobody knows who is best.
    let second_is_told = others.first().is_some_and(|second| tested.iter().any(|t| t.0 == second.0));
    if tied.is_empty() && second_is_told {
        out[*best] = Mark::Best;
    } else if !tied.is_empty() && tied.len() < others.len() {
        for i in tied.iter().chain([best]) {
            out[*i] = Mark::Tied;
        }
    }
    out
}

/// The mean; `None` of none, or if one is not finite.
fn mean(row: &[Option<f64>]) -> Option<f64> {
    let values: Vec<f64> = row.iter().flatten().copied().collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    mean.is_finite().then_some(mean)
}

/// How far a row is from another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Difference {
    /// The mean over shared repetitions, with its standard error.
    pub(crate) mean: Estimate,
    /// Shared repetitions.
    pub(crate) n: usize,
    /// The 95% interval of the mean, by Student's t.
    pub(crate) interval: [f64; 2],
    /// Whether it is more than chance, all differences of the column together.
    pub(crate) told: bool,
}

/// How far each of some rows is from `from`, by the repetitions that both have; `None` with fewer than two. What differs by more
/// than chance is told by paired t tests with Holm's correction.
pub(crate) fn differences(values: &[Vec<Option<f64>>], from: &[Option<f64>]) -> Vec<Option<Difference>> {
    let mut out: Vec<Option<Difference>> = values.iter().map(|row| difference(row, from)).collect();
    let tested: Vec<(usize, f64)> =
        values.iter().enumerate().filter_map(|(i, row)| Some((i, paired(row, from)?.p))).collect();
    let told = holm(&tested.iter().map(|t| t.1).collect::<Vec<_>>());
    for ((i, _), told) in tested.into_iter().zip(told) {
        if let Some(difference) = &mut out[i] {
            difference.told = told;
        }
    }
    out
}

fn difference(row: &[Option<f64>], from: &[Option<f64>]) -> Option<Difference> {
    let shared: Vec<f64> = row.iter().zip(from).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
    let n = shared.len();
    if n < 2 || !shared.iter().all(|d| d.is_finite()) {
        return None;
    }
    let mean = Estimate::mean_of(&shared);
    let half = quantile(1.0 - LEVEL, n - 1) * mean.standard_error;
    Some(Difference { mean, n, interval: [mean.value - half, mean.value + half], told: false })
}

/// A paired t test: the mean difference and its two-sided p.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Test {
    mean: f64,
    p: f64,
}

/// A t test on the differences a − b over shared repetitions; `None` with fewer than [`FEWEST_PAIRS`].
fn paired(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Test> {
    let differences: Vec<f64> = a.iter().zip(b).filter_map(|(a, b)| Some((*a)? - (*b)?)).collect();
    let n = differences.len();
    if n < FEWEST_PAIRS {
        return None;
    }
    let mean = differences.iter().sum::<f64>() / n as f64;
    let variance = differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1) as f64;
    if variance == 0.0 {
        // What does not scatter differs or does not: the number of network evaluations, say.
        return Some(Test { mean, p: if mean == 0.0 { 1.0 } else { 0.0 } });
    }
    let p = two_sided(mean / (variance / n as f64).sqrt(), n - 1);
    p.is_finite().then_some(Test { mean, p })
}

/// Holm's step-down procedure: which hypotheses are rejected, so that a false one is among them with probability
/// [`LEVEL`] at most.
fn holm(p: &[f64]) -> Vec<bool> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut rejected = vec![false; p.len()];
    for (done, i) in order.into_iter().enumerate() {
        if p[i] > LEVEL / (p.len() - done) as f64 {
            break;
        }
        rejected[i] = true;
    }
    rejected
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().map(|&v| Some(v)).collect()
    }

    #[test]
    fn pairs_are_compared_by_their_differences() {
        // Differences 1, 1.2, 0.8, 1.1: mean 1.025, sd 0.1708, t = 12.0 with 3 degrees of freedom.
        let (a, b) = (row(&[11.0, 21.2, 30.8, 41.1]), row(&[10.0, 20.0, 30.0, 40.0]));
        let p = paired(&a, &b).unwrap().p;
        assert!((p - 0.001_244).abs() < 1e-6, "{p}");
        // The wrong twin takes the rows apart: what the repetitions share drowns the difference.
        let apart = paired(&a, &row(&[40.0, 10.0, 30.0, 20.0])).unwrap().p;
        assert!(apart > 0.5, "{apart}");
    }

    #[test]
    fn differences_have_students_interval() {
        let (a, b) = (row(&[11.0, 21.2, 30.8, 41.1]), row(&[10.0, 20.0, 30.0, 40.0]));
        let apart = row(&[9.0, 22.0, 27.0, 43.0]);
        let of = differences(&[a, apart, row(&[1.0]), b.clone()], &b);
        // Mean 1.025, sd 0.170783, and 3.182446 of 3 degrees of freedom; a normal distribution's 1.96 is the wrong twin.
        let first = of[0].unwrap();
        let half = 3.182_446 * 0.170_783 / 2.0;
        assert!((first.mean.value - 1.025).abs() < 1e-12 && first.n == 4 && first.told, "{first:?}");
        assert!((first.interval[0] - (1.025 - half)).abs() < 1e-5, "{first:?}");
        assert!((first.interval[1] - (1.025 + half)).abs() < 1e-5, "{first:?}");
        let second = of[1].unwrap();
        assert!(!second.told && second.interval[0] < 0.0 && second.interval[1] > 0.0, "{second:?}");
        assert_eq!(of[2], None, "one pair has no scatter");
        assert_eq!(of[3].map(|d| (d.interval, d.told)), Some(([0.0, 0.0], false)));
        // Two pairs have an interval, a wide one, but tell nothing.
        let two = differences(&[vec![Some(2.0), Some(3.0), None]], &row(&[1.0, 1.9, 0.0]))[0].unwrap();
        assert!(!two.told && (two.interval[1] - 1.05 - 12.706_205 * 0.05).abs() < 1e-5, "{two:?}");
        assert_eq!(differences(&[row(&[f64::INFINITY, 1.0])], &row(&[1.0, 1.0])), [None]);
    }

    #[test]
    fn only_shared_repetitions_are_compared_and_two_are_too_few() {
        let (a, b) = ([Some(1.0), None, Some(2.0), Some(3.5)], [Some(0.9), Some(-50.0), Some(2.0), Some(3.1)]);
        let shared = paired(&row(&[1.0, 2.0, 3.5]), &row(&[0.9, 2.0, 3.1]));
        assert_eq!(paired(&a, &b), shared);
        assert!(shared.is_some());
        assert_eq!(paired(&a[..3], &b[..3]), None);
        assert_eq!(paired(&row(&[2.0; 3]), &row(&[2.0; 3])).map(|t| t.p), Some(1.0));
        assert_eq!(paired(&row(&[3.0; 3]), &row(&[2.0; 3])), Some(Test { mean: 1.0, p: 0.0 }));
    }

    #[test]
    fn holm_steps_down() {
        // By hand: .010 ≤ .05/4, .013 ≤ .05/3, .020 ≤ .05/2, .2 > .05.
        assert_eq!(holm(&[0.02, 0.2, 0.01, 0.013]), [true, false, true, true]);
        // Bonferroni's wrong twin would let go all but the first; no correction would keep the second here.
        let bonferroni: Vec<bool> = [0.02, 0.2, 0.01, 0.013].iter().map(|p| *p <= LEVEL / 4.0).collect();
        assert_eq!(bonferroni, [false, false, true, false]);
        assert_eq!(holm(&[0.02, 0.04, 0.03]), [false; 3]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn the_best_is_marked_where_it_can_be_told() {
        let (best, near, far) = (row(&[1.0, 1.1, 0.9]), row(&[1.0, 1.2, 0.85]), row(&[9.0, 9.2, 8.8]));
        assert_eq!(marks(&[far.clone(), best.clone()]), [Mark::Plain, Mark::Best]);
        assert_eq!(marks(&[far.clone(), near.clone(), best.clone()]), [Mark::Plain, Mark::Tied, Mark::Tied]);
        // A group of everybody says nothing.
        assert_eq!(marks(&[near, best.clone()]), [Mark::Plain; 2]);
        // Nobody is best next to a second best with too few repetitions; a distant one does no harm.
        let two = vec![Some(1.2), Some(1.3), None];
        assert_eq!(marks(&[two, best.clone(), far.clone()]), [Mark::Plain; 3]);
        let distant = vec![Some(50.0), Some(51.0), None];
        assert_eq!(marks(&[distant, best.clone(), far.clone()]), [Mark::Plain, Mark::Best, Mark::Plain]);
        // Nor does a row that was not always finite win.
        let lucky = vec![Some(0.1), Some(0.1), Some(0.11), Some(f64::INFINITY)];
        assert_eq!(marks(&[lucky, best, far]), [Mark::Plain, Mark::Best, Mark::Plain]);
        assert_eq!(marks(&[]), []);
    }

    #[test]
    fn the_best_must_win_where_rows_meet() {
        // The first has the better mean of its own, but loses on every shared repetition.
        let ahead = vec![Some(1.10), Some(1.21), Some(1.29), None];
        assert_eq!(marks(&[ahead, row(&[1.0, 1.1, 1.2, 5.0])]), [Mark::Plain; 2]);
    }

    #[test]
    fn positive_scores_are_compared_by_their_ratios() {
        // Five times as slow, and scattering five times as much: raw differences would not tell it from the best.
        let (best, slow) = (row(&[0.50, 0.52, 0.51]), row(&[2.1, 3.2, 2.6]));
        assert_eq!(marks(&[slow, best]), [Mark::Plain, Mark::Best]);
    }
}
