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

/// A row, repetition by repetition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Repetitions {
    pub(crate) values: Vec<Option<f64>>,
    /// The first repetition that has the same trained network, or itself.
    pub(crate) training: Vec<usize>,
}

impl Repetitions {
    /// The same with other values.
    fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { values: self.values.iter().map(|v| v.map(&f)).collect(), training: self.training.clone() }
    }

    /// The differences from another row over the repetitions that both have. Those that share a training, of either row, are
    /// not independent: their mean counts as one.
    fn from(&self, other: &Self) -> Vec<f64> {
        let values = self.values.iter().zip(&other.values).enumerate();
        let shared: Vec<(usize, f64)> = values.filter_map(|(i, (a, b))| Some((i, (*a)? - (*b)?))).collect();
        let alike = |a: usize, b: usize| self.training[a] == self.training[b] || other.training[a] == other.training[b];
        let mut groups: Vec<Vec<(usize, f64)>> = Vec::new();
        for one in shared {
            let (joined, others): (Vec<_>, Vec<_>) =
                groups.into_iter().partition(|group| group.iter().any(|member| alike(member.0, one.0)));
            groups = others;
            groups.push(joined.into_iter().flatten().chain([one]).collect());
        }
        groups.iter().map(|group| group.iter().map(|d| d.1).sum::<f64>() / group.len() as f64).collect()
    }
}

/// Marks rows by `scores[row][repetition]`, the smaller the better, where repetitions of one training are one already;
/// `each` has them apart. The best mean is compared with every other row by a paired t test over the repetitions that both have, with Holm's correction for the number of comparisons. Where all scores
/// are above 0 it is their ratios that are compared: what is twice as large mostly scatters twice as much.
///
/// A row with a score that is not finite is out of the running: the mean of what is left would flatter it.
pub(crate) fn marks(scores: &[Vec<Option<f64>>], each: &[Repetitions]) -> Vec<Mark> {
    let mut out = vec![Mark::Plain; scores.len()];
    let positive = each.iter().flat_map(|row| &row.values).flatten().all(|v| *v > 0.0);
    let compared: Vec<Repetitions> = each.iter().map(|row| row.map(|v| if positive { v.ln() } else { v })).collect();
    let mut ranked: Vec<(usize, f64)> =
        scores.iter().enumerate().filter_map(|(i, row)| Some((i, mean(row)?))).collect();
    ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
    let [(best, _), others @ ..] = ranked.as_slice() else { return out };
    let test = |(i, _): &(usize, f64)| Some((*i, paired(&compared[*i].from(&compared[*best]))?));
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

/// Two rows, repetition by repetition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair<'a> {
    pub(crate) row: &'a Repetitions,
    /// What it is held against.
    pub(crate) from: &'a Repetitions,
    /// Whether the repetitions that are there stand for all: a test would otherwise flatter the row that lost some.
    pub(crate) whole: bool,
}

/// How far rows are apart, by the repetitions that both have; `None` with fewer than two. What differs by more than chance is
/// told by paired t tests of the differences themselves, with Holm's correction for all pairs.
pub(crate) fn differences(pairs: &[Pair<'_>]) -> Vec<Option<Difference>> {
    let shared: Vec<Vec<f64>> = pairs.iter().map(|pair| pair.row.from(pair.from)).collect();
    let mut out: Vec<Option<Difference>> = shared.iter().map(|shared| difference(shared)).collect();
    let whole = shared.iter().enumerate().filter(|(i, _)| pairs[*i].whole);
    let tested: Vec<(usize, f64)> = whole.filter_map(|(i, shared)| Some((i, paired(shared)?.p))).collect();
    let told = holm(&tested.iter().map(|t| t.1).collect::<Vec<_>>());
    for ((i, _), told) in tested.into_iter().zip(told) {
        if let Some(difference) = &mut out[i] {
            difference.told = told;
        }
    }
    out
}

fn difference(shared: &[f64]) -> Option<Difference> {
    let n = shared.len();
    if n < 2 || !shared.iter().all(|d| d.is_finite()) {
        return None;
    }
    let mean = Estimate::mean_of(shared);
    let half = quantile(1.0 - LEVEL, n - 1) * mean.standard_error;
    Some(Difference { mean, n, interval: [mean.value - half, mean.value + half], told: false })
}

/// A paired t test: the mean difference and its two-sided p.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Test {
    mean: f64,
    p: f64,
}

/// A t test on differences over shared repetitions; `None` with fewer than [`FEWEST_PAIRS`].
fn paired(differences: &[f64]) -> Option<Test> {
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

    /// Repetitions of which each has a training of its own.
    fn apart(values: &[Option<f64>]) -> Repetitions {
        Repetitions { values: values.to_vec(), training: (0..values.len()).collect() }
    }

    fn paired(a: &[Option<f64>], b: &[Option<f64>]) -> Option<Test> {
        super::paired(&apart(a).from(&apart(b)))
    }

    fn marks(scores: &[Vec<Option<f64>>]) -> Vec<Mark> {
        super::marks(scores, &scores.iter().map(|row| apart(row)).collect::<Vec<_>>())
    }

    #[test]
    fn pairs_are_formed_before_repetitions_of_a_training_are_averaged() {
        let some = |values: [f64; 4]| values.map(Some).to_vec();
        let (mut row, from) = (apart(&some([1.0, 9.0, 3.0, 4.0])), apart(&some([0.0, 8.0, 1.0, 1.0])));
        assert_eq!(row.from(&from), [1.0, 1.0, 2.0, 3.0]);
        row.training = vec![0, 0, 2, 3];
        assert_eq!(row.from(&from), [1.0, 2.0, 3.0]);
        assert_eq!(from.from(&row), [-1.0, -2.0, -3.0]);
        // The wrong twin averages 1 and 9 before it looks at what is shared, and finds 5 − 0.
        let lacking = Repetitions { values: vec![Some(0.0), None, Some(1.0), Some(1.0)], ..from.clone() };
        assert_eq!(row.from(&lacking), [1.0, 2.0, 3.0]);
        // What either shares hangs together.
        let chained = Repetitions { training: vec![0, 1, 1, 3], ..from };
        assert_eq!(row.from(&chained), [4.0 / 3.0, 3.0]);
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

    /// Rows held against one, none of which lost a repetition.
    fn against(rows: &[Vec<Option<f64>>], from: &[Option<f64>]) -> Vec<Option<Difference>> {
        let (rows, from) = (rows.iter().map(|row| apart(row)).collect::<Vec<_>>(), &apart(from));
        let pairs: Vec<Pair<'_>> = rows.iter().map(|row| Pair { row, from, whole: true }).collect();
        differences(&pairs)
    }

    #[test]
    fn a_row_that_is_not_whole_is_not_told() {
        let (a, b) = (row(&[2.0, 3.1, 4.0]), row(&[1.0, 2.0, 3.0]));
        let told = |whole| differences(&[Pair { row: &apart(&a), from: &apart(&b), whole }])[0].unwrap().told;
        assert!(told(true) && !told(false));
        // Nor does it make others' tests stricter: 0.03 would not be told beside another test.
        let near = row(&[1.8, 3.1, 4.6]);
        let p = paired(&near, &b).unwrap().p;
        assert!(p > LEVEL / 2.0 && p < LEVEL, "{p}");
        let (near, far, b) = (apart(&near), apart(&row(&[9.0, 2.0, 1.0])), apart(&b));
        let pair = |row, whole| Pair { row, from: &b, whole };
        let found = |whole| differences(&[pair(&near, true), pair(&far, whole)])[0].unwrap().told;
        assert!(found(false) && !found(true));
    }

    #[test]
    fn differences_have_students_interval() {
        let (a, b) = (row(&[11.0, 21.2, 30.8, 41.1]), row(&[10.0, 20.0, 30.0, 40.0]));
        let scattered = row(&[9.0, 22.0, 27.0, 43.0]);
        let of = against(&[a, scattered, row(&[1.0]), b.clone()], &b);
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
        let two = against(&[vec![Some(2.0), Some(3.0), None]], &row(&[1.0, 1.9, 0.0]))[0].unwrap();
        assert!(!two.told && (two.interval[1] - 1.05 - 12.706_205 * 0.05).abs() < 1e-5, "{two:?}");
        assert_eq!(against(&[row(&[f64::INFINITY, 1.0])], &row(&[1.0, 1.0])), [None]);
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
