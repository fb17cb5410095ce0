//! The quantities that rows are compared by.

use std::collections::BTreeSet;

use stein_record::{Better, Estimate};

use super::column::{self, ACCEPTANCE, Column, Draft};
use super::{Numbers, Sweep};

/// The metric that is the mean of σ²·F over the levels.
pub(crate) const MEAN_OF_LEVELS: &str = "sigma2-fisher";
/// The metric that is the Fisher divergence over the score's mean square.
pub(crate) const RELATIVE_FISHER: &str = "relative-fisher";

/// The metric that is how far the score is from a gradient.
pub(crate) const CURL: &str = "curl";

/// Whether a metric is of the score, not of the samples.
pub(crate) fn is_of_score(metric: &str) -> bool {
    [MEAN_OF_LEVELS, RELATIVE_FISHER, CURL].contains(&metric)
}

/// A quantity that rows are compared by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Measure {
    /// The mean of σ²·F over the levels, where the density is known.
    Levels,
    /// A metric of the samples: its name, its label and which values are good.
    Metric(String, String, Better),
    /// How often proposals are accepted, of samplers that reject.
    Acceptance,
}

/// The measures of a sweep.
#[derive(Debug)]
pub(super) struct Measures {
    /// The one that ranks.
    pub(super) primary: Measure,
    /// Others that the sweep names.
    pub(super) further: Vec<Measure>,
    /// Names that are no metric of any finished cell.
    pub(super) unknown: Vec<String>,
}

impl Measures {
    /// Those that the sweep names, as far as there are such metrics; else what says most.
    pub(super) fn of(sweep: &Sweep) -> Self {
        let known = |name: &String| Measure::named(sweep, name);
        let mut named = sweep.measures.iter().filter_map(known);
        let primary = named.next().unwrap_or_else(|| Measure::usual(sweep));
        let further = named.collect();
        let unknown = sweep.measures.iter().filter(|name| known(name).is_none()).cloned().collect();
        Self { primary, further, unknown }
    }
}

/// The names of all that cells can be compared by.
pub(super) fn names(sweep: &Sweep) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let all = sweep.numbers().flat_map(|n| &n.metrics).map(|m| m.name.as_str());
    let rejecting = sweep.numbers().any(|n| n.acceptance.is_some());
    all.chain(rejecting.then_some(ACCEPTANCE)).filter(|name| seen.insert(*name)).collect()
}

impl Measure {
    fn named(sweep: &Sweep, name: &str) -> Option<Self> {
        if name == MEAN_OF_LEVELS && sweep.numbers().any(|n| n.scaled().is_some()) {
            return Some(Self::Levels);
        }
        if name == ACCEPTANCE && sweep.numbers().any(|n| n.acceptance.is_some()) {
            return Some(Self::Acceptance);
        }
        let metric = sweep.numbers().find_map(|n| n.metric(name))?;
        Some(Self::Metric(name.to_owned(), metric.label.clone(), metric.better))
    }

    /// The distance to the true score where a score was learned and the truth is known, else the first metric of the samples.
    fn usual(sweep: &Sweep) -> Self {
        let levels = sweep.is_trained() && sweep.numbers().any(|n| n.scaled().is_some());
        let first = || sweep.numbers().find_map(|n| n.metrics.iter().find(|m| !is_of_score(&m.name)));
        match first() {
            Some(metric) if !levels => Self::Metric(metric.name.clone(), metric.label.clone(), metric.better),
            _ => Self::Levels,
        }
    }

    /// Its name in `evaluation.json`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Levels => MEAN_OF_LEVELS,
            Self::Metric(name, ..) => name,
            Self::Acceptance => ACCEPTANCE,
        }
    }

    /// What it is called.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Levels => "mean σ²·Fisher divergence",
            Self::Metric(_, label, _) => label,
            Self::Acceptance => "proposals accepted",
        }
    }

    /// Which values are good.
    pub(crate) fn better(&self) -> Better {
        match self {
            Self::Levels => Better::Lower,
            Self::Metric(_, _, better) => *better,
            // A chain that hardly moves is accepted always.
            Self::Acceptance => Better::Neither,
        }
    }

    /// Whether it is measured level by level.
    pub(crate) fn is_levels(&self) -> bool {
        matches!(self, Self::Levels)
    }

    /// Its value in a run.
    pub(super) fn value(&self, numbers: &Numbers) -> Option<Estimate> {
        match self {
            Self::Levels => numbers.scaled(),
            Self::Metric(name, ..) => numbers.metric(name).map(|m| m.estimate),
            Self::Acceptance => numbers.acceptance.map(|a| Estimate::new(a, f64::NAN)),
        }
    }

    /// Its column.
    pub(super) fn column(&self, draft: Draft<'_, '_>) -> Option<Column> {
        let rows = draft.rows();
        match self {
            Self::Levels => draft.by_levels().of(|n| self.value(n)),
            Self::Acceptance => draft.of(|n| self.value(n)),
            Self::Metric(name, ..) => Some(column::with_references(draft.of(|n| self.value(n))?, rows, name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use stein_record::{AxisRole, MetricRecord};

    use super::*;
    use crate::sweep::tests::sweep;
    use crate::sweep::{Found, Table};

    /// Two rows with some metrics, trained or not.
    fn with(parameters: usize, measures: &[&str]) -> Sweep {
        let mut sweep = sweep(&[("sampler", AxisRole::Compare, "a b")], &[("a", 1.0), ("b", 2.0)]);
        sweep.measures = measures.iter().map(|m| (*m).into()).collect();
        for cell in &mut sweep.cells {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.parameters = parameters;
            let metric = |name: &&str| MetricRecord {
                name: (*name).into(),
                label: format!("the {name}"),
                about: String::new(),
                better: Better::Lower,
                estimate: Estimate::new(0.5, 0.1),
                floor: None,
                baseline: None,
                by_level: Vec::new(),
                parts: Vec::new(),
            };
            numbers.metrics = [MEAN_OF_LEVELS, RELATIVE_FISHER, CURL, "stray", "variance"].iter().map(metric).collect();
        }
        sweep
    }

    fn labels(sweep: &Sweep) -> Vec<String> {
        Table::of(sweep).columns.iter().map(|c| c.name.clone()).collect()
    }

    #[test]
    fn untrained_cells_are_ranked_by_their_samples() {
        assert_eq!(Measures::of(&with(0, &[])).primary.name(), "stray");
        assert_eq!(labels(&with(0, &[])), ["stray", "nfe", "variance"]);
        let trained = labels(&with(7, &[]));
        assert_eq!(trained[0], MEAN_OF_LEVELS);
        assert!(trained.contains(&RELATIVE_FISHER.into()) && trained.contains(&"step-ms".into()));
    }

    #[test]
    fn named_measures_come_first() {
        assert_eq!(labels(&with(0, &["variance", "stray"])), ["variance", "stray", "nfe"]);
        // What was asked for is shown, though it is 0 for all.
        assert_eq!(labels(&with(0, &[MEAN_OF_LEVELS]))[0], MEAN_OF_LEVELS);
        assert_eq!(labels(&with(7, &["variance"]))[0], "variance");
        assert!(labels(&with(7, &["variance"])).contains(&MEAN_OF_LEVELS.into()));
    }

    #[test]
    fn acceptance_is_a_measure_where_samplers_reject() {
        let mut sweep = with(0, &["variance", "acceptance"]);
        assert_eq!(Measures::of(&sweep).unknown, ["acceptance"]);
        let Found::Numbers(numbers) = &mut sweep.cells[0].found else { panic!("no numbers") };
        numbers.acceptance = Some(0.6);
        // Beside the other measure, not once more among the costs, and nobody is better for it.
        assert_eq!(labels(&sweep), ["variance", "acceptance", "nfe", "stray"]);
        let table = Table::of(&sweep);
        let column = table.column("acceptance").unwrap();
        let values: Vec<_> = column.cells.iter().map(|c| c.map(|c| c.mean.value)).collect();
        assert_eq!((values, column.better), (vec![Some(0.6), None], None));
        assert!(names(&sweep).contains(&"acceptance"));
        sweep.measures.pop();
        assert_eq!(labels(&sweep), ["variance", "nfe", "acceptance", "stray"]);
    }

    #[test]
    fn unknown_measures_are_told() {
        let sweep = with(0, &["varience", "variance"]);
        let measures = Measures::of(&sweep);
        assert_eq!((measures.primary.name(), measures.unknown), ("variance", vec!["varience".to_owned()]));
        assert_eq!(Measures::of(&with(0, &["varience"])).primary.name(), "stray");
        assert_eq!(names(&sweep), [MEAN_OF_LEVELS, RELATIVE_FISHER, CURL, "stray", "variance"]);
    }
}
